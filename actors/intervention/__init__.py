"""One change of the activations, and how it is made while a model runs."""
