"""Keys: the hash of everything that changes an answer, written as canonical JSON.

What bears identity is decided where records are defined and cells are made; here it only becomes
64 hexadecimal digits, many at a time. A change to a byte of the JSON recomputes the world.
"""

import hashlib
import json
from functools import lru_cache
from typing import NamedTuple

# How texts become token ids. 1: by transformers' class for the model. 2: by tokenizer.json, which
# some classes do not follow, so that the same files gave other ids.
TOKEN_IDS_VERSION = 2

# Canonical JSON: sorted keys, no spaces, characters as they are.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode

# Stands for a value to be filled in. No column is this; one that were would leave `Keys.at` short
# of values, which raises.
_PLACE = "\0"


def digest(value: object) -> str:
    """sha256 of the canonical JSON of `value` (sorted keys, no spaces, UTF-8)."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


class Keys(NamedTuple):
    """The keys of all cells that differ in layer, pooling and coefficient alone.

    `form` is the canonical JSON of what they share with a place for each of the three, so that a
    million keys cost a million hashes and far fewer JSON documents. Each is the digest of the
    whole document, to the byte: tests compare them.
    """

    form: str

    def at(
        self,
        *,
        layer: int | None = None,
        pooling: str | None = None,
        coefficient: float | None = None,
    ) -> str:
        """The key of one of the cells."""
        text = self.form % (_scalar(coefficient), _scalar(layer), _scalar(pooling))
        return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=1024)
def keys_of(
    *,
    table: str,
    language: str,
    scope: str,
    dataset: str | None = None,
    benchmark: str | None = None,
    pivot: str | None = None,
    measure: str | None = None,
    intervention: str | None = None,
) -> Keys:
    """The keys of the cells with these columns; `studies.spec.Cell` says what they mean."""
    answer = {
        "table": table,
        "language": language,
        "scope": scope,
        "dataset": dataset,
        "benchmark": benchmark,
        "pivot": pivot,
        "measure": measure,
        "pooling": _PLACE,
        "layer": _PLACE,
        "intervention": intervention,
        "coefficient": _PLACE,
    }
    return Keys(_canonical(answer).replace("%", "%%").replace(_canonical(_PLACE), "%s"))


def _scalar(value: float | str | None) -> str:
    """Canonical JSON of one value; the commonest two kinds without an encoder."""
    if value is None:
        return "null"
    return str(value) if type(value) is int else _canonical(value)
