"""Read the grids of a study, text by text, and note which of their cells are missing.

Every text is read once for all models. What is gathered here is packed into units elsewhere.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Set
from dataclasses import dataclass, field, replace

from orchestrator.pack import Content, Part
from studies import benchmarks, languages, parallel_text
from studies.cells import alignment_cells, choice_cell, text_cell, training_cell
from studies.contents import Example, TrainingSet
from studies.rows import Source
from studies.spec import Cell, ChoiceSet, ModelFacts
from studies.study import AlignmentGrid, ChoiceGrid, Grid, TransferGrid, TranslationGrid
from studies.translation import translations

# A pass that trains takes about three times what one that reads takes, for every epoch.
TRAINING_COST = 3
# Writing a token takes a pass of its own, if a cheap one.
WRITING_COST = 4


class Ledger:
    """Which keys are there, failed or to be computed.

    Grids may overlap, and takers share what they take: a key counts, and is computed, where it is
    entered first.
    """

    def __init__(self, done: Collection[str], failed: Collection[str]) -> None:
        """Nothing is entered; `done` are the keys that are there, `failed` those given up."""
        self.done = 0
        self._done = done if isinstance(done, Set) else frozenset(done)
        self._failed = failed if isinstance(failed, Set) else frozenset(failed)
        self._seen: set[str] = set()

    def __len__(self) -> int:
        """How many keys the study has so far."""
        return len(self._seen)

    def there(self, key: str) -> bool:
        """Whether a key's cell is done; nothing is entered."""
        return key in self._done

    def missing(self, key: str) -> bool:
        """Enter a key, and say whether its cell is to be computed."""
        if key in self._seen:
            return False
        self._seen.add(key)
        if key in self._done:
            self.done += 1
            return False
        return key not in self._failed

    def those_missing(self, *cells: Cell) -> Iterator[Cell]:
        """Enter the keys of cells, and keep those that are to be computed."""
        return (cell for cell in cells if self.missing(cell.key))


@dataclass(slots=True)
class Draft:
    """What is gathered while the grids are read."""

    ledger: Ledger
    parts: list[Part] = field(default_factory=list)
    totals: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    pins: dict[str, object] = field(default_factory=dict)
    commits: dict[str, str] = field(default_factory=dict)

    def read(self, content: Content, *, name: str) -> str:
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
        content: Content,
        grid: Grid,
        characters: int,
        needs: tuple[str, ...] = (),
    ) -> None:
        """Keep those `cells` that are missing, which the ledger decides while they are made."""
        before, done = len(self.ledger), self.ledger.done
        missing = tuple(cells)
        self.totals[model.label] += len(self.ledger) - before
        self.done[model.label] += self.ledger.done - done
        if missing:
            self.parts.append(
                Part(
                    model=model,
                    cells=missing,
                    content=content,
                    grid=grid,
                    characters=characters,
                    needs=needs,
                )
            )


def dataset_of(grid: Grid) -> str:
    """The data set that a grid reads."""
    return grid.benchmark if isinstance(grid, ChoiceGrid | TransferGrid) else grid.dataset


def add_grid(draft: Draft, grid: Grid, *, models: tuple[ModelFacts, ...], source: Source) -> None:
    """Read what a grid asks for and add its missing cells to the draft.

    Raises:
        ValueError: anything in the grid that does not exist or does not fit together.
    """
    if isinstance(grid, AlignmentGrid):
        _alignment(grid, models=models, source=source, draft=draft)
    elif isinstance(grid, ChoiceGrid):
        _choices(grid, models=models, source=source, draft=draft)
    elif isinstance(grid, TranslationGrid):
        _translations(grid, models=models, source=source, draft=draft)
    else:
        _transfer(grid, models=models, source=source, draft=draft)


def _alignment(
    grid: AlignmentGrid, *, models: tuple[ModelFacts, ...], source: Source, draft: Draft
) -> None:
    """Add the parts of a grid over parallel text."""
    there = parallel_text.languages(grid.dataset, source=source)
    wanted = _wanted(grid.languages, there=there)
    if grid.table == "points":
        first = [language for language in grid.languages if language in there]
        wanted = (*first, *wanted)
    chosen = [language for language in wanted if language != grid.pivot]
    if not chosen:
        raise ValueError(
            f"no language to compare with the pivot {grid.pivot!r} in {grid.dataset}: name at "
            "least one other language with --language, or all"
        )
    for language in chosen[:1] if grid.table == "points" else chosen:
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
    grid: ChoiceGrid, *, models: tuple[ModelFacts, ...], source: Source, draft: Draft
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
        characters = _characters(choices)
        for model in models:
            cell = choice_cell(choices, model=model, fingerprint=fingerprint)
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=choices,
                grid=grid,
                characters=characters,
            )
    if len(counts) > 1:
        draft.notes.append(
            f"{grid.benchmark} has {min(counts)} to {max(counts)} items by language: each accuracy "
            "is over the language's own items"
        )


def _translations(
    grid: TranslationGrid, *, models: tuple[ModelFacts, ...], source: Source, draft: Draft
) -> None:
    """Add the parts of translations into every language but the one translated from."""
    there = parallel_text.languages(grid.dataset, source=source)
    for language in _wanted(grid.languages, there=there):
        if language == grid.pivot:
            continue
        bitext = parallel_text.load(
            grid.dataset,
            language=language,
            pivot=grid.pivot,
            pairs=None if grid.pairs is None else grid.pairs + grid.shots,
            source=source,
        )
        asked = translations(bitext, shots=grid.shots, max_new_tokens=grid.max_new_tokens)
        name = f"translations {grid.dataset}/{language}-{grid.pivot}"
        fingerprint = draft.read(asked, name=name)
        written = WRITING_COST * sum(len(item.references[0]) for item in asked.items)
        characters = written + sum(len(item.prompt) for item in asked.items)
        for model in models:
            cell = text_cell(asked, model=model, fingerprint=fingerprint)
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=asked,
                grid=grid,
                characters=characters,
            )


def _transfer(
    grid: TransferGrid, *, models: tuple[ModelFacts, ...], source: Source, draft: Draft
) -> None:
    """Add an adapter's part, where somebody needs it, and those of the languages it answers in."""
    lessons = _lessons(grid, source=source)
    learned = draft.read(lessons, name=f"training {grid.train}/{grid.train_language}")
    there = benchmarks.languages(grid.benchmark, source=source)
    asked = [
        replace(
            benchmarks.load(
                grid.benchmark,
                language=language,
                source=source,
                limit=grid.limit,
                prompt=lessons.prompt,
            ),
            benchmark=f"transfer/{grid.benchmark}",
        )
        for language in _wanted(grid.languages, there=there)
        if language in there
    ]
    fingerprints = [
        draft.read(choices, name=f"items {choices.benchmark}/{choices.language}")
        for choices in asked
    ]
    for model in models:
        adapter = training_cell(lessons, model=model, fingerprint=learned)
        cells = [
            choice_cell(choices, model=model, fingerprint=fingerprint, adapter=adapter.key)
            for choices, fingerprint in zip(asked, fingerprints, strict=True)
        ]
        taken = not all(draft.ledger.there(cell.key) for cell in cells)
        if taken or draft.ledger.there(adapter.key):
            tokens = sum(len(each.context) + len(each.answer) for each in lessons.examples)
            draft.add(
                draft.ledger.those_missing(adapter),
                model=model,
                content=lessons,
                grid=grid,
                characters=TRAINING_COST * grid.how.epochs * tokens,
            )
        for choices, cell in zip(asked, cells, strict=True):
            draft.add(
                draft.ledger.those_missing(cell),
                model=model,
                content=choices,
                grid=grid,
                characters=_characters(choices),
                needs=(adapter.key,),
            )


def _lessons(grid: TransferGrid, *, source: Source) -> TrainingSet:
    """The questions to learn from, with their right answers."""
    choices = benchmarks.load(
        grid.train,
        language=grid.train_language,
        source=source,
        limit=grid.how.examples,
        prompt=grid.prompt,
    )
    return TrainingSet(
        benchmark=grid.train,
        language=grid.train_language,
        prompt=choices.prompt,
        examples=tuple(
            Example(context=item.context, answer=item.options[item.gold]) for item in choices.items
        ),
        how=grid.how,
        commit=choices.commit,
    )


def _characters(choices: ChoiceSet) -> int:
    """The size of all contexts and options."""
    return sum(len(item.context) + sum(map(len, item.options)) for item in choices.items)


def _wanted(named: Iterable[str], *, there: tuple[str, ...]) -> tuple[str, ...]:
    """The languages meant: those named, in their order, or all there are."""
    named = tuple(dict.fromkeys(named))
    if "all" in named:
        return there
    languages.check(named)
    return named
