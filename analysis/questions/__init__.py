"""Questions of one's own: tidy rows in, tables with estimate, interval, p and their meaning out.

Everything here works in a notebook without Ray or torch (docs/analysis.md).
"""

from analysis.questions.answer import correct
from analysis.questions.best import best, choices
from analysis.questions.compare import compare
from analysis.questions.correlate import compare_correlations, correlate
from analysis.questions.foreign import read
from analysis.questions.regress import regress
from analysis.questions.rows import rows_of, with_scores
from analysis.questions.sweep import sweep
from analysis.questions.tidy import cells, items, languages

__all__ = [
    "best", "cells", "choices", "compare", "compare_correlations", "correct", "correlate", "items",
    "languages", "read", "regress", "rows_of", "sweep", "with_scores",
]  # fmt: skip
