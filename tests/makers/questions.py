"""Questions as token ids, in the shapes that matter: no text is needed to compare numbers."""

import torch

from actors.prediction.predict import Question


def ids(count: int, *, seed: int = 0) -> tuple[int, ...]:
    """Tokens of noise, none of them special; every tiny model has 320."""
    generator = torch.Generator().manual_seed(1000 * count + seed)
    return tuple(torch.randint(2, 320, (count,), generator=generator).tolist())


# Longer than the sliding windows of 24 and of one token; options of one token and of many, two
# of them equal, one of them the beginning of another.
QUESTIONS = (
    Question(ids(30), (ids(1), ids(1, seed=1), ids(1, seed=2))),
    Question(ids(9), (ids(3), ids(1), ids(5))),
    Question(ids(1), (ids(2), ids(2))),
    Question(ids(41), (ids(4), ids(4)[:2], ids(1))),
)
