"""What a unit comes to; without torch, so that whoever keeps the answers can import it."""

from collections.abc import Mapping
from typing import NamedTuple

from studies.spec import Row


class Answer(NamedTuple):
    """The rows of a unit, and the files its cells have made for others, by the making cell's key.

    An artifact is safetensors content: what is kept under artifacts/ in a run's folder. `refused`
    says of cells, by key, why this model has nothing for them; the others have rows.
    """

    rows: list[Row]
    artifacts: Mapping[str, bytes] = {}
    refused: Mapping[str, str] = {}


class EngineDiedError(RuntimeError):
    """An engine failed in the middle of a unit: it takes no other, and the unit wants a fresh one.

    What was asked is not to blame, as far as can be told.
    """
