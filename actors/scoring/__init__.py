"""Scores of a written text: its answer, its translation, and the language it is written in."""
