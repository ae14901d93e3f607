"""Cells of tuning: the items that a strength may be chosen on, answered at every strength.

The artifact holds the values that the choice is made by; no single answer is kept.
"""

from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from actors.answer import Found
from actors.kinds.choices import swept_rows
from actors.kinds.generation import ENGINE, encoded, rows_of, texts_under
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.neurons.file import TUNING_FORM, AboutTuning, Categories, read_categories
from actors.neurons.scaling import rescaled
from actors.prediction.score import ask
from studies.content import Content
from studies.kinds.scaled import ScalingGrid
from studies.neuron_options import PLAIN, Strength
from studies.spec import Cell, Row
from studies.texts import ChoiceSet, GenerationSet
from studies.unit import Unit


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per strength of every cell, and their values as an artifact."""
    grid = unit.grid
    assert isinstance(grid, ScalingGrid)
    strengths = tuple(dict.fromkeys((PLAIN, *grid.strengths, *grid.doses)))
    rows: list[tuple[Cell, Row]] = []
    artifacts: dict[str, bytes] = {}
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        categories = taken(loaded, resources.artifacts[part.taken["categories"]])
        found = _measured(
            loaded, asked, categories, strengths, grid=grid, cut=unit.allow_truncation
        )
        metric = "accuracy" if isinstance(asked, ChoiceSet) else "f1"
        about = AboutTuning(
            identity=loaded.facts.identity,
            benchmark=str(cell.benchmark),
            language=asked.language,
            ids=tuple(str(one["id"]) for one in asked.shown()),
            metric=metric,
            strengths=tuple((one.shared, one.specific) for one in strengths),
            values=tuple(float(str(one["value"])) for one in found),
        )
        artifacts[cell.key] = TUNING_FORM.pack(
            about, {"values": torch.tensor(about.values, dtype=torch.float64)}
        )
        for strength, measured in zip(strengths, found, strict=True):
            row: Row = {
                "prompt": asked.prompt,
                "n": len(about.ids),
                **strength._asdict(),
                "metric": metric,
                **measured,
                "switches": grid.how,
            }
            rows.append((cell, row))
    return Found(rows, artifacts)


def taken(loaded: LoadedModel, content: bytes) -> Categories:
    """The categories of a cell, if they are this model's.

    Raises:
        ValueError: they are of another one.
    """
    categories = read_categories(content)
    categories.check(loaded)
    return categories


def _measured(
    loaded: LoadedModel,
    asked: Content,
    categories: Categories,
    strengths: Sequence[Strength],
    *,
    grid: ScalingGrid,
    cut: bool,
) -> list[Row]:
    """What the items come to at every strength."""
    settings = [
        rescaled(categories, one, language=asked.language, how=grid.rescaling) for one in strengths
    ]
    if isinstance(asked, ChoiceSet):
        entries = ask(loaded, asked.items, chat=asked.chat, allow_truncation=cut)
        return [_of_choices(rows) for rows in swept_rows(loaded, asked, entries, settings)]
    assert isinstance(asked, GenerationSet)
    prompts = encoded(loaded, asked, allow_truncation=cut)
    found: list[Row] = []
    for setting in settings:
        texts = texts_under(loaded, prompts, setting=setting)
        scores = [float(str(row["f1"])) for row in rows_of(loaded, prompts, texts, engine=ENGINE)]
        found.append({"value": sum(scores) / len(scores), "macro_f1": None, "top_share": None})
    return found


def _of_choices(rows: Sequence[Mapping[str, object]]) -> Row:
    """Accuracy, macro F1 over the options that are right somewhere, and the commonest answer's
    share."""
    from sklearn.metrics import f1_score  # heavy, and not everywhere that models are

    gold, given = [row["gold"] for row in rows], [row["prediction"] for row in rows]
    (_, top), *_ = Counter(given).most_common(1)
    return {
        "value": sum(row["correct"] is True for row in rows) / len(rows),
        "macro_f1": float(
            f1_score(gold, given, labels=sorted(set(gold), key=str), average="macro",
                     zero_division=0.0)
        ),
        "top_share": top / len(rows),
    }  # fmt: skip
