"""Cells of accuracy: a benchmark whose items are answered by choosing one of several options."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from studies import benchmarks
from studies.inputs import Inputs
from studies.parallel_items import check_parallel
from studies.prompt_options import Asking
from studies.spec import ModelFacts
from studies.study import Draft, Grid, one_cell
from studies.tables import (
    GOLD,
    ITEM,
    KEY,
    LANGUAGE,
    MODEL,
    PROMPT,
    STUDY,
    Table,
    boolean,
    double,
    doubles,
    int32,
    string,
)
from studies.texts import ChoiceSet

VERSION = 1

ITEMS = Table(
    name="items",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        string(
            "benchmark",
            "name of the benchmark, such as `belebele`; `transfer/xnli` is xnli answered with an "
            "adapter trained on another language",
        ),
        LANGUAGE,
        ITEM,
        string(
            "intervention",
            "null for the unchanged model; `steer` adds a vector toward the pivot, with the "
            "controls `random`, `wrong_language`, `wrong_dataset`, `orthogonal`, `halves`; `clas` "
            "rescales neurons, with the controls `random`, `mixed`, `uniform`, `clas_on_anchor`, "
            "`clas_on_others`, `clas_in_anchor`; `intmu_mean`, `intmu_p90`, `intmu_p10`, "
            "`intmu_zero` overwrite them",
        ),
        int32(
            "layer",
            "the block to whose output the vector is added, 1..L; null for the unchanged model, "
            "and where neurons of several layers are changed",
        ),
        double(
            "coefficient",
            "factor of the vector, or what is added to the factor 1 of the neurons of several "
            "languages; null for the unchanged model. `steer` and `clas` at coefficient 0, without "
            "a layer, are the unchanged model on the questions that are also answered with it "
            "changed",
        ),
        GOLD,
        int32("prediction", "index of the option with the highest score, from 0"),
        boolean("correct", "whether `prediction` equals `gold`"),
        boolean(
            "correct_norm",
            "whether the option with the highest log-probability per character is right "
            "(lm-evaluation-harness's acc_norm)",
        ),
        doubles(
            "scores",
            "score of every option: its log-probability in nats, summed over its tokens, or the "
            "mean by token or character where the prompt asks for that",
        ),
        doubles(
            "ranks", "rank of every option, 1 for the highest score; ties share their mean rank"
        ),
        double(
            "mass",
            "total probability of all distinct options, 0 to 1, begun as `option_start` says",
        ),
        double(
            "other_mass",
            "the same with the options begun the other way (with or without a space); if it is "
            "larger than `mass`, the model would have begun its answer differently. Only for the "
            "unchanged model under a chat template, where `letter_token` names one form and both "
            "forms fit the context; else null",
        ),
        string(
            "option_start",
            "what the options begin with: a space, nothing, or what the chat template writes there",
        ),
        KEY,
        PROMPT,
        boolean("truncated", "whether the context was cut from the left"),
        string(
            "pivot",
            "the language steered toward, or the anchor; null for the unchanged model",
        ),
        int32(
            "seed",
            "seed that drew the questions of the vectors, or those of tuning, which are not "
            "answered; of rescaling's controls `random` and `mixed` the number of the draw; null "
            "for the unchanged model",
        ),
        string(
            "switches",
            "how the vector is added, or neurons are rescaled, as canonical JSON; null for the "
            "unchanged model",
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

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language; one that the benchmark lacks is a note.

        Raises:
            ValueError: the benchmark does not exist, or its items are to be parallel and are not.
        """
        sets = [
            benchmarks.load(
                self.benchmark,
                language=language,
                source=inputs.source,
                limit=self.limit,
                prompt=self.prompt,
                asking=self.asking,
            )
            for language in inputs.languages_of(self.benchmark, self.languages)
        ]
        for asked in sets:
            inputs.read(asked, name=f"items {self.benchmark}/{asked.language}")
            for model in models:
                yield draft(asked, model=model)
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


def draft(asked: ChoiceSet, *, model: ModelFacts, adapter: str = "") -> Draft:
    """The one cell of a model on a benchmark in a language, without intervention.

    Args:
        asked: the items.
        model: who answers.
        adapter: the key of the cell whose adapter the model answers with, "" for none.
    """
    return one_cell(
        "choices",
        asked,
        model=model,
        table="items",
        made=[VERSION, *([adapter] if adapter else [])],
        rows=len(asked.items),
        taken={"adapter": adapter} if adapter else {},
    )
