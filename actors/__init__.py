"""One model on its GPU: tensors, hooks and scores; it imports `studies` alone.

From the bottom up: `structure` (sites) and `tokens`; `intervention`, `passes` and `loading`; then
`model`, which puts them together; on it `prediction`, `extraction`, `sweeping`, `training`,
`harness`, `families` and `speed`; beside them `measures` and `scoring`, which see no model. On top
are the tasks, and what answers a unit of cells with them.
"""
