"""What was asked, as a run keeps it in `examples.json`: its wordings, and the answers to it.

An answer is to one prompt. Option texts, vectors, lessons and parallel texts may have the ids of a
benchmark's items and are none of them; so answers are found by table, benchmark, language, prompt
and pivot together, and of several runs by key.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from analysis import read
from analysis.read import Rows
from analysis.storage.runs import Run

# Which table has the answers, by the first word of a text's name among the pins of run.json.
# Whatever else a study reads is not answered, or not by the plain model.
TABLES: Mapping[str, str] = {
    "items": "items",
    "texts": "generations",
    "translations": "generations",
}
PLACE = ("benchmark", "language", "prompt", "pivot")
Record = Mapping[str, Any]
Asked = tuple[str, ...]


def kind(record: Record) -> str:
    """What sort of text a record is of: the first word of its name."""
    return str(record.get("name") or "").partition(" ")[0]


def wordings(item: Record) -> dict[str, list[str]]:
    """Every wording of an item, with the models given it; with none where those are not known."""
    found: dict[str, list[str]] = {}
    for model, text in (item.get("given") or {}).items():
        found.setdefault(str(text), []).append(str(model))
    return found or {str(item.get("text", "")): []}


def place(record: Record, item: Record) -> Asked:
    """Where `answers` has those to an item of a record."""
    return (TABLES.get(kind(record), ""), *(_text(record.get(name)) for name in PLACE),
            _text(item.get("id")))  # fmt: skip


def answers(rows: Rows, records: Sequence[Record]) -> dict[Asked, list[dict[str, Any]]]:
    """What the plain models answered to the items of records, as rows, by `place`."""
    ids = {_text(item.get("id")) for record in records for item in record["items"]}
    found: dict[Asked, list[dict[str, Any]]] = {}
    for table in dict.fromkeys(TABLES.values()):
        frame = getattr(rows, table)
        held = frame[frame["intervention"].isna() & frame["item"].isin(ids)]
        for row in held.to_dict("records"):
            asked = (table, *(_text(row.get(name)) for name in PLACE), _text(row["item"]))
            found.setdefault(asked, []).append(row)
    return found


def keys(run: Run) -> set[str]:
    """The keys of all answers that a run holds."""
    found: set[str] = set()
    for table in dict.fromkeys(TABLES.values()):
        for shard in read.shards([run], name=table, columns=["key"]):
            found.update(shard["key"].unique().to_pylist())
    return found


def _text(value: object) -> str:
    """A coordinate as a text, empty where it is missing."""
    return "" if value is None or value != value else str(value)
