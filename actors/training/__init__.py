"""Weights that change: adapters beside a loaded model, and the models of the miniworld."""
