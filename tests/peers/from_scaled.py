"""Kinds of numbers while neurons are rescaled or constant: tuning, scores of options, texts.

Which neurons are rescaled is taken from the run's own artifact, which `categories` and `intmu`
compare. Formulas: CLAS, sections 2.5 and 3. Imports nothing of ours.
"""

import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

import items
import numpy as np
import plain
import torch
from compared import EXACT, Compared, Run, kind
from from_models import Written, choice, reference, text, written
from from_neurons import CATEGORIES, artifact, check
from from_rows import squad

# Shapes: K languages, N neurons of one, V values, F neurons, T tokens

NOTHING = plain.Change({}, {})
CONSTANTS = ("mean", "p90", "p10")
# Neurons that are drawn at random are known to the run alone; a text does not say which draw it is.
UNKNOWN = {"items": ("random",), "generations": ("random", "mixed")}


def sets(active_KF: torch.Tensor) -> dict[str, torch.Tensor]:
    """The neurons [F] of every category."""
    count_F, every = active_KF.long().sum(dim=0), len(active_KF)
    some_F = (count_F >= 2) & (count_F < every)
    each = (count_F == 0, count_F == 1, some_F, count_F == every)
    return dict(zip(CATEGORIES, each, strict=True))


def rescaled(
    run: Run, model: str, shared: float, specific: float, *, scheme: str = "clas", draw: int = 0
) -> plain.Change:
    """Factors of the bridge layers' neurons."""
    if not (shared or specific):
        return NOTHING
    held = artifact(run, model)
    factors = {}
    for layer in held.about["bridge"]:
        name = f"mixed.{draw}.{layer}" if scheme == "mixed" else f"active.{layer}"
        found = sets(held.tensors[name])
        change_F = shared * found["partial_shared"].double() + specific * found["specific"].double()
        if scheme == "uniform":
            alive_F = (~found["dead"]).double()
            size = change_F.abs().sum() / max(1, alive_F.sum())
            change_F = alive_F * math.copysign(size, shared or specific)
        factors[layer] = (1 + change_F).float()
    return plain.Change(factors, {})


def overwritten(run: Run, model: str, language: str, value: str) -> plain.Change:
    """Constants of a language's neurons, in all layers."""
    held = artifact(run, model)
    constants = {}
    for layer in held.about["layers"]:
        if f"intmu.{layer}.{language}.neurons" in held.tensors:
            neurons_N = held.tensors[f"intmu.{layer}.{language}.neurons"].long()
            values_VN = held.tensors[f"intmu.{layer}.{language}.values"]
            place = 0 if value == "zero" else CONSTANTS.index(value)
            constants[layer] = (neurons_N, values_VN[place] * (value != "zero"))
    return plain.Change({}, constants)


def chosen(run: Run, row: Any, languages: Iterable[str]) -> tuple[float, float]:
    """The strength whose mean value over these languages is highest; of equal ones that nearest to
    none, then the larger."""
    if not (run.settings["beta"] and run.settings["gamma"]):
        raise SystemExit("strengths are compared where beta and gamma are not 0")
    values: dict[tuple[float, float], list[float]] = {}
    for one in run.rows("tuning", model=row.model, benchmark=row.benchmark):
        # Either factor alone is a dose, which is not chosen from.
        if one.language in languages and bool(one.shared) == bool(one.specific):
            values.setdefault((one.shared, one.specific), []).append(one.value)
    return max(
        values,
        key=lambda one: (round(float(np.mean(values[one])), 12), -sum(map(abs, one)), one[0]),
    )


def strength(run: Run, row: Any, scheme: str, language: str) -> tuple[float, float]:
    """The strength at which a scheme rescales in a language."""
    tuned = {one.language for one in run.rows("tuning", benchmark=row.benchmark)}
    others = tuned - {row.pivot}
    ways = {"clas_on_anchor": {row.pivot}, "clas_on_others": others - {language} or others}
    return chosen(run, row, ways.get(scheme, others))


def change(run: Run, compared: Compared, where: tuple[Any, ...], row: Any) -> plain.Change:
    """What was changed for a row, after comparing what it says of it."""
    check(row.switches)
    scheme = row.intervention
    if scheme != "mixed" and hasattr(row, "seed"):
        compared.same((*where, "seed"), int(row.seed), run.settings["seed"])
    if reference(row):
        compared.same((*where, "coefficient"), row.coefficient, 0.0)
        return NOTHING
    if scheme.startswith("intmu"):
        return overwritten(run, row.model, row.language, scheme.removeprefix("intmu_"))
    own, said = strength(run, row, scheme, row.language), json.loads(row.switches)
    compared.same((*where, "strength"), (said["shared"], said["specific"]), own)
    compared.same((*where, "coefficient"), row.coefficient, own[0])
    draw = int(row.seed) if scheme == "mixed" else 0
    return rescaled(run, row.model, *own, scheme=scheme, draw=draw)


def rows(run: Run, table: str) -> list[Any]:
    """The rows of a table that neurons were changed for, and those that they are set against."""
    schemes = ("clas", "mixed", "uniform", "intmu")
    return [
        row
        for row in run.rows(table)
        if isinstance(row.intervention, str)
        and row.intervention.startswith(schemes)
        and row.intervention not in UNKNOWN[table]
    ]


def answered(run: Run, row: Any, language: str) -> list[str]:
    """The items of a language that no strength was chosen on, in their order."""
    found = {
        one.item
        for table in ("items", "generations")
        for one in run.rows(table, model=row.model, benchmark=row.benchmark, language=language)
        if isinstance(one.intervention, str) and reference(one)
    }
    return [id for id in asked(run, row, language) if id in found]


def asked(run: Run, row: Any, language: str) -> dict[str, items.Question]:
    """The questions of a row's benchmark, whose prompt its answers name."""
    (prompt,) = {
        one.prompt
        for table in ("items", "generations")
        for one in run.rows(table, benchmark=row.benchmark)
    }
    return items.questions(run.data, row.benchmark, language, prompt)


def tuned(run: Run, row: Any) -> list[str]:
    """The items that a strength was chosen on: the others among those that were looked at."""
    left = set(answered(run, row, row.language))
    return [id for id in [*run.asked(row)][: run.limit] if id not in left]


class Chosen(NamedTuple):
    """The scores of a question's options, and how far each may be off."""

    scores: list[float]
    off: float

    @property
    def sure(self) -> bool:
        """Whether rounding leaves the highest where it is."""
        first, second = sorted(self.scores, reverse=True)[:2]
        return first - second > 2 * self.off


@cache
def scored(model: plain.Plain, question: items.Question, changed: plain.Change) -> Chosen:
    """The options of a question while the model is changed."""
    scores, off = [], 0.0
    with model.changed(changed):
        for option in question.options:
            ids, start = model.joined(question.context, option)
            logits_TV = model.logits(ids)
            scores.append(plain.summed(logits_TV, ids, start))
            off = max(off, changed.growth * model.allowed(logits_TV, tokens=len(ids) - start))
    return Chosen(scores, off)


@cache
def wrote(
    model: plain.Plain, question: items.Question, settings: str, changed: plain.Change
) -> Written:
    """A greedy text while the model is changed."""
    with model.changed(changed):
        return written(model, question.context, json.loads(settings), off=changed.growth)


@kind
def tuning(run: Run, compared: Compared) -> None:
    """What each strength makes of the items that one is chosen on."""
    for row in run.rows("tuning"):
        check(row.switches)
        where = (row.model, row.benchmark, row.language, row.shared, row.specific)
        model, questions, ids = run.model(row.model), run.asked(row), tuned(run, row)
        compared.same((*where, "n"), row.n, len(ids))
        # The anchor is rescaled here too: a strength may be chosen on it alone.
        changed = rescaled(run, row.model, row.shared, row.specific)
        if row.metric == "f1":
            (settings,) = {one.settings for one in run.rows("generations", benchmark=row.benchmark)}
            texts = [wrote(model, questions[id], settings, changed) for id in ids]
            scores = [
                squad(one.text, list(questions[id].answers))[1]
                for id, one in zip(ids, texts, strict=True)
            ]
            _value(compared, where, row, scores, [one.sure for one in texts])
            continue
        found = [scored(model, questions[id], changed) for id in ids]
        gold = [questions[id].gold for id in ids]
        given = [int(np.argmax(one.scores)) for one in found]
        right = [float(one == other) for one, other in zip(gold, given, strict=True)]
        _value(compared, where, row, right, [one.sure for one in found])
        if not all(one.sure for one in found):
            compared.undecided += 2
            continue
        compared.number((*where, "macro_f1"), row.macro_f1, macro_f1(gold, given))
        top = max(Counter(given).values()) / len(given)
        compared.number((*where, "top_share"), row.top_share, top)


def _value(
    compared: Compared,
    where: tuple[Any, ...],
    row: Any,
    values: Sequence[float],
    sure: Sequence[bool],
) -> None:
    """Compare a mean of which some values may be anything."""
    unsure = len(sure) - sum(sure)
    compared.undecided += unsure
    allowed = EXACT + unsure / len(sure)
    compared.number((*where, "value"), row.value, float(np.mean(values)), allowed=allowed)


def macro_f1(gold: Sequence[int], given: Sequence[int]) -> float:
    """The mean over options that are right somewhere of 2 tp / (2 tp + fp + fn)."""
    found = []
    for label in set(gold):
        right = sum(a == b == label for a, b in zip(gold, given, strict=True))
        found.append(2 * right / (gold.count(label) + given.count(label)))
    return sum(found) / len(found)


@kind
def scaled(run: Run, compared: Compared) -> None:
    """Options scored while neurons are rescaled or constant, at the strength that was chosen."""
    for row in rows(run, "items"):
        where = (row.model, row.language, row.intervention, row.item)
        model, question = run.model(row.model), run.asked(row)[row.item]
        own = scored(model, question, change(run, compared, where, row))
        for place, (stored, score) in enumerate(zip(row.scores, own.scores, strict=True)):
            compared.number((*where, place), stored, score, allowed=own.off)
        compared.same((*where, "gold"), row.gold, question.gold)
        choice(compared, row, own.scores, own.off)


@kind
def scaled_texts(run: Run, compared: Compared) -> None:
    """Greedy texts, token by token, while neurons are rescaled or constant."""
    for row in rows(run, "generations"):
        where = (row.model, row.language, row.intervention, row.item)
        model, question = run.model(row.model), run.asked(row)[row.item]
        changed = change(run, compared, where, row)
        text(compared, where, row, wrote(model, question, row.settings, changed))
