"""Which worker runs what and holds which model: pure decisions, no clock, no cluster."""
