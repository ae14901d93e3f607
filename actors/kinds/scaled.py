"""Cells of rescaled answers: items that no strength was chosen on, under all schemes of a language.

Of a benchmark with options all schemes are one sweep, which runs the layers before the first bridge
layer once. Texts are written once for each scheme. What a scheme is, is in studies/kinds/scaled.py.
"""

from collections.abc import Mapping, Sequence

from actors.answer import Found
from actors.intervention.setting import Setting
from actors.kinds.choices import swept_rows
from actors.kinds.generation import ENGINE, encoded, rows_of, texts_under
from actors.kinds.resources import Resources
from actors.kinds.tuning import taken
from actors.model import LoadedModel
from actors.neurons.file import TUNING_FORM, Categories
from actors.neurons.scaling import overwritten, rescaled
from actors.prediction.score import ask
from studies.kinds.scaled import INTMU, ScalingGrid
from studies.neuron_options import PLAIN, Strength, text
from studies.spec import Cell, Row
from studies.texts import ChoiceSet, GenerationSet
from studies.tuning_split import choose
from studies.unit import Part, Unit

INTMU_PREFIX = INTMU.partition("_")[0]


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:
    """One row per item of every cell; a cell at coefficient 0 is the plain model."""
    assert isinstance(unit.grid, ScalingGrid)
    rows: list[tuple[Cell, Row]] = []
    refused: dict[str, str] = {}
    for part in unit.parts:
        found = _answers(loaded, part, unit.grid, resources, refused, cut=unit.allow_truncation)
        rows += found
    return Found(rows, refused=refused)


def strengths_of(
    part: Part, grid: ScalingGrid, resources: Resources, *, language: str
) -> dict[str, Strength]:
    """The strength of every way of choosing, from the values that tuning found.

    `clas` is chosen over all languages but the anchor, `clas_on_anchor` on the anchor alone,
    `clas_on_others` on all but the anchor and this language.
    """
    values: dict[str, tuple[float, ...]] = {}
    strengths: tuple[Strength, ...] = ()
    for name, key in part.taken.items():
        if name.startswith("tuning "):
            about, _ = TUNING_FORM.unpack(resources.artifacts[key])
            values[about.language] = about.values
            strengths = tuple(Strength(*one) for one in about.strengths)
    steered = [one for one in values if one != grid.pivot]
    ways = {
        "clas": steered,
        "clas_on_anchor": [grid.pivot],
        "clas_on_others": [one for one in steered if one != language] or steered,
    }
    among = tuple(dict.fromkeys((PLAIN, *grid.strengths)))
    return {
        way: choose(values, strengths, among=among, languages=languages)
        for way, languages in ways.items()
    }


def _answers(
    loaded: LoadedModel,
    part: Part,
    grid: ScalingGrid,
    resources: Resources,
    refused: dict[str, str],
    *,
    cut: bool,
) -> list[tuple[Cell, Row]]:
    """The rows of one language; adds to `refused` the cells that nothing can be done for."""
    asked = part.content
    assert isinstance(asked, ChoiceSet | GenerationSet)
    categories = taken(loaded, resources.artifacts[part.taken["categories"]])
    chosen = strengths_of(part, grid, resources, language=asked.language)
    cells: list[Cell] = []
    settings: list[Setting] = []
    for cell in part.cells:
        try:
            settings.append(_setting(cell, categories, chosen, grid, language=asked.language))
        except ValueError as error:
            refused[cell.key] = str(error)
            continue
        cells.append(cell)
    if isinstance(asked, ChoiceSet):
        entries = ask(loaded, asked.items, chat=asked.chat, allow_truncation=cut)
        answered = swept_rows(loaded, asked, entries, settings)
    else:
        answered = _written(loaded, asked, settings, cut=cut)
    return [
        (cell, {**row, **_how(cell, chosen, grid)})
        for cell, own in zip(cells, answered, strict=True)
        for row in own
    ]


def _setting(
    cell: Cell,
    categories: Categories,
    chosen: Mapping[str, Strength],
    grid: ScalingGrid,
    *,
    language: str,
) -> Setting:
    """What a cell changes."""
    scheme = str(cell.intervention)
    if cell.coefficient == 0:
        return ()
    if scheme.startswith(INTMU_PREFIX):
        return overwritten(categories, language=language, value=scheme.partition("_")[2])
    return rescaled(
        categories,
        _strength(scheme, chosen),
        language=language,
        how=grid.rescaling,
        scheme=scheme,
        draw=cell.seed or 0,
    )


def _strength(scheme: str, chosen: Mapping[str, Strength]) -> Strength:
    """That of a scheme: its own way of choosing, or the usual one."""
    return chosen.get(scheme, chosen["clas"])


def _written(
    loaded: LoadedModel, asked: GenerationSet, settings: Sequence[Setting], *, cut: bool
) -> list[list[Row]]:
    """The texts under every setting, as rows of `generations`; settings that change nothing are
    written once."""
    prompts = encoded(loaded, asked, allow_truncation=cut)
    plain: list[Row] = []
    found = []
    for setting in settings:
        if setting or not plain:
            texts = texts_under(loaded, prompts, setting=setting)
            rows = rows_of(loaded, prompts, texts, engine=ENGINE)
            plain = plain if setting else rows
        else:
            rows = plain
        found.append(rows)
    return found


def _how(cell: Cell, chosen: Mapping[str, Strength], grid: ScalingGrid) -> Row:
    """The columns that say how the model was changed."""
    scheme = str(cell.intervention)
    if cell.coefficient == 0 or scheme.startswith(INTMU_PREFIX):
        return {"switches": grid.how}
    strength = _strength(scheme, chosen)
    switches = text(grid.sorting, grid.rescaling, **strength._asdict())
    return {"coefficient": strength.shared, "switches": switches}
