"""Activations at the sites of a model: pooled, counted, averaged, or read out by its head."""
