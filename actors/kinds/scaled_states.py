"""Cells of rescaled states: the same prompts in a language and the anchor, plain and rescaled.

The anchor's own states stay as they are. Vectors are means over all tokens of the activation that
is rescaled, and of the residual stream behind it (CLAS, Figures 2 and 8).
"""

from collections.abc import Mapping

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading, Vectors, capture
from actors.intervention.setting import Setting
from actors.kinds.resources import Resources
from actors.kinds.scaled import strengths_of
from actors.kinds.tuning import taken
from actors.model import LoadedModel
from actors.neurons.file import Categories
from actors.neurons.scaling import SITES, rescaled
from actors.structure.sites import SiteName
from studies.kinds.scaled import ScalingGrid
from studies.neuron_options import Strength
from studies.spec import Cell, Row
from studies.texts import Bitext
from studies.unit import Part, Unit

# Shapes: N items, D width of a vector


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per bridge layer and site of every cell, and one for all bridge layers."""
    grid = unit.grid
    assert isinstance(grid, ScalingGrid)
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        (cell,), asked = part.cells, part.content
        assert isinstance(asked, Bitext)
        categories = taken(loaded, resources.artifacts[part.taken["categories"]])
        strength, setting = clas(part, grid, resources, categories, language=asked.language)
        found = _rows(loaded, asked, categories, setting, cut=unit.allow_truncation)
        shared = {**strength._asdict(), "switches": grid.how, "n": len(asked.ids)}
        rows += [(cell, {**row, **shared}) for row in found]
    return Found(rows)


def clas(
    part: Part, grid: ScalingGrid, resources: Resources, categories: Categories, *, language: str
) -> tuple[Strength, Setting]:
    """The chosen strength, and what it changes in a language; nothing in the anchor."""
    strength = strengths_of(part, grid, resources, language=language)["clas"]
    if language == grid.pivot:
        return strength, ()
    return strength, rescaled(categories, strength, language=language, how=grid.rescaling)


def _rows(
    loaded: LoadedModel, asked: Bitext, categories: Categories, setting: Setting, *, cut: bool
) -> list[Row]:
    """Similarities before and after, of every bridge layer and of the mean over them."""
    about = categories.about
    sites: dict[str, SiteName] = {about.site: SITES[about.site], "resid": "resid_post"}
    readings = {
        (name, layer): Reading(site=site, state="raw", pooling="average", layer=layer)
        for name, site in sites.items()
        for layer in about.bridge
    }
    texts, pivots = (
        loaded.encode(side, allow_truncation=cut, chat=asked.chat).sequences
        for side in (asked.texts, asked.pivot_texts)
    )
    # A setting at new tokens has none to act on here.
    acting = tuple(one for one in setting if one.where != "generated")
    plain = capture(loaded, texts, readings.values())
    changed = capture(loaded, texts, readings.values(), setting=acting) if acting else plain
    anchor = capture(loaded, pivots, readings.values())
    rows: list[Row] = []
    for name in sites:
        own = {layer: reading for (site, layer), reading in readings.items() if site == name}
        three = [_by_layer(vectors, own) for vectors in (plain, changed, anchor)]
        for layer in (0, *about.bridge):
            before_ND, after_ND, anchor_ND = (one[layer] for one in three)
            rows.append(
                {
                    "layer": layer,
                    "site": name,
                    "before": _mean_of_cosines(before_ND, anchor_ND),
                    "after": _mean_of_cosines(after_ND, anchor_ND),
                    "before_of_means": _cosine_of_means(before_ND, anchor_ND),
                    "after_of_means": _cosine_of_means(after_ND, anchor_ND),
                }
            )
    return rows


def _by_layer(vectors: Vectors, readings: Mapping[int, Reading]) -> dict[int, Tensor]:
    """The vectors [N, D] of every layer in fp64, and under 0 their mean over layers."""
    found = {layer: vectors.at(reading).double() for layer, reading in readings.items()}
    found[0] = torch.stack(list(found.values())).mean(dim=0)
    return found


def _mean_of_cosines(one_ND: Tensor, other_ND: Tensor) -> float:
    return float(_cosines(one_ND, other_ND).mean())


def _cosine_of_means(one_ND: Tensor, other_ND: Tensor) -> float:
    return float(_cosines(one_ND.mean(dim=0, keepdim=True), other_ND.mean(dim=0, keepdim=True)))


def _cosines(one_ND: Tensor, other_ND: Tensor) -> Tensor:
    """The cosine [N] of every pair; NaN with a zero vector."""
    dots_N = (one_ND * other_ND).sum(dim=1)
    cosines_N: Tensor = dots_N / (one_ND.norm(dim=1) * other_ND.norm(dim=1))
    return cosines_N.clamp(-1, 1)
