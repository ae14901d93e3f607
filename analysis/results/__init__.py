"""Frames that follow from the rows of runs: answers, effects, scores of texts."""
