"""`babelscope watch`: new checkpoints of models become new rows of a study, each of them once.

Each file imports those before it alone: `timing` (when to look), `notify`, `options` (what is
asked), `state` (what was seen, `watch.json`), `guard` and `processes` (commands that end with the
watcher), `complete`, `hub` and `discover` (what is there), `convert`, `evaluate` (one checkpoint),
`disk`, `crossing` (which measures moved), `told` (for people), `messages` (for others), `rules`
(what becomes of what is found), `loop`, `start`; `command` is what the command line reads. Nothing
here computes a cell: that is `babelscope run`, in a process of its own.
"""
