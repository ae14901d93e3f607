"""What was asked, word for word: three items of every benchmark and language, with the answers.

The one idea: nobody should have to trust a prompt they have not seen. A run keeps a few items in
`examples.json` as its models were given them; `babelscope show` prints any other.
"""

import json
from collections.abc import Mapping
from typing import Any

import pandas as pd

from analysis.page import Fold, Part, Section, Sheet, Text, file_name
from analysis.places import Place
from analysis.read import Rows, label

FILE = "examples.json"
TITLE = "What was asked, word for word"
HOW = (
    "Three items of every benchmark and language as the models were given them, with their chat "
    "template and the tokens that a tokenizer puts first where the tokenizer was on the machine "
    "that planned the run. Any other item: babelscope show RUN --benchmark B --language L --item "
    "ID."
)
NONE = (
    "No texts were kept in these runs; any item can be printed: babelscope show RUN --benchmark B "
    "--language L --item ID."
)
Record = Mapping[str, Any]


def section(rows: Rows) -> Section:
    """A fold per benchmark, a line per item and wording."""
    records = _kept(rows)
    if not records:
        return Section(title=TITLE, parts=(Text(lines=(NONE,)),))
    answers = _answers(rows, {str(one.get("id")) for record in records for one in record["items"]})
    lines: dict[str, list[dict[str, str]]] = {}
    for record in records:
        own = lines.setdefault(_heading(record), [])
        for item in record.get("items", ()):
            own += _lines(record, item, answers)
    parts: list[Part] = [Text(lines=(HOW,))]
    for number, (heading, found) in enumerate(sorted(lines.items())):
        frame = pd.DataFrame(found).drop_duplicates(ignore_index=True)
        frame = frame.loc[:, [name for name in frame if frame[name].ne("").any()]]
        name = file_name("examples", str(number), heading.partition(",")[0])
        sheet = Sheet(name=name, caption=f"{heading}: {len(frame)} examples", frame=frame)
        parts.append(Fold(caption=f"{heading}: {len(frame)} examples", parts=(sheet,)))
    return Section(title=TITLE, parts=tuple(parts))


def _kept(rows: Rows) -> list[Record]:
    """The records of all runs; what is no record is left out."""
    found: list[Record] = []
    for run in rows.sources:
        try:
            content = json.loads(Place(run).read(FILE))
        except (FileNotFoundError, ValueError):
            continue
        if isinstance(content, list):
            found += [one for one in content if isinstance(one, dict) and "items" in one]
    return found


def _heading(record: Record) -> str:
    """What a record is of."""
    name = str(record.get("name", ""))
    kind = name.partition(" ")[0]
    prompt = record.get("prompt")
    said = f"{record.get('benchmark')}, {kind}" if kind else str(record.get("benchmark"))
    return f"{said}, prompt {prompt}" if prompt else said


def _lines(
    record: Record, item: Record, answers: Mapping[tuple[str, str, str], str]
) -> list[dict[str, str]]:
    """One line for every wording of an item: a model's own where they differ."""
    given: dict[str, list[str]] = {}
    for model, text in (item.get("given") or {"": item.get("text", "")}).items():
        given.setdefault(str(text), []).append(str(model))
    options = [str(option) for option in item.get("options", ())]
    gold = item.get("gold")
    right = [str(text) for text in item.get("right", ())]
    if isinstance(gold, int) and 0 <= gold < len(options):
        right = [options[gold]]
    asked = (str(record.get("benchmark")), str(record.get("language")), str(item.get("id")))
    return [
        {
            "language": str(record.get("language")),
            "item": str(item.get("id")),
            "models": ", ".join(models),
            "given": text,
            "beside it": str(item.get("beside", "")),
            "options": "\n".join(f"{place}: {one}" for place, one in enumerate(options)),
            "right": "\n".join(right[:3]),
            "answers": answers.get(asked, ""),
        }
        for text, models in given.items()
    ]


def _answers(rows: Rows, ids: set[str]) -> dict[tuple[str, str, str], str]:
    """What every plain model answered to these items, a line each, by benchmark and language."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for frame in (rows.items, rows.generations):
        held = frame[frame["intervention"].isna() & frame["item"].isin(ids)]
        for row in held.to_dict("records"):
            place = (str(row["benchmark"]), str(row["language"]), str(row["item"]))
            shown = label(str(row["model"]), revision=str(row["revision"]))
            if "prediction" in row:
                said = f"option {row['prediction']:.0f}{'' if row['correct'] else ' (wrong)'}"
            else:
                said = str(row["output"])
            found.setdefault(place, []).append(f"{shown}: {said}")
    return {place: "\n".join(lines) for place, lines in found.items()}
