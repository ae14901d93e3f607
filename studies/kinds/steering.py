"""Cells of steered answers: items answered while vectors push the stream toward the pivot.

The vectors are cells of their own (vectors.py), which these take (arXiv 2505.13141, section 5).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Literal, NamedTuple, get_args

from studies import benchmarks, steering_items
from studies.draws import Draw, Questions, draw
from studies.inputs import Inputs
from studies.kinds import vectors
from studies.layers import Layers, layers_asked
from studies.prompt_options import Asking, Steering, text
from studies.spec import ModelFacts, Point
from studies.steering_items import VectorSet
from studies.study import Draft, Grid, cells_of
from studies.texts import ChoiceSet

VERSION = 1
# Controls of steering; each is the name of its intervention as well. `random`: a direction of equal
# length. `wrong_language`: another language's vector. `wrong_dataset`: one from another benchmark.
# `orthogonal`: the vector without the directions that write the letters. `halves`: the difference
# of two halves of the pivot's own prompts.
Control = Literal["random", "wrong_language", "wrong_dataset", "orthogonal", "halves"]
CONTROLS: tuple[Control, ...] = get_args(Control)
STEER = "steer"
# What one steered answer costs beside the pass of its prompt, in characters: a few tokens.
ANSWER_CHARACTERS = 12

TABLES = ()  # rows of choices.py


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringGrid(Grid):
    """Answers while the residual stream is pushed toward the pivot's, layers x coefficients.

    For every seed, `sample` items are drawn, vectors are made from them, and the others are
    answered. Controls run at `control_coefficients`; the vectors of `wrong_dataset` are those of
    the first of `others` that has the language. A control that cannot be made is left out with a
    note, or refused if `strict`.
    """

    benchmark: str
    pivot: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    layers: Layers = "analysed"
    coefficients: tuple[float, ...] = ()
    seeds: tuple[int, ...] = (0,)
    sample: int = 50
    controls: tuple[Control, ...] = ()
    control_coefficients: tuple[float, ...] = (2.0,)
    others: tuple[str, ...] = ()
    strict: bool = False
    steering: Steering = field(default_factory=Steering)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """The parts of vectors and of the answers, of each for every language and draw.

        Raises:
            ValueError: the benchmark or the pivot does not exist, nothing is left to answer, or a
                control lacks what it needs.
        """
        role = "the language to steer toward"
        meant = inputs.languages_of(self.benchmark, self.languages, pivot=self.pivot, role=role)
        chosen = [language for language in meant if language != self.pivot]
        if not chosen:
            raise ValueError(
                f"no language to steer toward {self.pivot!r} in {self.benchmark}: name at least "
                "one other with --language, or all"
            )
        controls = self.controls
        if "wrong_language" in controls and len(chosen) < 2:
            lack = (
                f"the control wrong_language needs two languages beside {self.pivot!r} in "
                f"{self.benchmark}, and {chosen[0]!r} is the only one"
            )
            if self.strict:
                raise ValueError(f"{lack}: name another, or leave the control out")
            inputs.notes.append(f"{lack}: it is left out")
            controls = tuple(name for name in controls if name != "wrong_language")
        for seed in self.seeds:
            one = _OneDraw(replace(self, controls=controls), chosen, seed, inputs)
            yield from one.drafts(models)


class _OneDraw(NamedTuple):
    """What one draw of items comes to."""

    grid: SteeringGrid
    chosen: Sequence[str]
    seed: int
    inputs: Inputs

    def drafts(self, models: Sequence[ModelFacts]) -> Iterator[Draft]:
        """The vectors of all languages, then the answers that take them."""
        grid = self.grid
        own = {language: self._pairs(language) for language in self.chosen}
        halves = self._pairs(grid.pivot) if "halves" in grid.controls else None
        others = self._of_others() if "wrong_dataset" in grid.controls else {}
        everyone = [*own.values(), *([halves] if halves else []), *others.values()]
        for model in models:
            for each in everyone:
                yield vectors.draft(each, model=model)
        yield from self._answers(models, grid.pivot, {})
        for place, language in enumerate(self.chosen, 1):
            given = {
                "random": own[language],
                "orthogonal": own[language],
                "wrong_language": own[self.chosen[place % len(self.chosen)]],
                "wrong_dataset": others.get(language),
                "halves": halves,
            }
            made_from = {STEER: own[language]}
            made_from |= {name: found for name in grid.controls if (found := given[name])}
            yield from self._answers(models, language, made_from)

    def _answers(
        self, models: Sequence[ModelFacts], language: str, made_from: Mapping[str, VectorSet]
    ) -> Iterator[Draft]:
        """The answers of one language, with the vectors that its interventions take."""
        grid = self.grid
        asked = steering_items.held_out(self._drawn(language))
        name = f"held out {grid.benchmark}/{language}-{grid.pivot} {grid.sample}/{self.seed}"
        self.inputs.read(asked, name=name)
        for model in models:
            taken = {
                intervention: vectors.draft(found, model=model).cells[0].key
                for intervention, found in made_from.items()
            }
            yield draft(grid, asked, model=model, vectors=taken)

    def _pairs(self, language: str, *, benchmark: str | None = None) -> VectorSet:
        """The pairs that a language's vectors are made from."""
        grid, name = self.grid, benchmark or self.grid.benchmark
        asked = steering_items.vector_set(self._drawn(language, benchmark=name))
        pin = f"vectors {name}/{language}-{grid.pivot} {grid.sample}/{self.seed}"
        self.inputs.read(asked, name=pin)
        return asked

    def _drawn(self, language: str, *, benchmark: str | None = None) -> Draw:
        """What the seed draws of a benchmark for one language."""
        grid = self.grid
        questions = Questions(
            benchmark=benchmark or grid.benchmark,
            limit=grid.limit,
            prompt=grid.prompt,
            asking=grid.asking,
            sample=grid.sample,
            seed=self.seed,
        )
        return draw(questions, language=language, pivot=grid.pivot, source=self.inputs.source)

    def _of_others(self) -> dict[str, VectorSet]:
        """For every language the vectors of the first other benchmark that has it and the pivot.

        Raises:
            ValueError: none has any, and the control is not to be left out.
        """
        grid = self.grid
        found: dict[str, VectorSet] = {}
        for benchmark in grid.others:
            there = benchmarks.languages(benchmark, source=self.inputs.source)
            if grid.pivot in there:
                new = [code for code in self.chosen if code in there and code not in found]
                found |= {language: self._pairs(language, benchmark=benchmark) for language in new}
        lacking = [language for language in self.chosen if language not in found]
        if not found and grid.strict:
            raise ValueError(
                f"the control wrong_dataset of {grid.benchmark} needs vectors of another benchmark "
                f"with {grid.pivot} and one of its languages: name one with --benchmark, or leave "
                "the control out"
            )
        if lacking:
            self.inputs.note(
                f"no other benchmark has {grid.pivot} and {', '.join(lacking[:6])}"
                f"{f' and {len(lacking) - 6} more' if lacking[6:] else ''}: the control "
                f"wrong_dataset of {grid.benchmark} is left out there"
            )
        return found


def draft(
    grid: SteeringGrid, asked: ChoiceSet, *, model: ModelFacts, vectors: Mapping[str, str]
) -> Draft:
    """The cells of a model's answers in a language: interventions x layers x coefficients.

    The first is the plain answer, at coefficient 0 and no layer: it is the same everywhere.

    Args:
        grid: layers and coefficients.
        asked: the items that are answered, with the seed of the draw that left others out.
        model: whose answers.
        vectors: for every intervention the key of the cell whose vectors it takes.

    Raises:
        ValueError: the grid asks for a layer that the model does not have.
    """
    cells = partial(cells_of, asked, model=model, table="items", pivot=grid.pivot)
    plain = (Point(coefficient=0.0),)
    every = [cells(made=[VERSION], intervention=STEER, points=plain)]
    for intervention, key in vectors.items():
        made = [VERSION, key, text(grid.steering)]
        made += [asked.seed] if intervention == "random" else []
        given = grid.coefficients if intervention == STEER else grid.control_coefficients
        points = tuple(
            Point(layer=layer, coefficient=coefficient)
            for layer in layers_asked(grid.layers, model=model)
            for coefficient in given
            if coefficient
        )
        every.append(cells(made=made, intervention=intervention, points=points))
    count = sum(len(each.points) for each in every)
    return Draft(
        kind="steering",
        model=model,
        content=asked,
        cells=tuple(every),
        characters=sum(len(item.context) for item in asked.items)
        + ANSWER_CHARACTERS * count * len(asked.items),
        rows=len(asked.items),
        taken=vectors,
    )
