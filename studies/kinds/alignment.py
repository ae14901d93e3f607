"""Cells over parallel text: scores of languages in every layer, checks of them, and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import groupby, product
from typing import Literal

from studies import parallel_text
from studies.content import Content, Together
from studies.draws import Questions, draw
from studies.inputs import Inputs, named
from studies.layers import Layers, named_layers
from studies.measures import NEURONXA, Measure, normed, resolve
from studies.prompt_options import Asking
from studies.rows import Source
from studies.spec import POOLINGS, Cells, ModelFacts, Point, Pooling, Switches, digest
from studies.study import Draft, Grid
from studies.tables import KEY, MODEL, STUDY, Table, double, int32, string
from studies.texts import Bitext

Method = Literal["tsne", "pca"]

CHECK_VERSION = 2
POINTS_VERSION = 1
# Checks of one score.
CHECKS = 9

DATASET = string(
    "dataset",
    "the parallel text, such as `flores200`; `questions/belebele` for the prompts of a benchmark",
)
MEASURE = string(
    "measure", "`mexa`, `nasca`, `navca`, `cka`, `svcca`, `anc`, `cosine` or `cosine_centred`"
)
POOLING = string(
    "pooling", "how token vectors became one vector: `weighted` (by position), `average` or `last`"
)
LAYER = int32("layer", "0 for the embeddings (`mexa` alone), 1..L for the output of that block")
ASKED_PAIRS = string("pairs", "number of sentence pairs asked for, or `all`")
SWITCHES = string("switches", "all switches of the measures, as canonical JSON")
WHERE = (
    DATASET,
    string("language", "the language that is compared, such as `deu_Latn`"),
    string("pivot", "the language that it is compared with, such as `eng_Latn`"),
    MEASURE,
    POOLING,
    LAYER,
)

ALIGNMENT = Table(
    name="alignment",
    row="(model, data set, language, pivot, measure, pooling, layer)",
    columns=(
        STUDY,
        MODEL,
        *WHERE,
        int32("n", "number of sentence pairs compared"),
        ASKED_PAIRS,
        int32(
            "duplicates",
            "number of pairs with a text, on either side, that also occurs in another pair",
        ),
        int32(
            "tokens, pivot_tokens",
            "number of tokens of all texts in `language` and in `pivot`, without those that the "
            "tokenizer or a chat template adds",
        ),
        int32(
            "truncated",
            "number of texts cut to the model's context; 0 without `--allow-truncation`",
        ),
        double(
            "value",
            "the score. `mexa`, `nasca`, `navca`: share of pairs that are each other's nearest "
            "neighbours, 0 to 1; the others: the similarity, NaN where it is undefined (one side "
            "does not vary; `cosine`: a zero vector)",
        ),
        int32(
            "ties",
            "`mexa`, `nasca`, `navca`: number of pairs exactly as similar as their best "
            "competitor; null for the other measures",
        ),
        double(
            "p_null",
            "probability of a score at least this high if similarities carried no information "
            "(exact binomial tail); null where `ties` is",
        ),
        double(
            "forward, backward",
            "share of pivot sentences whose nearest neighbour is their translation, and of "
            "translations whose nearest neighbour is their pivot sentence; null where `ties` is",
        ),
        double(
            "margin",
            "mean over pairs of their cosine minus that of their best competitor; null where "
            "`ties` is",
        ),
        int32(
            "constant",
            "`anc`: number of neurons that do not vary, which count as correlation 0; null for the "
            "other measures",
        ),
        KEY,
        SWITCHES,
    ),
)

ROBUSTNESS = Table(
    name="robustness",
    row="(cell, check)",
    columns=(
        STUDY,
        MODEL,
        *WHERE,
        ASKED_PAIRS,
        int32("n", "number of sentence pairs that the check used"),
        string(
            "check",
            "`permutation`, `bootstrap`, `half_1`, `half_2`, `distinct`, `hubness`, `csls`, "
            "`length_matched` or `length_random`",
        ),
        double(
            "value",
            "`permutation`: mean score of shuffled pairs; `bootstrap`: the score itself; "
            "`half_1`, `half_2`: the score of each half of the pairs; `distinct`: without repeated "
            "texts; `hubness`: skewness of the 10-occurrence, 0 without hubs; `csls`: the score "
            "after correcting similarities for hubs; `length_matched`: the score where pairs "
            "compete only within bands of about 20 pairs of similar length (characters of the "
            "pivot's text); `length_random`: the mean of that score over random bands of the same "
            "sizes",
        ),
        double(
            "low, high",
            "95 % interval: `bootstrap` over resampled pairs, `length_random` over random bands; "
            "NaN for the other checks",
        ),
        double(
            "p",
            "`permutation`: share of shuffles that score at least as high; NaN for other checks",
        ),
        int32(
            "samples",
            "number of random draws, 0 where there are none; `length_matched`: number of bands",
        ),
        KEY,
        SWITCHES,
    ),
    identity=("key", "check"),
)

POINTS = Table(
    name="points",
    row="(cell, sentence)",
    columns=(
        STUDY,
        MODEL,
        DATASET,
        string("language", "language of the picture; `all` for all in one picture"),
        string("pivot", "the language pictured beside it, such as `eng_Latn`"),
        MEASURE,
        POOLING,
        LAYER,
        string("method", "how vectors were projected to the plane: `tsne` or `pca`"),
        string("item", "id of the sentence pair"),
        string("side", "language of this sentence"),
        double("x, y", "position in the plane; scale and direction carry no meaning"),
        KEY,
        SWITCHES,
    ),
    identity=("key", "item", "side"),
)

TABLES = (ALIGNMENT, ROBUSTNESS, POINTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentGrid(Grid):
    """Parallel text: languages x measures x poolings x layers, for every model.

    `languages` may be `("all",)`; `layers` None means every layer the measure has. The cells are
    scores, or checks of scores (`robustness`), or `points` of a picture made by `method`, of the
    first of its languages that the text has, or of all `together`; `seed` is that of checks and
    pictures. With `questions` the text is a benchmark's prompts, and `dataset` only its name.
    """

    table: Literal["alignment", "robustness", "points"] = "alignment"
    dataset: str
    pivot: str = "eng_Latn"
    pairs: int | None = 100
    measures: tuple[str, ...] = NEURONXA
    poolings: tuple[Pooling, ...] = POOLINGS
    layers: Layers | None = None
    switches: Switches = field(default_factory=Switches)
    method: Method | None = None
    seed: int = 0
    together: bool = False
    questions: Questions | None = None

    @property
    def dataset_name(self) -> str:
        """The parallel text, or the benchmark whose prompts stand for one."""
        return self.questions.benchmark if self.questions else self.dataset

    @property
    def asked_with(self) -> Asking | None:
        """How the questions are put."""
        return self.questions.asking if self.questions else None

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language, or for one picture of them all.

        Raises:
            ValueError: the texts do not exist, or there is no language beside the pivot.
        """
        chosen = self._languages(inputs)
        if not chosen:
            raise ValueError(
                f"no language to compare with the pivot {self.pivot!r} in {self.dataset}: name at "
                "least one other language with --language, or all"
            )
        if self.table == "points" and not self.together:
            chosen = chosen[:1]
        bitexts = []
        for language in chosen:
            bitext = self._bitext(language, source=inputs.source)
            inputs.read(bitext, name=f"text {self.dataset}/{language}-{self.pivot}")
            bitexts.append(bitext)
            if not self.together:
                for model in models:
                    yield self.draft(bitext, model=model)
        if self.together:
            picture = Together(parts=tuple(bitexts))  # one for all models, so hashed once
            for model in models:
                yield self.draft(picture, model=model)

    def draft(self, content: Bitext | Together[Bitext], *, model: ModelFacts) -> Draft:
        """The part of one text: measures x layers x poolings.

        Raises:
            ValueError: the grid asks for a layer that a measure does not have in this model.
        """
        texts = content.parts if isinstance(content, Together) else (content,)
        rows = {
            "alignment": 1,
            "robustness": CHECKS,
            # A point for every sentence; those of the pivot are the same in every language.
            "points": len(texts[0].ids) * (1 + len(texts)),
        }
        return Draft(
            kind="alignment",
            model=model,
            content=content,
            cells=tuple(_cells(self, content, model)),
            characters=content.characters,
            rows=rows[self.table],
        )

    def _languages(self, inputs: Inputs) -> list[str]:
        """The languages to compare with the pivot, in the order they are asked for."""
        if self.questions:
            meant = inputs.languages_of(self.questions.benchmark, self.languages)
            there = tuple(meant)
        else:
            there = parallel_text.languages(self.dataset, source=inputs.source)
            meant = list(named(self.languages, there=there))
        if self.table == "points":
            first = [language for language in self.languages if language in there]
            meant = list(dict.fromkeys((*first, *meant)))
        return [language for language in meant if language != self.pivot]

    def _bitext(self, language: str, *, source: Source) -> Bitext:
        if self.questions:
            return draw(self.questions, language=language, pivot=self.pivot, source=source).bitext()
        return parallel_text.load(
            self.dataset,
            language=language,
            pivot=self.pivot,
            pairs=self.pairs,
            pair_ids=self.switches.pair_ids,
            seed=self.switches.seed,
            source=source,
        )


def _cells(grid: AlignmentGrid, content: Content, model: ModelFacts) -> Iterator[Cells]:
    """The cells of one text.

    Checks are of mutual neighbours alone; points without layers named are of the middle layer.
    """
    texts = digest([model.identity, content.fingerprint])
    for name in grid.measures:
        measure = resolve(name, switches=grid.switches)
        made = [*_reading(measure, grid.switches), *_made_of(grid)]
        is_normed = partial(normed, measure, last=model.layers, switches=grid.switches)
        there = _layers(grid, name=name, measure=measure, model=model)
        for norm, layers in groupby(there, key=is_normed):
            yield Cells(
                table=grid.table,
                model=model.name,
                revision=model.revision,
                language=content.language,
                scope=digest([texts, *made, norm]),
                dataset=grid.dataset,
                pivot=content.pivot,
                measure=name,
                points=_points(tuple(layers), grid.poolings),
            )


@lru_cache(maxsize=1024)
def _points(layers: tuple[int, ...], poolings: tuple[Pooling, ...]) -> tuple[Point, ...]:
    """Where the cells of every text lie, made once and not for each."""
    return tuple(Point(*point) for point in product(layers, poolings))


def _reading(measure: Measure, switches: Switches) -> list[object]:
    """What a measure reads, and what it makes of it, as far as its name leaves it open."""
    reading: list[object] = [measure.version, measure.site, measure.state, switches.include_bos]
    if measure.pooled_state != "raw":
        reading.append(measure.pooled_state)
    if measure.score != "mutual_nearest":
        reading.append(measure.score)
    return [*reading, *measure.settings]


def _made_of(grid: AlignmentGrid) -> list[object]:
    """What checks and points depend on beside the vectors."""
    if grid.table == "robustness":
        return [CHECK_VERSION, grid.seed]
    return [POINTS_VERSION, grid.method, grid.seed] if grid.table == "points" else []


def _layers(
    grid: AlignmentGrid, *, name: str, measure: Measure, model: ModelFacts
) -> tuple[int, ...]:
    """The layers asked for, as far as the measure has them."""
    there = measure.layers(model.layers)
    if isinstance(grid.layers, str):
        return named_layers(grid.layers, blocks=model.layers)
    if grid.layers is None:
        return ((model.layers + 1) // 2,) if grid.table == "points" else tuple(there)
    beyond = [layer for layer in grid.layers if not 0 <= layer <= model.layers]
    if beyond:
        raise ValueError(
            f"layer {beyond[0]} does not exist in model {model.label!r}: expected 0 (embeddings) "
            f"to {model.layers} (the last block's output)"
        )
    layers = tuple(layer for layer in grid.layers if layer in there)
    if not layers:
        raise ValueError(
            f"measure {name!r} has no layer {grid.layers[0]}: its layers are {there.start} to "
            f"{model.layers} in model {model.label!r}"
        )
    return layers
