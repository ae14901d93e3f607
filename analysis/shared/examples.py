"""What was asked, word for word: a few items of every text that a study read, with the answers.

A run keeps a few items in `examples.json` as its models were given them; `babelscope show` prints
any other.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from analysis import example_answers
from analysis.example_answers import Record
from analysis.layout.page import Part, Section, Sheet, Text, file_name
from analysis.layout.prose import line, many, model, say, shared
from analysis.read import Rows
from analysis.storage.folder import Folder
from analysis.storage.record import EXAMPLES
from analysis.storage.runs import Run

TITLE = "What was asked, word for word"
CAPTION = """
{{ benchmark }}{% if kind %}, {{ kind }}{% endif %}{% if prompt %}, prompt {{ prompt }}{% endif %}
"""
Answer = Mapping[str, Any]


def section(rows: Rows) -> Section:
    """A table per benchmark, a line per item and wording."""
    runs = {run: records for run in rows.sources if (records := _kept(run))}
    if not runs:
        return Section(title=TITLE, parts=(Text(lines=say(shared("no_examples"))),))
    answers = example_answers.answers(
        rows, [record for records in runs.values() for record in records]
    )
    lines: dict[str, list[dict[str, str]]] = {}
    for run, records in runs.items():
        # Another run may have asked something else under the same name.
        own = example_answers.keys(run) if len(rows.sources) > 1 else None
        for record in records:
            for item in record["items"]:
                found = answers.get(example_answers.place(record, item), ())
                theirs = [row for row in found if own is None or row["key"] in own]
                lines.setdefault(_heading(record), []).extend(_lines(record, item, theirs))
    parts: list[Part] = [Text(lines=say(shared("examples")))]
    for number, (heading, found) in enumerate(sorted(lines.items())):
        frame = pd.DataFrame(found).drop_duplicates(ignore_index=True)
        frame = frame.loc[:, [name for name in frame if frame[name].ne("").any()]]
        name = file_name("examples", str(number), heading.partition(",")[0])
        caption = f"{heading}: {many(len(frame), 'example')}"
        parts.append(Sheet(name=name, caption=caption, frame=frame, collapsed=True))
    return Section(title=TITLE, parts=tuple(parts))


def _kept(run: Run) -> list[Record]:
    """The records of a run; what is no record is left out."""
    try:
        content = json.loads(Folder(run).read(EXAMPLES))
    except (FileNotFoundError, ValueError):
        return []
    if not isinstance(content, list):
        return []
    return [one for one in content if isinstance(one, dict) and "items" in one]


def _heading(record: Record) -> str:
    """What a record is of."""
    kind, benchmark = example_answers.kind(record), str(record.get("benchmark"))
    return line(CAPTION, benchmark=benchmark, kind=kind, prompt=record.get("prompt"))


def _lines(record: Record, item: Record, answers: Sequence[Answer]) -> list[dict[str, str]]:
    """One line for every wording of an item: a model's own where they differ."""
    options = [str(option) for option in item.get("options", ())]
    gold = item.get("gold")
    right = [str(text) for text in item.get("right", ())]
    if isinstance(gold, int) and 0 <= gold < len(options):
        right = [options[gold]]
    return [
        {
            "language": str(record.get("language")),
            "pivot": str(record.get("pivot") or ""),
            "item": str(item.get("id")),
            "models": ", ".join(models),
            "given": text,
            "beside it": str(item.get("beside", "")),
            "options": "\n".join(f"{place}: {one}" for place, one in enumerate(options)),
            "right": "\n".join(right[:3]),
            "answers": "\n".join(map(_said, answers)),
        }
        for text, models in example_answers.wordings(item).items()
    ]


def _said(row: Answer) -> str:
    """What a model answered, in a line."""
    if "prediction" not in row:
        return f"{model(row)}: {row['output']}"
    return f"{model(row)}: option {row['prediction']:.0f}{'' if row['correct'] else ' (wrong)'}"
