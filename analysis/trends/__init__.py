"""Models along their training: what every measure did from one checkpoint to the next."""

from analysis.trends.crossed import Threshold, changes, crossed, threshold
from analysis.trends.sources import names

__all__ = ["Threshold", "changes", "crossed", "names", "threshold"]
