"""Turn a study into units of cells that are still missing, and say what they amount to.

A plan is made from files alone: names are looked up, texts are read, layers come from the model's
configuration, and no weight is touched. Where and when a unit runs is unknown here.
"""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from orchestrator import fit
from orchestrator.draft import Draft, Ledger, need_rows
from orchestrator.examples import Record, of_content
from orchestrator.grids.kinds import add_grid, dataset_of, refuse_chat
from orchestrator.pack import Content, pack, possible
from studies import miniworld, model_files
from studies.rows import Source
from studies.spec import ModelFacts, Unit
from studies.study import Study

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
    what a unit needs is either one of them or made by a unit before it. `totals` are the cells
    of each model, by its label, and `failed_by_model` those that failed before, or need one that
    did, where there are any. `examples` are the first items of every text.
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
    failed_by_model: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[Record, ...] = ()

    @property
    def cells(self) -> int:
        """All cells of the study, computed or not."""
        return sum(self.totals.values())

    @property
    def missing(self) -> int:
        """Cells that the units will compute."""
        return sum(len(unit.cells) for unit in self.units)

    @property
    def missing_by_model(self) -> dict[str, int]:
        """Cells that the units will compute, by model."""
        missing = dict.fromkeys(self.totals, 0)
        for unit in self.units:
            missing[unit.model.label] += len(unit.cells)
        return missing


def build(
    study: Study,
    *,
    source: Source,
    done: Collection[str] = frozenset(),
    failed: Collection[str] = frozenset(),
    allow_truncation: bool = False,
    on_progress: Callable[[str], None] = lambda _: None,
    on_content: Callable[[Content, str], None] | None = None,
) -> Plan:
    """The plan of a study: its cells minus the keys in `done` and `failed`, grouped into units.

    `on_content` is shown every text that is read, with its name among the pins; without it the
    first items are the plan's examples.

    Every text is read once for all models. A cell that is there already is never made, only its
    key is: a study that is finished costs a million hashes and no million records. Cells that take
    the result of a failed one count as failed with it.

    Raises:
        ValueError: anything in the study that does not exist or does not fit together.
    """
    models = model_files.distinct(model_files.facts(model) for model in study.models)
    kept: list[Record] = []
    draft = Draft(
        Ledger(done, failed),
        totals=Counter({model.label: 0 for model in models}),
        pins={f"model {model.label}": model.identity for model in models},
        on_content=on_content or (lambda *read: kept.append(of_content(*read))),
    )
    if read_by_adapter := [model.label for model in models if model.adapter_tokenizer]:
        draft.notes.append(
            "texts are read with the tokenizer and chat template of the adapter, which are not the "
            f"model's own: {', '.join(read_by_adapter)}"
        )
    if any(dataset_of(grid) in miniworld.DATASETS for grid in study.grids):
        draft.notes.append(miniworld.DESCRIPTION)
    for grid in study.grids:
        on_progress(dataset_of(grid))
        refuse_chat(grid, models=models)
        add_grid(draft, grid, models=models, source=source)
    draft.notes += source.sentences()
    # Beside "all", a recipe may name languages of its own, which a data set need not have.
    named = [grid.languages for grid in study.grids if "all" not in grid.languages]
    asked = [language for languages in named for language in languages]
    need_rows(draft, asked, read=map(dataset_of, study.grids))
    on_progress("text lengths")
    parts = possible(draft.parts, failed=failed)
    left_alone = draft.totals - draft.done
    for part in parts:
        left_alone[part.model.label] -= len(part.cells)
    characters = sum(part.characters for part in parts)
    size = max(UNIT_CHARACTERS, characters // MOST_UNITS)
    units = pack(parts, size=size, study=study.name, allow_truncation=allow_truncation)
    return Plan(
        study=study,
        models=models,
        units=tuple(units),
        totals=dict(draft.totals),
        done=draft.ledger.done,
        failed=left_alone.total(),
        rows=sum(part.rows for part in parts),
        characters=characters,
        notes=tuple(draft.notes),
        pins=draft.pins,
        commits=draft.commits,
        too_long=tuple(
            fit.too_long([(part.model, content) for part in parts for content in part.contents])
        ),
        there=frozenset(need for part in parts for need in part.needs if need in done),
        failed_by_model=+left_alone,
        examples=tuple(kept),
    )
