"""Cells of pictures: prompts of all languages in the plane, plain and rescaled (CLAS, Figure 4).

Axes of two t-SNE pictures mean nothing to each other, so silhouettes and distances are those of the
space itself.
"""

import torch
from torch import Tensor

from actors.answer import Found
from actors.extraction.capture import Reading, capture
from actors.kinds.resources import Resources
from actors.kinds.scaled_states import clas
from actors.kinds.tuning import taken
from actors.measures.projection import lay_out
from actors.model import LoadedModel
from studies.content import Together
from studies.kinds.scaled import ScalingGrid
from studies.spec import Cell, Row
from studies.texts import Bitext
from studies.unit import Part, Unit

# Shapes: N prompts of all languages, D width


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per prompt of every picture."""
    rows: list[tuple[Cell, Row]] = []
    for part in unit.parts:
        (cell,) = part.cells
        rows += [(cell, row) for row in _picture(loaded, part, unit, resources)]
    return Found(rows)


def _picture(loaded: LoadedModel, part: Part, unit: Unit, resources: Resources) -> list[Row]:
    """All prompts before and after."""
    grid, asked = unit.grid, part.content
    assert isinstance(grid, ScalingGrid) and isinstance(asked, Together)
    bitexts: tuple[Bitext, ...] = asked.parts
    first = bitexts[0]
    categories = taken(loaded, resources.artifacts[part.taken["categories"]])
    layer = max(1, loaded.facts.layers - 1)
    reading = Reading(site="resid_post", state="raw", pooling="average", layer=layer)
    sides = [(grid.pivot, first.ids, first.pivot_texts)]
    sides += [(one.language, one.ids, one.texts) for one in bitexts]
    states: dict[str, list[Tensor]] = {"before": [], "after": []}
    names: list[tuple[str, str]] = []
    switches: Row = {}
    for language, ids, texts in sides:
        strength, setting = clas(part, grid, resources, categories, language=language)
        switches = {**strength._asdict(), "switches": grid.how}
        acting = tuple(one for one in setting if one.where != "generated" and one.layer <= layer)
        encoded = loaded.encode(texts, allow_truncation=unit.allow_truncation, chat=asked.chat)
        plain = capture(loaded, encoded.sequences, [reading]).at(reading)
        states["before"].append(plain)
        states["after"].append(
            capture(loaded, encoded.sequences, [reading], setting=acting).at(reading)
            if acting
            else plain
        )
        names += [(language, id) for id in ids]
    rows: list[Row] = []
    for state, parts in states.items():
        states_ND = torch.cat(parts).double()
        points_N2 = lay_out(states_ND, method="tsne", seed=grid.seed)
        silhouettes = _silhouettes(states_ND, [language for language, _ in names])
        distances = _distances(states_ND, [language for language, _ in names], grid.pivot)
        for (language, id), (x, y), silhouette in zip(
            names, points_N2.tolist(), silhouettes, strict=True
        ):
            rows.append(
                {
                    "state": state,
                    "side": language,
                    "item": id,
                    "x": x,
                    "y": y,
                    "silhouette": silhouette,
                    "distance": distances[language],
                    **switches,
                }
            )
    return rows


def _silhouettes(states_ND: Tensor, languages: list[str]) -> list[float]:
    """Of every prompt among those of its language, by cosine distance."""
    from sklearn.metrics import silhouette_samples  # heavy, and not everywhere that models are

    found: list[float] = silhouette_samples(states_ND.numpy(), languages, metric="cosine").tolist()
    return found


def _distances(states_ND: Tensor, languages: list[str], pivot: str) -> dict[str, float]:
    """The cosine distance of every language's mean from the anchor's."""
    means = {
        one: states_ND[torch.tensor([language == one for language in languages])].mean(dim=0)
        for one in dict.fromkeys(languages)
    }
    own_D = means[pivot]
    return {
        one: max(0.0, float(1 - mean_D @ own_D / (mean_D.norm() * own_D.norm())))
        for one, mean_D in means.items()
    }
