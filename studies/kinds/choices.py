"""Cells of accuracy: a benchmark whose items are answered by choosing one of several options."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from studies import benchmarks
from studies.inputs import Inputs, characters
from studies.parallel_items import check_parallel
from studies.prompt_options import Asking
from studies.spec import Cells, ModelFacts, digest
from studies.study import Draft, Grid
from studies.tables import KEY, MODEL, STUDY, Columns, Table
from studies.texts import ChoiceSet

VERSION = 1

ITEMS = Table(
    name="items",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        Columns(
            "benchmark, language",
            "string",
            "as above; `transfer/xnli` is xnli answered with an adapter trained on another "
            "language",
        ),
        Columns("item", "string", "the item's id, the same in every language"),
        Columns(
            "intervention, layer, coefficient",
            "string, int32, double",
            "missing for a plain run. `steer` adds a vector toward the pivot; its controls are "
            "`random`, `wrong_language`, `wrong_dataset`, `orthogonal`, `halves`. `steer` at "
            "coefficient 0, without layer, is the plain model on the items that steered answers "
            "are given to",
        ),
        Columns("gold, prediction", "int32", "option index, from 0"),
        Columns("correct", "bool", "prediction equals gold"),
        Columns(
            "correct_norm",
            "bool",
            "the option of the highest log-probability per character is gold (lm-evaluation-"
            "harness's acc_norm)",
        ),
        Columns("scores", "list of double", "log-probability of every option (see `prompt`)"),
        Columns("ranks", "list of double", "1 = most probable; ties share the average rank"),
        Columns(
            "mass",
            "double",
            "probability of all options together, each text once, begun as they were asked",
        ),
        Columns(
            "other_mass",
            "double",
            "the same of the options begun the other way, with a space or without: where it is "
            "the larger, the model would have written something else. Only under a chat template,"
            " for the plain model, where `letter_token` names one form and the options of the "
            "other fit the context; else missing",
        ),
        Columns(
            "option_start",
            "string",
            "what options began with: a space, nothing, or what a chat template itself writes "
            "there",
        ),
        KEY,
        Columns(
            "prompt",
            "string",
            "name of the prompt, with every switch of it that is not the usual one",
        ),
        Columns("truncated", "bool", "the context was cut from the left"),
        Columns("pivot", "string", "the language steered toward; missing for a plain run"),
        Columns(
            "seed",
            "int32",
            "of the draw of the items that vectors were made from, which are not answered; "
            "missing for a plain run",
        ),
        Columns(
            "switches",
            "string",
            "canonical JSON of how the vector is added; missing for a plain run",
        ),
    ),
    identity=("key", "item"),
)

TABLES = (ITEMS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceGrid(Grid):
    """Accuracy on a benchmark whose items are answered by choosing one of several options.

    `languages` may be `("all",)`; languages that the benchmark lacks are left out and reported by
    the plan. `limit` keeps the first items of every language; `prompt` None is the default one.
    `parallel` wants items to have the same options and right answer in every language.
    """

    benchmark: str
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    parallel: bool = False

    @property
    def source(self) -> str:
        """The benchmark."""
        return self.benchmark

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language; one that the benchmark lacks is a note.

        Raises:
            ValueError: the benchmark does not exist, or its items are to be parallel and are not.
        """
        there = benchmarks.languages(self.benchmark, source=inputs.source)
        sets = [
            benchmarks.load(
                self.benchmark,
                language=language,
                source=inputs.source,
                limit=self.limit,
                prompt=self.prompt,
                asking=self.asking,
            )
            for language in inputs.those_there(
                self.languages, there=there, benchmark=self.benchmark
            )
        ]
        for asked in sets:
            fingerprint = inputs.read(asked, name=f"items {self.benchmark}/{asked.language}")
            size = characters(asked)
            for model in models:
                yield draft(asked, model=model, fingerprint=fingerprint, size=size)
        counts = {len(asked.items) for asked in sets}
        dropped = check_parallel(sets) if self.parallel and sets else 0
        if dropped:
            inputs.notes.append(
                f"{self.benchmark}: {dropped} items are not there in every language; two languages "
                "are compared on the items that both have"
            )
        elif len(counts) > 1:
            inputs.notes.append(
                f"{self.benchmark} has {min(counts)} to {max(counts)} items by language: each "
                "accuracy is over the language's own items"
            )


def draft(
    asked: ChoiceSet,
    *,
    model: ModelFacts,
    fingerprint: str | None = None,
    size: int | None = None,
    adapter: str = "",
) -> Draft:
    """The one cell of a model on a benchmark in a language, without intervention.

    Args:
        asked: the items.
        model: who answers.
        fingerprint: the set's own, where the caller has it: one serves all models.
        size: the same of its `characters`.
        adapter: the key of the cell whose adapter the model answers with, "" for none.
    """
    made = (VERSION, *((adapter,) if adapter else ()))
    return Draft(
        kind="choices",
        model=model,
        content=asked,
        cells=(
            Cells(
                table="items",
                model=model,
                benchmark=asked.benchmark,
                language=asked.language,
                scope=digest([model.identity, fingerprint or asked.fingerprint, *made]),
            ),
        ),
        characters=characters(asked) if size is None else size,
        rows=len(asked.items),
        taken={"adapter": adapter} if adapter else {},
    )
