"""Prompts under many interventions, without recomputing what these cannot change."""
