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
from analysis.layout.page import Fold, Part, Section, Sheet, Text, file_name
from analysis.read import Rows, label
from analysis.storage.folder import Folder
from analysis.storage.record import EXAMPLES
from analysis.storage.runs import Run

TITLE = "What was asked, word for word"
HOW = (
    "The first three items of every benchmark, parallel text and language as the models were given "
    "them, with their chat template and the tokens that a tokenizer puts first where the tokenizer "
    "was on the machine that planned the run. Answers are the plain model's to that very prompt. "
    "Any other item: babelscope show RUN --benchmark B --language L --item ID."
)
NONE = (
    "No texts were kept in these runs; any item can be printed: babelscope show RUN --benchmark B "
    "--language L --item ID."
)
Answer = Mapping[str, Any]


def section(rows: Rows) -> Section:
    """A fold per benchmark, a line per item and wording."""
    runs = {run: records for run in rows.sources if (records := _kept(run))}
    if not runs:
        return Section(title=TITLE, parts=(Text(lines=(NONE,)),))
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
    parts: list[Part] = [Text(lines=(HOW,))]
    for number, (heading, found) in enumerate(sorted(lines.items())):
        frame = pd.DataFrame(found).drop_duplicates(ignore_index=True)
        frame = frame.loc[:, [name for name in frame if frame[name].ne("").any()]]
        name = file_name("examples", str(number), heading.partition(",")[0])
        sheet = Sheet(name=name, caption=f"{heading}: {len(frame)} examples", frame=frame)
        parts.append(Fold(caption=f"{heading}: {len(frame)} examples", parts=(sheet,)))
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
    kind, prompt = example_answers.kind(record), record.get("prompt")
    said = f"{record.get('benchmark')}, {kind}" if kind else str(record.get("benchmark"))
    return f"{said}, prompt {prompt}" if prompt else said


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
    shown = label(str(row["model"]), revision=str(row["revision"]))
    if "prediction" not in row:
        return f"{shown}: {row['output']}"
    return f"{shown}: option {row['prediction']:.0f}{'' if row['correct'] else ' (wrong)'}"
