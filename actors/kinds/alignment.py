"""Cells over parallel text: scores of every layer, checks of them, and pictures.

Batches are formed from all the texts of one language and from nothing else, so a value does not
depend on how cells were grouped into units. One language's vectors are held at a time, beside the
pivot's; a picture of all languages together holds those of its own layers.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading, capture
from actors.kinds.resources import LanguageVectors, PivotCache, Resources
from actors.measures.alignment import align, similarity
from actors.measures.projection import lay_out
from actors.measures.robustness import checks
from actors.measures.similarity import anc, cka, cosine, svcca
from actors.model import LoadedModel
from studies.content import Together
from studies.kinds.alignment import AlignmentGrid
from studies.measures import Measure, State, normed, resolve
from studies.prompt_options import Chat
from studies.spec import Cell, Row, Switches, digest
from studies.texts import Bitext
from studies.unit import Unit

# Shapes: N pairs, D width of a vector


class _Pair(NamedTuple):
    """The vectors of both languages as a measure wants them."""

    pivot_ND: Tensor
    language_ND: Tensor


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """The rows of cells over parallel text, whichever table they are for."""
    grid = unit.grid
    assert isinstance(grid, AlignmentGrid)
    names = {str(cell.measure) for cell in unit.cells}
    measures = {name: resolve(name, switches=grid.switches) for name in names}
    readings = {
        cell.key: _reading(loaded, cell, measures[str(cell.measure)], grid.switches)
        for cell in unit.cells
    }
    refused = _refused(loaded, readings)
    unit = unit.without(refused)
    if grid.together:
        return Found(_together(loaded, unit, measures, readings), refused=refused)
    switches = grid.switches.text()
    needed: dict[tuple[str, ...], set[Reading]] = defaultdict(set)
    for part in unit.parts:
        assert isinstance(part.content, Bitext)
        needed[part.content.pivot_texts] |= {readings[cell.key] for cell in part.cells}
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        bitext = part.content
        assert isinstance(bitext, Bitext)
        own = {readings[cell.key] for cell in part.cells}
        pivot = _pivot_vectors(loaded, unit, bitext, needed[bitext.pivot_texts], resources.pivots)
        language = _vectors(loaded, unit, bitext.texts, own, chat=bitext.chat)
        qualities = _qualities(grid, bitext, pivot, language)
        for cell in part.cells:
            measure = measures[str(cell.measure)]
            reading = readings[cell.key]
            sides = (pivot.vectors.at(reading), language.vectors.at(reading))
            pair = _Pair(*(_state(side.to(loaded.device), measure) for side in sides))
            rows += [
                (cell, {**qualities, **found, "switches": switches})
                for found in ROWS[grid.table](pair, measure, grid, bitext)
            ]
    return Found(rows, refused=refused)


def _refused(loaded: LoadedModel, readings: dict[str, Reading]) -> dict[str, str]:
    """The cells, by key, whose site this model lacks, such as the neurons of a mixture of experts.

    They fail alone: cells of other measures read the same texts and have their answers.
    """
    refused: dict[str, str] = {}
    for key, reading in readings.items():
        try:
            loaded.sites.check(reading.site, layer=reading.layer)
        except ValueError as error:
            refused[key] = f"ValueError: {error}"
    return refused


def _reading(loaded: LoadedModel, cell: Cell, measure: Measure, switches: Switches) -> Reading:
    """What a cell's measure reads under the switches."""
    assert cell.pooling is not None and cell.layer is not None
    last = loaded.facts.layers
    if cell.layer not in measure.layers(last):
        raise ValueError(
            f"measure {cell.measure!r} has layers {measure.first_layer} to {last} in model "
            f"{loaded.facts.label!r}; layer {cell.layer} was asked for"
        )
    after_norm = normed(measure, layer=cell.layer, last=last, switches=switches)
    return Reading(
        site="final_norm" if after_norm else measure.site,
        state=measure.state,
        pooling=cell.pooling,
        layer=cell.layer,
    )


def _pivot_vectors(
    loaded: LoadedModel, unit: Unit, bitext: Bitext, readings: set[Reading], pivots: PivotCache
) -> LanguageVectors:
    assert isinstance(unit.grid, AlignmentGrid)
    texts, chat = bitext.pivot_texts, bitext.chat
    key = digest(
        [texts, unit.grid.switches.include_bos, unit.allow_truncation, chat and chat.identity]
    )
    return pivots.get(key, readings, lambda: _vectors(loaded, unit, texts, readings, chat=chat))


def _vectors(
    loaded: LoadedModel,
    unit: Unit,
    texts: Sequence[str],
    readings: set[Reading],
    *,
    chat: Chat | None,
) -> LanguageVectors:
    """The vectors of one language's texts; what a chat template adds to them is not counted."""
    assert isinstance(unit.grid, AlignmentGrid)
    encoded = loaded.encode(texts, allow_truncation=unit.allow_truncation, chat=chat)
    include_bos = unit.grid.switches.include_bos
    vectors = capture(loaded, encoded.sequences, readings, include_bos=include_bos)
    if chat is None:
        tokens = sum(map(len, encoded.sequences)) - len(texts) * len(loaded.prefix)
    else:
        tokens = sum(map(len, loaded.tokenise(texts)))
    return LanguageVectors(vectors=vectors, tokens=tokens, truncated=encoded.truncated)


def _state(vectors_ND: Tensor, measure: Measure) -> Tensor:
    """Pooled vectors as the measure wants them: as they are, or their own neuron states."""
    states: dict[State, Callable[[Tensor], Tensor]] = {
        "raw": lambda values: values,
        "positive": lambda values: (values > 0).to(values.dtype),
        "magnitude": torch.abs,
    }
    return states[measure.pooled_state](vectors_ND)


def _qualities(
    grid: AlignmentGrid, bitext: Bitext, pivot: LanguageVectors, language: LanguageVectors
) -> Row:
    """What qualifies every number of a bitext."""
    if grid.table == "points":
        return {}
    pairs: Row = {"pairs": str((grid.questions.sample if grid.questions else grid.pairs) or "all")}
    if grid.table == "robustness":
        return pairs
    return {
        "n": len(bitext.ids),
        **pairs,
        "duplicates": duplicates(bitext),
        "tokens": language.tokens,
        "pivot_tokens": pivot.tokens,
        "truncated": pivot.truncated + language.truncated,
    }


def duplicates(bitext: Bitext) -> int:
    """Pairs of which a text, on either side, stands in another pair as well."""
    counts = [Counter(texts) for texts in (bitext.pivot_texts, bitext.texts)]
    pairs = zip(bitext.pivot_texts, bitext.texts, strict=True)
    return sum(counts[0][pivot] > 1 or counts[1][text] > 1 for pivot, text in pairs)


@torch.inference_mode()
def _score(pair: _Pair, measure: Measure, grid: AlignmentGrid, _bitext: Bitext) -> list[Row]:
    """One number for both languages; of mutual neighbours also what stands behind it."""
    switches = grid.switches
    names = ("value", "ties", "p_null", "forward", "backward", "margin")
    row: Row = dict.fromkeys((*names, "constant"))
    if measure.score == "mutual_nearest":
        found = align(*pair, ties_pass=switches.tie_rule == "equal")
        return [{**row, **{name: getattr(found, name) for name in names}}]
    if measure.score == "anc":
        neurons = anc(*pair, absolute=switches.anc_abs)
        return [{**row, "value": neurons.value, "constant": neurons.constant}]
    if measure.score == "svcca":
        return [{**row, "value": svcca(*pair, keep=switches.svcca_keep)}]
    if measure.score in ("cosine", "cosine_centred"):
        return [{**row, "value": cosine(*pair, centred=measure.score == "cosine_centred")}]
    return [{**row, "value": cka(*pair, debiased=switches.cka == "debiased")}]


@torch.inference_mode()
def _check(pair: _Pair, _measure: Measure, grid: AlignmentGrid, bitext: Bitext) -> list[Row]:
    """How far a score can be trusted."""
    texts = list(zip(bitext.pivot_texts, bitext.texts, strict=True))
    found = checks(
        similarity(*pair),
        texts=texts,
        seed=grid.seed,
        ties_pass=grid.switches.tie_rule == "equal",
    )
    return [
        {
            "n": check.n,
            "check": check.name,
            "value": check.value,
            "low": check.low,
            "high": check.high,
            "p": check.p,
            "samples": check.samples,
        }
        for check in found
    ]


def _points(pair: _Pair, _measure: Measure, grid: AlignmentGrid, bitext: Bitext) -> list[Row]:
    """Where every sentence of both languages lies in a picture."""
    sides = [(bitext.pivot, bitext.ids), (bitext.language, bitext.ids)]
    return _picture(torch.cat(list(pair)), grid, sides)


def _picture(
    vectors_ND: Tensor, grid: AlignmentGrid, sides: Sequence[tuple[str, Sequence[str]]]
) -> list[Row]:
    """Where every vector lies; `sides` are the languages and their ids, in the vectors' order."""
    assert grid.method is not None, "points come with a method"
    points = lay_out(vectors_ND, method=grid.method, seed=grid.seed).tolist()
    names = [(side, item) for side, ids in sides for item in ids]
    return [
        {"method": grid.method, "item": item, "side": side, "x": x, "y": y}
        for (side, item), (x, y) in zip(names, points, strict=True)
    ]


class _Side(NamedTuple):
    """One language's texts in a picture of all of them."""

    language: str
    ids: tuple[str, ...]
    texts: tuple[str, ...]


def _together(
    loaded: LoadedModel, unit: Unit, measures: dict[str, Measure], readings: dict[str, Reading]
) -> Iterator[tuple[Cell, Row]]:
    """One picture per cell, of the pivot's texts and of those of every language."""
    grid = unit.grid
    assert isinstance(grid, AlignmentGrid)
    switches = grid.switches.text()
    for part in unit.parts:
        picture = part.content
        assert isinstance(picture, Together)
        sides = _sides(picture.parts)
        wanted = {readings[cell.key] for cell in part.cells}
        read = [
            _vectors(loaded, unit, side.texts, wanted, chat=picture.chat).vectors for side in sides
        ]
        names = [(side.language, side.ids) for side in sides]
        for cell in part.cells:
            measure, reading = measures[str(cell.measure)], readings[cell.key]
            states_ND = torch.cat([_state(vectors.at(reading), measure) for vectors in read])
            for found in _picture(states_ND, grid, names):
                yield cell, {**found, "switches": switches}


def _sides(bitexts: Sequence[Bitext]) -> list[_Side]:
    """The pivot's texts, each once, then those of every other language.

    Raises:
        ValueError: the languages are not translations of the same texts.
    """
    pivot: dict[str, str] = {}
    for bitext in bitexts:
        for item, text in zip(bitext.ids, bitext.pivot_texts, strict=True):
            if pivot.setdefault(item, text) != text:
                raise ValueError(
                    f"item {item!r} of {bitext.dataset!r} has two texts in {bitext.pivot}, "
                    f"{pivot[item]!r} and that of {bitext.language}, {text!r}: a picture of all "
                    "languages together needs one; ask for each language alone"
                )
    first = _Side(bitexts[0].pivot, tuple(pivot), tuple(pivot.values()))
    others = [one for one in bitexts if one.language != one.pivot]
    return [first, *(_Side(one.language, one.ids, one.texts) for one in others)]


ROWS: dict[str, Callable[[_Pair, Measure, AlignmentGrid, Bitext], list[Row]]] = {
    "alignment": _score,
    "robustness": _check,
    "points": _points,
}
