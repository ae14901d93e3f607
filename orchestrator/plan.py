"""Turn a study into units of cells that are still missing, and say what they amount to.

A plan is made from files alone: names are looked up, texts are read, layers come from the model's
configuration, and no weight is touched. Where and when a unit runs is unknown here.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field, replace

from orchestrator import fit
from studies import benchmarks, languages, miniworld, model_files, parallel_text
from studies.cells import alignment_cells, choice_cell
from studies.rows import Source
from studies.spec import (
    AlignmentGrid,
    AlignmentWork,
    Bitext,
    Cell,
    ChoiceGrid,
    ChoiceSet,
    ChoiceWork,
    ModelFacts,
    Study,
    Unit,
)

# About a second of work for a small model on one core, a fraction of it on a GPU: small enough
# that an interruption costs little, large enough that dispatch and files do not matter.
UNIT_CHARACTERS = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """Cells of one model that share their prompts, with the text that they are computed from."""

    model: ModelFacts
    cells: tuple[Cell, ...]
    content: Bitext | ChoiceSet
    grid: AlignmentGrid | ChoiceGrid
    characters: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do.

    `pins` are facts that every later run in the same folder must share; `commits` say where on the
    hub each data set was read.
    """

    study: Study
    models: tuple[ModelFacts, ...]
    units: tuple[Unit, ...]
    totals: dict[str, int]
    done: int
    failed: int
    rows: int
    characters: int
    notes: tuple[str, ...]
    pins: dict[str, object]
    commits: dict[str, str]
    too_long: tuple[fit.TooLong, ...] = ()

    @property
    def cells(self) -> int:
        """All cells of the study, computed or not."""
        return sum(self.totals.values())

    @property
    def missing(self) -> int:
        """Cells that the units will compute."""
        return sum(len(unit.cells) for unit in self.units)


@dataclass(slots=True)
class _Draft:
    """What is gathered while the grids are read."""

    parts: list[Part] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    pins: dict[str, object] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)

    def read(self, content: Bitext | ChoiceSet, *, name: str) -> None:
        """Take note of what was read, and of the commit if it came from the hub."""
        self.pins[name] = content.fingerprint
        if content.commit:
            self.commits[name] = content.commit


def build(
    study: Study,
    *,
    source: Source,
    done: Collection[str] = frozenset(),
    failed: Collection[str] = frozenset(),
    allow_truncation: bool = False,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Plan:
    """The plan of a study: its cells minus the keys in `done` and `failed`, grouped into units.

    Raises:
        ValueError: anything in the study that does not exist or does not fit together.
    """
    models = model_files.distinct(model_files.facts(model) for model in study.models)
    draft = _Draft(pins={f"model {model.label}": model.identity for model in models})
    if any(_dataset(grid) in miniworld.DATASETS for grid in study.grids):
        draft.notes.append(miniworld.DESCRIPTION)
    for grid in study.grids:
        on_progress(_dataset(grid))
        if isinstance(grid, AlignmentGrid):
            _alignment(grid, models=models, source=source, draft=draft)
        else:
            _choices(grid, models=models, source=source, draft=draft)
    parts = sorted(draft.parts, key=lambda part: models.index(part.model))
    totals = {model.label: 0 for model in models}
    for part in parts:
        totals[part.model.label] += len(part.cells)
    gone = {*done, *failed}
    missing = [part for part in (_remaining(part, gone) for part in parts) if part.cells]
    on_progress("text lengths")
    units = tuple(_units(missing, study=study.name, allow_truncation=allow_truncation))
    return Plan(
        study=study,
        models=models,
        units=units,
        totals=totals,
        done=sum(cell.key in done for part in parts for cell in part.cells),
        failed=sum(cell.key in failed for part in parts for cell in part.cells),
        rows=sum(_rows(part) for part in missing),
        characters=sum(part.characters for part in missing),
        notes=tuple(draft.notes),
        pins=draft.pins,
        commits=draft.commits,
        too_long=tuple(fit.too_long((part.model, part.content) for part in missing)),
    )


def _dataset(grid: AlignmentGrid | ChoiceGrid) -> str:
    """The data set that a grid reads."""
    return grid.dataset if isinstance(grid, AlignmentGrid) else grid.benchmark


def _alignment(
    grid: AlignmentGrid, *, models: tuple[ModelFacts, ...], source: Source, draft: _Draft
) -> None:
    """Add the parts of a grid over parallel text."""
    there = parallel_text.languages(grid.dataset, source=source)
    wanted = _wanted(grid.languages, there=there)
    chosen = [language for language in wanted if language != grid.pivot]
    if not chosen:
        raise ValueError(
            f"no language to compare with the pivot {grid.pivot!r} in {grid.dataset}: name at "
            "least one other language with --language, or all"
        )
    for language in chosen:
        bitext = parallel_text.load(
            grid.dataset,
            language=language,
            pivot=grid.pivot,
            pairs=grid.pairs,
            pair_ids=grid.switches.pair_ids,
            seed=grid.switches.seed,
            source=source,
        )
        draft.read(bitext, name=f"text {grid.dataset}/{language}-{grid.pivot}")
        characters = sum(map(len, bitext.texts))
        for model in models:
            cells = tuple(alignment_cells(grid, model=model, bitext=bitext))
            draft.parts.append(
                Part(model=model, cells=cells, content=bitext, grid=grid, characters=characters)
            )


def _choices(
    grid: ChoiceGrid, *, models: tuple[ModelFacts, ...], source: Source, draft: _Draft
) -> None:
    """Add the parts of a benchmark; a language it lacks is a note, as scores exist without it."""
    there = benchmarks.languages(grid.benchmark, source=source)
    wanted = _wanted(grid.languages, there=there)
    lacking = [language for language in wanted if language not in there]
    if lacking:
        shown = ", ".join(lacking[:6]) + (f" and {len(lacking) - 6} more" if lacking[6:] else "")
        draft.notes.append(f"{grid.benchmark} has no {shown}: no accuracy for these languages")
    counts = set()
    for language in (language for language in wanted if language in there):
        choices = benchmarks.load(
            grid.benchmark, language=language, source=source, limit=grid.limit, prompt=grid.prompt
        )
        counts.add(len(choices.items))
        draft.read(choices, name=f"items {grid.benchmark}/{language}")
        characters = sum(len(item.context) + sum(map(len, item.options)) for item in choices.items)
        for model in models:
            cells = (choice_cell(choices, model=model),)
            draft.parts.append(
                Part(model=model, cells=cells, content=choices, grid=grid, characters=characters)
            )
    if len(counts) > 1:
        draft.notes.append(
            f"{grid.benchmark} has {min(counts)} to {max(counts)} items by language: each accuracy "
            "is over the language's own items"
        )


def _wanted(named: Iterable[str], *, there: tuple[str, ...]) -> tuple[str, ...]:
    """The languages meant: those named, in their order, or all there are."""
    named = tuple(dict.fromkeys(named))
    if "all" in named:
        return there
    languages.check(named)
    return named


def _remaining(part: Part, gone: Collection[str]) -> Part:
    """The part without the cells that are there already."""
    cells = tuple(cell for cell in part.cells if cell.key not in gone)
    return part if len(cells) == len(part.cells) else replace(part, cells=cells)


def _units(parts: list[Part], *, study: str, allow_truncation: bool) -> Iterator[Unit]:
    """Pack parts of one model and grid into units of about `UNIT_CHARACTERS`."""
    group: list[Part] = []
    for part in parts:
        new = bool(group) and (group[0].model != part.model or group[0].grid is not part.grid)
        if new or sum(held.characters for held in group) >= UNIT_CHARACTERS:
            yield _unit(group, study=study, allow_truncation=allow_truncation)
            group = []
        group.append(part)
    if group:
        yield _unit(group, study=study, allow_truncation=allow_truncation)


def _unit(group: list[Part], *, study: str, allow_truncation: bool) -> Unit:
    """One unit of the grouped parts."""
    grid = group[0].grid
    contents = [part.content for part in group]
    work: AlignmentWork | ChoiceWork
    if isinstance(grid, AlignmentGrid):
        bitexts = tuple(content for content in contents if isinstance(content, Bitext))
        work = AlignmentWork(bitexts=bitexts, switches=grid.switches)
    else:
        sets = tuple(content for content in contents if isinstance(content, ChoiceSet))
        work = ChoiceWork(sets=sets)
    return Unit(
        study=study,
        model=group[0].model,
        cells=tuple(cell for part in group for cell in part.cells),
        work=work,
        characters=sum(part.characters for part in group),
        allow_truncation=allow_truncation,
    )


def _rows(part: Part) -> int:
    """Rows that a part's cells will fill."""
    return len(part.content.items) if isinstance(part.content, ChoiceSet) else len(part.cells)
