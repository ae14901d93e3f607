"""Which neurons serve which languages, and what rescaling or overwriting them is."""
