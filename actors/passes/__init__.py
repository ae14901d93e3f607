"""How texts go through a model: batches, rows that share their beginning, hooks that read."""
