"""What the DALI page alone shows: levels, gaps, correlations, patched answers, regressions."""
