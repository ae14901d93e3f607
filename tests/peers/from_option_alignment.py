"""Kinds of numbers of option alignment: every option of an item beside its own translation.

Formulas: DALI (arXiv 2504.09378) and its strong form; MEXA (arXiv 2410.05873) of single questions.
Imports nothing of ours.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import items
import numpy as np
import plain
from compared import Compared, Run, kind
from from_alignment import Matrix, unit
from from_models import option_score, said, uncut

# Shapes: N items, J options, D width

# The prompt whose answers say which wrong options are likeliest, where there are several.
SYMBOLS = {"belebele": "letter"}
FEW = (2, 3)
# The control `mismatched` pairs items within so many, in their order.
TOGETHER = 16

Vectors = tuple[Matrix, ...]  # of a text by layer, [D] of length 1 each
Margins = dict[str, list[float] | None]  # of a column by layer; None where rounding decides whose


@cache
def vectors(model: plain.Plain, text: str, pooling: str) -> Vectors:
    """Those of a text, from the embeddings to behind the final norm."""
    return units(model, text, pooling)


def units(model: plain.Plain, text: str, pooling: str) -> Vectors:
    """The same under whatever hooks there are."""
    read = model.read(model.ids(text))
    streams = [read.stream_TD[layer] for layer in range(len(model.blocks))]
    pooled = (plain.pooled(state_TD, pooling) for state_TD in (*streams, read.normed_TD))
    return tuple(unit(vector_D[None])[0] for vector_D in pooled)


def cosines(
    model: plain.Plain, first: Sequence[str], second: Sequence[str], pooling: str
) -> list[Matrix]:
    """By layer the cosines [N, N] of every text of one side with every one of the other."""
    down, across = ([vectors(model, text, pooling) for text in side] for side in (first, second))
    return crossed(down, across)


def crossed(first: Sequence[Vectors], second: Sequence[Vectors]) -> list[Matrix]:
    """The same of texts that were read."""
    by_layer = zip(*(zip(*side, strict=True) for side in (first, second)), strict=True)
    return [np.stack(down_ND) @ np.stack(across_ND).T for down_ND, across_ND in by_layer]


def dali(cross_JJ: Matrix, *within_JJ: Matrix) -> float:
    """The least similar matched pair less the most similar other one, also those within one
    language where they are given (the strong form)."""
    others = [
        value
        for each_JJ in (cross_JJ, *within_JJ)
        for (j, k), value in np.ndenumerate(each_JJ)
        if j != k
    ]
    return float(min(np.diag(cross_JJ)) - max(others))


def both(
    model: plain.Plain, pivot: Sequence[str], own: Sequence[str], pooling: str
) -> tuple[list[float], list[float]]:
    """By layer `dali`, and its strong form."""
    pairs = ((pivot, own), (pivot, pivot), (own, own))
    three = [cosines(model, *pair, pooling) for pair in pairs]
    return list(map(dali, three[0])), list(map(dali, *three))


def beside(cross_NN: Matrix, place: int) -> float:
    """A matched pair less the most similar other of its row and column."""
    row_N, column_N = np.delete(cross_NN[place], place), np.delete(cross_NN[:, place], place)
    return float(cross_NN[place, place] - max(*row_N, *column_N))


def against_all(cross_JJ: Matrix, place: int) -> float:
    """A matched pair less the most similar of all others, matched ones too."""
    others = np.delete(cross_JJ.ravel(), place * len(cross_JJ) + place)
    return float(cross_JJ[place, place] - max(others))


def another_order(id: str, count: int) -> list[int]:
    """Options in an order in which none keeps its place: sorted by the digest of 0 and "ID PLACE",
    each gives way to the next one."""
    order = sorted(range(count), key=lambda place: items.digest(0, f"{id} {place}"))
    follows = dict(zip(order, [*order[1:], order[0]], strict=True))
    return [follows[place] for place in range(count)]


def partners(questions: dict[str, items.Question]) -> dict[str, str | None]:
    """Of every item the one whose options stand for its own: half of those together further on."""
    found: dict[str, str | None] = {}
    for count in {len(question.texts) for question in questions.values()}:
        ids = [id for id, question in questions.items() if len(question.texts) == count]
        ends = [*range(TOGETHER, len(ids), TOGETHER), len(ids)]
        if len(ends) > 1 and ends[-1] - ends[-2] == 1:  # one that is left joins those before it
            del ends[-2]
        for start, end in zip([0, *ends], ends, strict=False):
            some = ids[start:end]
            ahead = len(some) // 2
            for place, id in enumerate(some):
                found[id] = some[(place + ahead) % len(some)] if ahead else None
    return found


def texts(question: items.Question) -> list[str]:
    """What a question says with each of its options."""
    return [question.context + option for option in question.options]


def with_symbols(run: Run, row: Any, question: items.Question) -> items.Question | None:
    """An item with more than two options as it is asked for the likeliest wrong ones."""
    if len(question.options) <= min(FEW):
        return None
    return run.asked(row._replace(prompt=SYMBOLS[row.benchmark]))[row.item]


def likeliest(model: plain.Plain, question: items.Question | None) -> dict[int, list[int] | None]:
    """By how many are kept, the right option and the likeliest wrong ones by the model's own
    answer, in their order; None where rounding decides which."""
    if question is None:
        return {}
    scored = [option_score(model, question, option) for option in question.options]
    wrong = [place for place in range(len(scored)) if place != question.gold]
    wrong.sort(key=lambda place: -scored[place][0])
    found: dict[int, list[int] | None] = {}
    for kept in FEW:
        if kept < len(scored):
            (last, off), (following, other) = (scored[wrong[kept - 2 + step]] for step in (0, 1))
            sure = last - following > off + other
            found[kept] = sorted([question.gold, *wrong[: kept - 1]]) if sure else None
    return found


@kind
def option_alignment(run: Run, compared: Compared) -> None:
    """Margins of DALI, its relatives and controls, and of MEXA, by item and layer."""
    for rows in run.cells("option_alignment"):
        model, (own, pivot) = run.model(rows[0].model), run.sides(rows[0])
        cell = (rows[0].model, rows[0].benchmark, rows[0].language)
        compared.same((*cell, "items"), sorted(row.item for row in rows), sorted(own))
        pooling = said(rows[0].switches, "dali_pool", others={"xcopa_connectors"})
        there, here = ([side[id].context for id in own] for side in (pivot, own))
        premises = cosines(model, there, here, pooling) if len(own) > 1 else []
        order, others = list(own), partners(own)
        for row in rows:
            question, beyond, where = own[row.item], pivot[row.item], (*cell, row.item)
            asked = with_symbols(run, row, question)
            _facts(compared, where, row, model, [question, beyond, *([asked] if asked else [])])
            place, partner = order.index(row.item), others[row.item]
            columns = _of_all(
                model, row.item, texts(beyond), texts(question), question.gold, pooling
            )
            columns["mexa"] = [beside(cross_NN, place) for cross_NN in premises]
            columns["mismatched"] = []
            if partner is not None:
                strange = cosines(model, texts(beyond), texts(own[partner]), pooling)
                columns["mismatched"] = list(map(dali, strange))
            chosen = likeliest(model, asked)
            for kept in FEW:
                names = (f"dali_{kept}", f"strong_{kept}")
                columns |= dict.fromkeys(names, None if kept in chosen else [])
                if few := chosen.get(kept):
                    two = [[texts(side)[one] for one in few] for side in (beyond, question)]
                    margins = both(model, two[0], two[1], pooling)
                    columns |= dict(zip(names, margins, strict=True))
            _compare(compared, where, row, columns, 4 * model.relative)


def _of_all(
    model: plain.Plain, id: str, pivot: list[str], own: list[str], gold: int, pooling: str
) -> Margins:
    """The margins that all options of an item have."""
    crosses = cosines(model, pivot, own, pooling)
    turned = cosines(model, pivot, [own[k] for k in another_order(id, len(own))], pooling)
    plainly, strongly = both(model, pivot, own, pooling)
    return {
        "dali": plainly,
        "strong": strongly,
        "local": [min(beside(one_JJ, j) for j in range(len(own))) for one_JJ in crosses],
        "gold_only": [against_all(one_JJ, gold) for one_JJ in crosses],
        "permuted": list(map(dali, turned)),
    }


def _compare(
    compared: Compared, where: tuple[Any, ...], row: Any, columns: Margins, allowed: float
) -> None:
    """Compare margins by layer: each is a difference of two cosines, of two vectors each."""
    for column, margins in columns.items():
        if margins is None:
            compared.undecided += len(getattr(row, column))
        else:
            listed(compared, (*where, column), getattr(row, column), margins, allowed)


def listed(
    compared: Compared,
    where: tuple[Any, ...],
    stored: Sequence[float],
    own: Sequence[float],
    allowed: float,
) -> None:
    """Compare two lists of numbers by layer."""
    compared.same((*where, "layers"), len(stored), len(own))
    for place, (one, other) in enumerate(zip(stored, own, strict=False)):
        compared.number((*where, place), one, other, allowed=allowed)


def _facts(
    compared: Compared,
    where: tuple[Any, ...],
    row: Any,
    model: plain.Plain,
    read: Sequence[items.Question],
) -> None:
    """Compare what is known of an item before any model: `read` are the language's, the pivot's
    and perhaps the one with symbols."""
    for name, side in zip(("tokens", "pivot_tokens"), read, strict=False):
        ids = model.ids(texts(side)[side.gold], special=False)
        compared.same((*where, name), getattr(row, name), len(ids))
    tokens = [len(model.ids(text)) for text in texts(read[0])]
    right = tokens.pop(read[0].gold)
    compared.number((*where, "gold_longer"), row.gold_longer, right - float(np.mean(tokens)))
    compared.same((*where, "gold"), row.gold, read[0].gold)
    compared.same((*where, "options"), row.options, len(read[0].options))
    compared.same((*where, "layers"), list(row.layers), list(range(len(model.blocks) + 1)))
    longest = max(len(model.ids(text)) for side in read for text in texts(side))
    uncut(compared, where, row, model, longest)
