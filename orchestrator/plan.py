"""Turn a study into units of cells that are still missing, and say what they amount to.

A plan is made from files alone: names are looked up, texts are read, layers come from the model's
configuration, and no weight is touched. Where and when a unit runs is unknown here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Set
from dataclasses import dataclass, field

from orchestrator import fit
from orchestrator.pack import Part, pack, possible
from studies import benchmarks, languages, miniworld, model_files, parallel_text
from studies.cells import alignment_cells, choice_cell
from studies.rows import Source
from studies.spec import (
    AlignmentGrid,
    Bitext,
    Cell,
    ChoiceGrid,
    ChoiceSet,
    ModelFacts,
    Study,
    Unit,
)

# About a second of work for a small model on one core, a fraction of it on a GPU: small enough
# that an interruption costs little, large enough that dispatch and files do not matter.
UNIT_CHARACTERS = 60_000

# A study of more work than this many such units has larger ones, as every unit is a message, a
# file, and a line of what is there to be read at the next start.
MOST_UNITS = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a run would do.

    `pins` are facts that every later run in the same folder must share; `commits` say where on the
    hub each data set was read. `there` are the keys that units need and that are done already:
    what a unit needs is either one of them or made by a unit before it.
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
    there: frozenset[str] = frozenset()

    @property
    def cells(self) -> int:
        """All cells of the study, computed or not."""
        return sum(self.totals.values())

    @property
    def missing(self) -> int:
        """Cells that the units will compute."""
        return sum(len(unit.cells) for unit in self.units)


class _Ledger:
    """Which keys are there, failed or to be computed.

    Grids may overlap, and takers share what they take: a key counts, and is computed, where it is
    entered first.
    """

    def __init__(self, done: Collection[str], failed: Collection[str]) -> None:
        self.done = 0
        self._done = done if isinstance(done, Set) else frozenset(done)
        self._failed = failed if isinstance(failed, Set) else frozenset(failed)
        self._seen: set[str] = set()

    def __len__(self) -> int:
        """How many keys the study has so far."""
        return len(self._seen)

    def missing(self, key: str) -> bool:
        """Enter a key, and say whether its cell is to be computed."""
        if key in self._seen:
            return False
        self._seen.add(key)
        if key in self._done:
            self.done += 1
            return False
        return key not in self._failed


@dataclass(slots=True)
class _Draft:
    """What is gathered while the grids are read."""

    ledger: _Ledger
    parts: list[Part] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    pins: dict[str, object] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)

    def read(self, content: Bitext | ChoiceSet, *, name: str) -> str:
        """Take note of what was read, and of the commit if it came from the hub."""
        self.pins[name] = fingerprint = content.fingerprint
        if content.commit:
            self.commits[name] = content.commit
        return fingerprint

    def add(
        self,
        cells: Iterable[Cell],
        *,
        model: ModelFacts,
        content: Bitext | ChoiceSet,
        grid: AlignmentGrid | ChoiceGrid,
        characters: int,
    ) -> None:
        """Keep those `cells` that are missing, which the ledger decides while they are made."""
        before = len(self.ledger)
        missing = tuple(cells)
        self.totals[model.label] += len(self.ledger) - before
        if missing:
            self.parts.append(
                Part(model=model, cells=missing, content=content, grid=grid, characters=characters)
            )


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

    Every text is read once for all models. A cell that is there already is never made, only its
    key is: a study that is finished costs a million hashes and no million records. Cells that take
    the result of a failed one count as failed with it.

    Raises:
        ValueError: anything in the study that does not exist or does not fit together.
    """
    models = model_files.distinct(model_files.facts(model) for model in study.models)
    draft = _Draft(
        _Ledger(done, failed),
        totals=Counter({model.label: 0 for model in models}),
        pins={f"model {model.label}": model.identity for model in models},
    )
    if any(_dataset(grid) in miniworld.DATASETS for grid in study.grids):
        draft.notes.append(miniworld.DESCRIPTION)
    for grid in study.grids:
        on_progress(_dataset(grid))
        if isinstance(grid, AlignmentGrid):
            _alignment(grid, models=models, source=source, draft=draft)
        else:
            _choices(grid, models=models, source=source, draft=draft)
    on_progress("text lengths")
    parts = possible(draft.parts, failed=failed)
    missing = sum(len(part.cells) for part in parts)
    characters = sum(part.characters for part in parts)
    size = max(UNIT_CHARACTERS, characters // MOST_UNITS)
    units = pack(parts, size=size, study=study.name, allow_truncation=allow_truncation)
    return Plan(
        study=study,
        models=models,
        units=tuple(units),
        totals=dict(draft.totals),
        done=draft.ledger.done,
        failed=len(draft.ledger) - draft.ledger.done - missing,
        rows=sum(part.rows for part in parts),
        characters=characters,
        notes=tuple(draft.notes),
        pins=draft.pins,
        commits=draft.commits,
        too_long=tuple(fit.too_long([(part.model, part.content) for part in parts])),
        there=frozenset(need for part in parts for need in part.needs if need in done),
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
        fingerprint = draft.read(bitext, name=f"text {grid.dataset}/{language}-{grid.pivot}")
        characters = sum(map(len, bitext.texts))
        for model in models:
            cells = alignment_cells(
                grid,
                model=model,
                bitext=bitext,
                fingerprint=fingerprint,
                wanted=draft.ledger.missing,
            )
            draft.add(cells, model=model, content=bitext, grid=grid, characters=characters)


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
        fingerprint = draft.read(choices, name=f"items {grid.benchmark}/{language}")
        characters = sum(len(item.context) + sum(map(len, item.options)) for item in choices.items)
        for model in models:
            cell = choice_cell(choices, model=model, fingerprint=fingerprint)
            cells = (cell for cell in (cell,) if draft.ledger.missing(cell.key))
            draft.add(cells, model=model, content=choices, grid=grid, characters=characters)
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
