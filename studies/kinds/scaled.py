"""Cells of rescaled answers: items answered while the neurons of some categories are rescaled.

The strength is one that was chosen on other items (tuning.py), of neurons that were sorted on other
texts (categories.py). Source: CLAS, sections 2.5 and 3, and the controls that it has not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

from studies import benchmarks, generation_items
from studies.content import Together
from studies.inputs import Inputs
from studies.kinds import scaled_points, scaled_states, tuning
from studies.kinds.categories import MIXED, NeuronGrid
from studies.neuron_options import PLAIN, Rescaling, Strength
from studies.neuron_options import text as switches
from studies.open_prompts import OPEN
from studies.prompt_options import Asking
from studies.spec import ModelFacts, Point
from studies.study import Draft, cells_of
from studies.texts import Bitext, ChoiceSet, GenerationSet
from studies.tuning_split import Split, split

VERSION = 1
# `clas` at the strength chosen over all languages but the anchor, and Int-mu as the paper runs it.
Paper = Literal["clas", "intmu_mean"]
# `random`: as many other neurons of each layer. `mixed`: categories of mixed-up languages.
# `uniform`: all neurons that are not dead, changed as much on average. `clas_on_anchor`,
# `clas_on_others`: the strength chosen on the anchor alone, or on all languages but the one that is
# asked. `clas_in_anchor`: the anchor's own items rescaled. `intmu_*`: other values of Int-mu.
Control = Literal[
    "random", "mixed", "uniform", "clas_on_anchor", "clas_on_others", "clas_in_anchor",
    "intmu_p90", "intmu_p10", "intmu_zero",
]  # fmt: skip
CLAS, INTMU = "clas", "intmu_mean"
CONTROLS: tuple[Control, ...] = get_args(Control)
DRAWS = 20
# Prompts whose states are compared, and those that are pictured.
COMPARED, PICTURED = 200, 40
# Most tokens a strength costs, in passes of the whole prompt.
COST = 0.5

TABLES = ()  # rows of choices.py and generation.py


@dataclass(frozen=True, slots=True, kw_only=True)
class ScalingGrid(NeuronGrid):
    """Answers to a benchmark with rescaled neurons, at a strength chosen on a split of its items.

    `tuning` of the pivot's items are drawn with `seed`; at them all of `strengths` and `doses` are
    answered. One of `strengths` is chosen, at which the other items are answered, beside `controls`
    with so many `draws`. With `answers` False only states are compared. The pivot is the anchor,
    whose answers stay as they are.
    """

    benchmark: str
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    stop: tuple[str, ...] | None = None
    strengths: tuple[Strength, ...] = (PLAIN,)
    doses: tuple[Strength, ...] = ()
    tuning: int = 200
    seed: int = 0
    draws: int = DRAWS
    answers: bool = True
    states: bool = True
    controls: tuple[Control, ...] = ()
    rescaling: Rescaling = field(default_factory=Rescaling)

    @property
    def how(self) -> str:
        """Every switch, as rows carry it."""
        return switches(self.sorting, self.rescaling)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """What is taken first: statistics, categories, tuning; then answers, and states.

        Raises:
            ValueError: the benchmark or the anchor does not exist, or a part of the split is empty.
        """
        role = "the anchor, whose answers stay as they are"
        chosen = inputs.languages_of(
            self.benchmark, (self.pivot, *self.languages), pivot=self.pivot, role=role
        )
        chosen = [self.pivot, *(language for language in chosen if language != self.pivot)]
        if len(chosen) < 3:
            raise ValueError(
                f"{self.benchmark} is asked in {', '.join(chosen)}: expected at least two "
                f"languages beside the anchor {self.pivot}; name more with --language"
            )
        splits = self._splits(chosen, inputs)
        found: dict[str, str] = {}
        for each, is_last in self.sorted_neurons(models, inputs):
            yield each
            if is_last:
                found[each.model.label] = each.cells[0].key
        sampled = frozenset(self.sampled_languages(inputs))
        lacking = [one for one in chosen if one not in sampled and one != self.pivot]
        if lacking and self.answers:
            inputs.note(
                f"{self.sampled} has no samples in {', '.join(lacking)}: Int-mu has no neurons of "
                "these languages, and is left out there"
            )
        for model in models:
            one = _OneModel(self, model, splits, sampled, found[model.label])
            yield from one.drafts()

    def _splits(self, languages: Sequence[str], inputs: Inputs) -> dict[str, Split]:
        """The items of every language, those to choose on and those to report."""
        asked = {language: self._load(language, inputs) for language in languages}
        splits = {
            language: split(own, pivot=asked[self.pivot], sample=self.tuning, seed=self.seed)
            for language, own in asked.items()
        }
        for language, parts in splits.items():
            where = f"{self.benchmark}/{language} {self.tuning}/{self.seed}"
            inputs.read(parts.tuning, name=f"tuning {where}")
            inputs.read(parts.held_out, name=f"held out {where}")
        return splits

    def _load(self, language: str, inputs: Inputs) -> Any:
        if self.benchmark not in OPEN:
            return benchmarks.load(
                self.benchmark,
                language=language,
                source=inputs.source,
                limit=self.limit,
                prompt=self.prompt,
                asking=self.asking,
            )
        usual = generation_items.question_set(
            self.benchmark,
            language=language,
            source=inputs.source,
            limit=self.limit,
            prompt=self.prompt,
        )
        return generation_items.as_asked(usual, asking=self.asking, stop=self.stop)


class _OneModel(NamedTuple):
    """The cells of one model, whose categories are cell `categories`."""

    grid: ScalingGrid
    model: ModelFacts
    splits: Mapping[str, Split]
    sampled: frozenset[str]
    categories: str

    def drafts(self) -> Iterator[Draft]:
        """Tuning, answers, states and their picture."""
        grid = self.grid
        strengths = tuple(dict.fromkeys((PLAIN, *grid.strengths, *grid.doses)))
        taken = {"categories": self.categories}
        for language, parts in self.splits.items():
            draft = tuning.draft(
                parts.tuning,
                model=self.model,
                categories=self.categories,
                strengths=strengths,
                how=grid.how,
            )
            yield draft
            taken[f"tuning {language}"] = draft.cells[0].key
        if grid.answers:
            for language, parts in self.splits.items():
                yield self._answers(language, parts.held_out, taken)
        if grid.states:
            yield from self._states(taken)

    def _answers(
        self, language: str, asked: ChoiceSet | GenerationSet, taken: Mapping[str, str]
    ) -> Draft:
        """The answers to the items to report: plain, rescaled, and under every control."""
        grid = self.grid
        table = "items" if isinstance(asked, ChoiceSet) else "generations"

        def cells(scheme: str, made: Sequence[object], **more: Any) -> Any:
            return cells_of(
                asked, model=self.model, table=table, made=[VERSION, *made], pivot=grid.pivot,
                intervention=scheme, **{"seed": grid.seed} | more,
            )  # fmt: skip

        every = [cells(CLAS, [], points=(Point(coefficient=0.0),))]
        scaled = [list(taken.values()), grid.strengths, grid.how]
        for scheme in self._schemes(language):
            if scheme.startswith("intmu"):
                every.append(cells(scheme, [self.categories]))
                continue
            draws = {"random": grid.draws, "mixed": MIXED}.get(scheme, 0)
            every += [cells(scheme, [*scaled, draw], seed=draw) for draw in range(draws)]
            every += [] if draws else [cells(scheme, [*scaled, 0])]
        cost = 1 + (COST * len(every) if isinstance(asked, ChoiceSet) else len(every))
        return Draft(
            kind="scaled",
            model=self.model,
            content=asked,
            cells=tuple(every),
            characters=int(asked.characters * cost),
            rows=len(asked.items),
            taken=taken,
        )

    def _schemes(self, language: str) -> list[str]:
        """What is done in a language: nothing in the anchor, but for the control of that."""
        inside = [name for name in self.grid.controls if name == "clas_in_anchor"]
        if language == self.grid.pivot:
            return list(inside)
        others = [name for name in self.grid.controls if name not in inside]
        return [
            name
            for name in (CLAS, INTMU, *others)
            if language in self.sampled or not name.startswith("intmu")
        ]

    def _states(self, taken: Mapping[str, str]) -> Iterator[Draft]:
        """The states of the same prompts in every language beside the anchor's."""
        texts = [
            text
            for language, parts in self.splits.items()
            if language != self.grid.pivot
            and (text := self._prompts(parts.held_out, count=COMPARED)) is not None
        ]
        how = [self.grid.strengths, self.grid.how]
        made = [VERSION, list(taken.values()), *how]
        for text in texts:
            yield scaled_states.draft(
                text, model=self.model, benchmark=self.grid.benchmark, made=made, taken=taken
            )
        pictured = [
            text
            for language, parts in self.splits.items()
            if language != self.grid.pivot
            and (text := self._prompts(parts.held_out, count=PICTURED)) is not None
        ]
        if pictured:
            yield scaled_points.draft(
                Together(parts=tuple(pictured)),
                model=self.model, benchmark=self.grid.benchmark, made=made, taken=taken,
            )  # fmt: skip

    def _prompts(self, asked: ChoiceSet | GenerationSet, *, count: int) -> Bitext | None:
        """The first prompts that the language and the anchor have; None for fewer than two."""
        anchor = {item.id: _prompt(item) for item in self.splits[self.grid.pivot].held_out.items}
        shared = [item for item in asked.items if item.id in anchor][:count]
        if len(shared) < 2:
            return None
        return Bitext(
            dataset=f"questions/{asked.benchmark}",
            language=asked.language,
            pivot=self.grid.pivot,
            ids=tuple(item.id for item in shared),
            pivot_texts=tuple(anchor[item.id] for item in shared),
            texts=tuple(_prompt(item) for item in shared),
            commit=asked.commit,
            chat=asked.chat,
        )


def _prompt(item: Any) -> str:
    """What the model reads of an item."""
    text: str = item.prompt if hasattr(item, "prompt") else item.context
    return text
