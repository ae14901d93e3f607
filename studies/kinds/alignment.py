"""Cells over parallel text: scores of languages in every layer, checks of them, and pictures."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby, product
from typing import Literal

from studies import parallel_text, question_texts
from studies.inputs import Inputs, named
from studies.layers import Layers, named_layers
from studies.measures import NEURONXA, Measure, normed, resolve
from studies.prompt_options import Asking
from studies.question_texts import Questions
from studies.rows import Source
from studies.spec import POOLINGS, Cells, ModelFacts, Point, Pooling, Switches, digest
from studies.study import Draft, Grid
from studies.tables import KEY, MODEL, STUDY, Columns, Table
from studies.texts import Bitext, Bitexts, Content

Method = Literal["tsne", "pca"]

CHECK_VERSION = 2
POINTS_VERSION = 1
# Checks of one score.
CHECKS = 9

ALIGNMENT = Table(
    name="alignment",
    row="(model, data set, language, pivot, measure, pooling, layer)",
    columns=(
        STUDY,
        MODEL,
        Columns(
            "dataset",
            "string",
            "the parallel text; `questions/belebele` is a benchmark's prompts, of which `n` were "
            "drawn",
        ),
        Columns(
            "language, pivot",
            "string",
            "`eng_Latn` style; in points `all` for a picture of all languages",
        ),
        Columns("measure", "string", "mexa, nasca, navca; cka, svcca, anc; cosine, cosine_centred"),
        Columns("pooling", "string", "weighted, average, last"),
        Columns("layer", "int32", "0..L (mexa), else 1..L"),
        Columns("n", "int32", "sentence pairs"),
        Columns("pairs", "string", "how many were asked for: a number, or `all`"),
        Columns("duplicates", "int32", "pairs of which a text stands in another pair as well"),
        Columns(
            "tokens, pivot_tokens",
            "int32",
            "tokens of all texts of each language, without what the tokenizer or a chat template "
            "adds",
        ),
        Columns(
            "truncated",
            "int32",
            "texts that were cut to the model's context (0 unless `--allow-truncation`)",
        ),
        Columns(
            "value",
            "double",
            "mexa, nasca, navca: share of pairs that are each other's strict nearest neighbour; "
            "else the similarity, NaN where one side does not vary (cosine: where a vector has no"
            " direction)",
        ),
        Columns(
            "ties",
            "int32",
            "pairs whose best competitor was exactly as similar (missing for cka, svcca, anc, as "
            "the next four)",
        ),
        Columns(
            "p_null",
            "double",
            "P(a score at least this high) if similarities carried no information (exact binomial"
            " tail)",
        ),
        Columns(
            "forward, backward",
            "double",
            "share of pivot sentences that find their translation, and of translations that find "
            "theirs",
        ),
        Columns("margin", "double", "mean of a pair's cosine less that of its best competitor"),
        Columns("constant", "int32", "anc: columns without variation, which count as 0"),
        KEY,
        Columns("switches", "string", "canonical JSON of the resolved switches"),
    ),
)

ROBUSTNESS = Table(
    name="robustness",
    row="(cell, check)",
    columns=(
        STUDY,
        MODEL,
        Columns(
            "dataset, language, pivot, measure, pooling, layer, pairs",
            "string, string, string, string, string, int32, string",
            "as above",
        ),
        Columns("n", "int32", "pairs that the check was made on"),
        Columns(
            "check",
            "string",
            "permutation, bootstrap, half_1, half_2, distinct, hubness, csls, length_matched, "
            "length_random",
        ),
        Columns(
            "value",
            "double",
            "permutation: mean score of shuffled pairs; bootstrap: the score; half_1, half_2: of "
            "disjoint halves; distinct: without repeated texts; hubness: skewness of "
            "10-occurrence; csls: the score of similarities corrected for hubs; length_matched: "
            "the score where pairs compete only within bands of about 20 of like length "
            "(characters of the pivot's text); length_random: the mean of that score in bands of "
            "the same sizes drawn at random",
        ),
        Columns(
            "low, high",
            "double",
            "bootstrap: 95 % over resampled pairs; length_random: 95 % over draws; else NaN",
        ),
        Columns(
            "p",
            "double",
            "permutation: share of shuffles with a score at least as high, else NaN",
        ),
        Columns("samples", "int32", "draws, 0 where there are none; length_matched: bands"),
        Columns("key, switches", "string", "as above"),
    ),
    identity=("key", "check"),
)

POINTS = Table(
    name="points",
    row="(cell, sentence)",
    columns=(
        STUDY,
        MODEL,
        Columns(
            "dataset, language, pivot, measure, pooling, layer",
            "string, string, string, string, string, int32",
            "as above",
        ),
        Columns("method", "string", "tsne, pca"),
        Columns("item", "string", "the pair's id"),
        Columns("side", "string", "the sentence's language: `language` or `pivot`"),
        Columns("x, y", "double", "where it lies; no scale, no direction"),
        Columns("key, switches", "string", "as above"),
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
    def source(self) -> str:
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
        bitexts, prints = [], []
        for language in chosen:
            bitext = self._bitext(language, source=inputs.source)
            name = f"text {self.dataset}/{language}-{self.pivot}"
            fingerprint = inputs.read(bitext, name=name)
            bitexts.append(bitext)
            prints.append(fingerprint)
            if not self.together:
                for model in models:
                    yield self.draft(bitext, model=model, fingerprint=fingerprint)
        if self.together:
            picture, fingerprint = Bitexts(bitexts=tuple(bitexts)), digest(prints)
            for model in models:
                yield self.draft(picture, model=model, fingerprint=fingerprint)

    def draft(
        self, content: Bitext | Bitexts, *, model: ModelFacts, fingerprint: str | None = None
    ) -> Draft:
        """The part of one text: measures x layers x poolings.

        `fingerprint` is the text's own, where the caller has it: hashing texts takes longer than
        all the cells of a model on them.

        Raises:
            ValueError: the grid asks for a layer that a measure does not have in this model.
        """
        texts = content.bitexts if isinstance(content, Bitexts) else (content,)
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
            cells=tuple(_cells(self, content, model, fingerprint or content.fingerprint)),
            characters=sum(len(text) for each in texts for text in each.texts),
            rows=rows[self.table],
        )

    def _languages(self, inputs: Inputs) -> list[str]:
        """The languages to compare with the pivot, in the order they are asked for."""
        if self.questions:
            there = question_texts.languages(self.questions, source=inputs.source)
            name = self.questions.benchmark
            meant = inputs.those_there(self.languages, there=there, benchmark=name)
        else:
            there = parallel_text.languages(self.dataset, source=inputs.source)
            meant = list(named(self.languages, there=there))
        if self.table == "points":
            first = [language for language in self.languages if language in there]
            meant = list(dict.fromkeys((*first, *meant)))
        return [language for language in meant if language != self.pivot]

    def _bitext(self, language: str, *, source: Source) -> Bitext:
        if self.questions:
            return question_texts.bitext(
                self.questions, language=language, pivot=self.pivot, source=source
            )
        return parallel_text.load(
            self.dataset,
            language=language,
            pivot=self.pivot,
            pairs=self.pairs,
            pair_ids=self.switches.pair_ids,
            seed=self.switches.seed,
            source=source,
        )


def _cells(
    grid: AlignmentGrid, content: Content, model: ModelFacts, fingerprint: str
) -> Iterator[Cells]:
    """The cells of one text.

    Checks are of mutual neighbours alone; points without layers named are of the middle layer.
    """
    texts = digest([model.identity, fingerprint])
    for name in grid.measures:
        measure = resolve(name, switches=grid.switches)
        made = [*_reading(measure, grid.switches), *_made_of(grid)]

        def is_normed(layer: int, measure: Measure = measure) -> bool:
            return normed(measure, layer=layer, last=model.layers, switches=grid.switches)

        there = _layers(grid, name=name, measure=measure, model=model)
        for norm, layers in groupby(there, key=is_normed):
            yield Cells(
                table=grid.table,
                model=model,
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
