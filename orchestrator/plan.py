"""Turn a study into units of cells that are still missing, and say what they amount to.

A plan is made from files alone: names are looked up, texts are read, layers come from the model's
configuration, and no weight is touched.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

from orchestrator import context_length
from orchestrator.examples import ExampleRecord, of_content
from orchestrator.pack import Ledger, Missing, pack, possible
from orchestrator.workers.gpus import visible_gpus
from studies import miniworld
from studies.content import Content
from studies.inputs import Inputs
from studies.models.tokenizer import may_chat, may_read
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import Grid, Study
from studies.unit import Unit

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
    too_long: tuple[context_length.TooLong, ...] = ()
    there: frozenset[str] = frozenset()
    failed_by_model: Mapping[str, int] = field(default_factory=dict)
    examples: tuple[ExampleRecord, ...] = ()

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
    models: Sequence[ModelFacts],
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
    kept: list[ExampleRecord] = []
    ledger = Ledger(done, failed)
    inputs = Inputs(
        source=source,
        done=ledger.holds,
        has_gpus=lambda: bool(visible_gpus()),
        on_content=on_content or (lambda *read: kept.append(of_content(*read))),
        pins={f"model {model.label}": model.identity for model in models},
    )
    if read_by_adapter := [model.label for model in models if model.adapter_tokenizer]:
        inputs.note(
            "texts are read with the tokenizer and chat template of the adapter, which are not the "
            f"model's own: {', '.join(read_by_adapter)}"
        )
    if any(grid.dataset_name in miniworld.DATASETS for grid in study.grids):
        inputs.note(miniworld.DESCRIPTION)
    found: list[Missing] = []
    for grid in study.grids:
        on_progress(grid.dataset_name)
        refuse_chat(grid, models=models)
        for draft in grid.drafts(models, inputs):
            cells = ledger.missing(draft)
            found += [Missing(grid, draft, cells)] if cells else []
    inputs.notes += source.sentences()
    # Beside "all", a recipe may name languages of its own, which a data set need not have.
    named = [grid.languages for grid in study.grids if "all" not in grid.languages]
    asked = [language for languages in named for language in languages]
    inputs.need_rows(asked, read=[grid.dataset_name for grid in study.grids])
    on_progress("text lengths")
    parts = possible(found, failed=failed)
    left_alone = ledger.totals - ledger.done
    for one in parts:
        left_alone[one.draft.model.label] -= len(one.cells)
    characters = sum(one.draft.characters for one in parts)
    size = max(UNIT_CHARACTERS, characters // MOST_UNITS)
    units = pack(parts, size=size, study=study.name, allow_truncation=allow_truncation)
    return Plan(
        study=study,
        models=tuple(models),
        units=tuple(units),
        totals={model.label: ledger.totals[model.label] for model in models},
        done=ledger.done.total(),
        failed=left_alone.total(),
        rows=sum(one.draft.rows * len(one.cells) for one in parts),
        characters=characters,
        notes=tuple(inputs.notes),
        pins=inputs.pins,
        commits=inputs.commits,
        too_long=tuple(
            context_length.too_long(
                [
                    (one.draft.model, content)
                    for one in parts
                    for content in one.draft.content.contents
                ]
            )
        ),
        there=frozenset(
            key for one in parts for key in one.draft.taken.values() if ledger.holds(key)
        ),
        failed_by_model=+left_alone,
        examples=tuple(kept),
    )


def refuse_chat(grid: Grid, *, models: Sequence[ModelFacts]) -> None:
    """Refuse a chat template where a model has none, and arguments that it does not read.

    Raises:
        ValueError: the grid asks for them.
    """
    asking = grid.asked_with
    if asking is None or not asking.chat_template:
        return
    for model in models:
        if not may_chat(model):
            raise ValueError(
                f"model {model.label!r} has no chat template, and switch chat_template=true asks "
                "for it: leave the switch out, or name a model that was trained to chat"
            )
        for argument, _ in asking.arguments:
            if not may_read(model, argument):
                raise ValueError(
                    f"the chat template of model {model.label!r} does not read {argument!r}: leave "
                    "out --template-argument, or look up in the template what it reads"
                )
