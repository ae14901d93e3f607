"""Cells that train an adapter, and transfer: answers in every language after training in one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace

from studies import benchmarks
from studies.inputs import Inputs
from studies.kinds import choices
from studies.rows import Source
from studies.spec import ModelFacts
from studies.study import Draft, Grid, one_cell
from studies.tables import KEY, MODEL, PROMPT, STUDY, Table, doubles, int32, string
from studies.texts import Example, FineTuning, TrainingSet

VERSION = 1
# A pass that trains takes about three times what one that reads takes, for every epoch.
TRAINING_COST = 3

TRAINING = Table(
    name="training",
    row="adapter",
    columns=(
        STUDY,
        MODEL,
        string("benchmark", "name of the data set that was trained on"),
        string("language", "language of the training questions, such as `eng_Latn`"),
        PROMPT,
        int32("n", "number of training examples"),
        doubles("losses", "mean loss of every step, in nats per token"),
        string("settings", "the settings of the training, as canonical JSON"),
        KEY,
    ),
    about="The adapter itself is `artifacts/<key>.safetensors`.",
)

TABLES = (TRAINING,)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferGrid(Grid):
    """Zero-shot transfer: fine-tune on one language's questions, answer those of all languages.

    An adapter is trained on the items of `train` in `train_language`, as `how` says, and the items
    of `benchmark` are answered with it (NeuronXA, section 3.3).
    """

    benchmark: str
    train: str
    train_language: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    how: FineTuning = field(default_factory=FineTuning)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """An adapter's part, where somebody needs it, and those of the languages it answers in."""
        lessons = self._lessons(inputs.source)
        inputs.read(lessons, name=f"training {self.train}/{self.train_language}")
        sets = [
            replace(
                benchmarks.load(
                    self.benchmark,
                    language=language,
                    source=inputs.source,
                    limit=self.limit,
                    prompt=lessons.prompt,
                ),
                benchmark=f"transfer/{self.benchmark}",
            )
            for language in inputs.languages_of(self.benchmark, self.languages)
        ]
        for asked in sets:
            inputs.read(asked, name=f"items {asked.benchmark}/{asked.language}")
        for model in models:
            trains = draft(lessons, model=model)
            adapter = trains.cells[0].key
            answers = [choices.draft(asked, model=model, adapter=adapter) for asked in sets]
            keys = [cells.key for answer in answers for cells in answer.cells]
            if inputs.done(adapter) or not all(map(inputs.done, keys)):
                yield trains
            yield from answers

    def _lessons(self, source: Source) -> TrainingSet:
        """The questions to learn from, with their right answers."""
        found = benchmarks.load(
            self.train,
            language=self.train_language,
            source=source,
            limit=self.how.examples,
            prompt=self.prompt,
        )
        return TrainingSet(
            benchmark=self.train,
            language=self.train_language,
            prompt=found.prompt,
            examples=tuple(
                Example(context=item.context, answer=item.options[item.gold])
                for item in found.items
            ),
            how=self.how,
            commit=found.commit,
        )


def draft(lessons: TrainingSet, *, model: ModelFacts) -> Draft:
    """The one cell of an adapter; those that answer with it need its key."""
    return one_cell(
        "training",
        lessons,
        model=model,
        table="training",
        made=[VERSION],
        characters=TRAINING_COST * lessons.how.epochs * lessons.characters,
    )
