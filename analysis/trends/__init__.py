"""Models along their training: what every measure did from one checkpoint to the next."""

from analysis.trends.crossed import Threshold, changes, crossed, threshold

__all__ = ["Threshold", "changes", "crossed", "threshold"]
