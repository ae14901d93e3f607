"""A model changed while it runs, one setting or a whole grid of them."""
