"""Cells of the latent process: how probable every option's text is at every layer.

Options are read in the question's language and in the pivot (arXiv 2505.13141, section 4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from studies import benchmarks, latent_items
from studies.inputs import Inputs, need_pivot
from studies.latent_items import LatentSet
from studies.layers import Layers, layers_asked
from studies.prompt_options import Asking, Lens, text
from studies.spec import Cells, ModelFacts, Point, digest
from studies.study import Draft, Grid
from studies.tables import KEY, MODEL, STUDY, Columns, Table

VERSION = 1
# Every option's own text, and the control in which it is another question's.
MEASURES = ("latent", "latent_shuffled")

LENS = Table(
    name="lens",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        Columns("benchmark, language", "string", "as above"),
        Columns("pivot", "string", "the other language of the options"),
        Columns(
            "measure",
            "string",
            "`latent`: the question's own options; `latent_shuffled`: those of another question, "
            "a control",
        ),
        Columns(
            "layer",
            "int32",
            "1..L, read by the model's own head; at L it is the model's own answer",
        ),
        Columns("item, gold", "string, int32", "as above"),
        Columns(
            "native_logp",
            "list of double",
            "log-probability of each option's text in `language`",
        ),
        Columns("native_tokens", "list of int32", "tokens of each text as it was read"),
        Columns(
            "native_characters, native_bytes",
            "list of int32",
            "its characters, and its bytes in UTF-8, without the space before it",
        ),
        Columns(
            "pivot_logp",
            "list of double",
            "the same of its text in `pivot`",
        ),
        Columns("pivot_tokens", "list of int32", "tokens of each text as it was read"),
        Columns(
            "pivot_characters, pivot_bytes",
            "list of int32",
            "its characters, and its bytes in UTF-8, without the space before it",
        ),
        Columns("prompt, truncated", "string, bool", "as above"),
        KEY,
        Columns("switches", "string", "canonical JSON of norm, head and cap"),
    ),
    identity=("key", "item"),
    about="One cell per model, benchmark, language, measure and layer. Log-probabilities are "
    "natural, summed over an option's tokens, after\nthe same question in `language`; lists have "
    "one entry per option.",
)

TABLES = (LENS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentGrid(Grid):
    """How probable every option's text is at every layer, in the question's language and the pivot.

    `seed` is that of the control, in which options belong to another question (arXiv 2505.13141,
    section 4).
    """

    benchmark: str
    pivot: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    layers: Layers = "analysed"
    lens: Lens = field(default_factory=Lens)
    seed: int = 0

    @property
    def source(self) -> str:
        """The benchmark."""
        return self.benchmark

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language that the benchmark has, the pivot among them.

        Raises:
            ValueError: the benchmark does not exist, or a language and the pivot are not parallel.
        """
        there = benchmarks.languages(self.benchmark, source=inputs.source)
        need_pivot(
            self.benchmark, self.pivot, there=there, role="the language of the other option texts"
        )
        for language in inputs.those_there(self.languages, there=there, benchmark=self.benchmark):
            found = latent_items.latent_set(
                self.benchmark,
                language=language,
                pivot=self.pivot,
                source=inputs.source,
                limit=self.limit,
                prompt=self.prompt,
                asking=self.asking,
                seed=self.seed,
            )
            if found.alone:
                inputs.notes.append(
                    f"{self.benchmark} in {language}: {found.alone} items are left out of the "
                    "latent part, as no other has as many options to be exchanged with"
                )
            asked = found.set
            name = f"options {self.benchmark}/{language}-{self.pivot}"
            fingerprint, size = inputs.read(asked, name=name), _characters(asked)
            for model in models:
                yield draft(self, asked, model=model, fingerprint=fingerprint, size=size)


def draft(
    grid: LatentGrid,
    asked: LatentSet,
    *,
    model: ModelFacts,
    fingerprint: str | None = None,
    size: int | None = None,
) -> Draft:
    """The cells of a model on the option texts of a language: own and shuffled ones x layers.

    `fingerprint` and `size`, its characters, are the set's own, where the caller has them.

    Raises:
        ValueError: the grid asks for a layer that the model does not have.
    """
    made = [model.identity, fingerprint or asked.fingerprint, VERSION, text(grid.lens)]
    points = tuple(Point(layer) for layer in layers_asked(grid.layers, model=model))
    return Draft(
        kind="latent",
        model=model,
        content=asked,
        cells=tuple(
            Cells(
                table="lens",
                model=model,
                benchmark=asked.benchmark,
                language=asked.language,
                pivot=asked.pivot,
                measure=measure,
                scope=digest([*made, *([asked.order] if measure == "latent_shuffled" else [])]),
                points=points,
            )
            for measure in MEASURES
        ),
        characters=_characters(asked) if size is None else size,
        rows=len(asked.items),
    )


def _characters(asked: LatentSet) -> int:
    """The size of all contexts, and of their options in both languages, own and another's."""
    return sum(
        len(item.context) + 2 * sum(map(len, (*item.native, *item.pivot))) for item in asked.items
    )
