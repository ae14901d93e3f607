"""Requests of lm-evaluation-harness, cut into tokens and answered exactly as its own model does."""
