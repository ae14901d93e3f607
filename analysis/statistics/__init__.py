"""Statistics of plain numbers: nothing here knows a run."""
