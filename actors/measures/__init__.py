"""Scores of two languages' vectors, and how far they can be trusted; tensors in, numbers out."""
