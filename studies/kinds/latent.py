"""Cells of the latent process: how probable every option's text is at every layer.

Options are read in the question's language and in the pivot (arXiv 2505.13141, section 4).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from studies import latent_items
from studies.inputs import Inputs
from studies.latent_items import LatentSet
from studies.layers import Layers, layers_asked
from studies.prompt_options import Asking, Lens, text
from studies.spec import ModelFacts, Point
from studies.study import Draft, Grid, cells_of
from studies.tables import (
    BENCHMARK,
    GOLD,
    ITEM,
    KEY,
    LANGUAGE,
    MODEL,
    PROMPT,
    STUDY,
    Table,
    boolean,
    doubles,
    int32,
    int32s,
    string,
)

VERSION = 1
# Every option's own text, and the control in which it is another question's.
MEASURES = ("latent", "latent_shuffled")

LENGTHS = "its length in characters and in bytes of UTF-8, without the space before it"

LENS = Table(
    name="lens",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        string("pivot", "the second language that the options are given in"),
        string(
            "measure",
            "`latent`: the question's own options; `latent_shuffled`: those of another question, "
            "as a control",
        ),
        int32(
            "layer",
            "the block whose output is read through the logit lens, 1..L; at L this is the "
            "model's own answer",
        ),
        ITEM,
        GOLD,
        doubles("native_logp", "log-probability of each option in `language`"),
        int32s("native_tokens", "number of tokens of each option in `language`"),
        int32s("native_characters, native_bytes", LENGTHS),
        doubles("pivot_logp", "log-probability of each option in `pivot`"),
        int32s("pivot_tokens", "number of tokens of each option in `pivot`"),
        int32s("pivot_characters, pivot_bytes", LENGTHS),
        PROMPT,
        boolean("truncated", "whether the context was cut from the left"),
        KEY,
        string("switches", "the logit lens's norm, head and soft cap, as canonical JSON"),
    ),
    identity=("key", "item"),
    about="One cell per model, benchmark, language, measure and layer. Log-probabilities are in "
    "nats, summed over an option's tokens,\nafter the same question in `language`; lists have one "
    "entry per option.",
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

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language that the benchmark has, the pivot among them.

        Raises:
            ValueError: the benchmark does not exist, or a language and the pivot are not parallel.
        """
        role = "the language of the other option texts"
        for language in inputs.languages_of(
            self.benchmark, self.languages, pivot=self.pivot, role=role
        ):
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
            inputs.read(found.set, name=f"options {self.benchmark}/{language}-{self.pivot}")
            for model in models:
                yield draft(self, found.set, model=model)


def draft(grid: LatentGrid, asked: LatentSet, *, model: ModelFacts) -> Draft:
    """The cells of a model on the option texts of a language: own and shuffled ones x layers.

    Raises:
        ValueError: the grid asks for a layer that the model does not have.
    """
    made = [VERSION, text(grid.lens)]
    points = tuple(Point(layer) for layer in layers_asked(grid.layers, model=model))
    return Draft(
        kind="latent",
        model=model,
        content=asked,
        cells=tuple(
            cells_of(
                asked,
                model=model,
                table="lens",
                made=[*made, *([asked.order] if measure == "latent_shuffled" else [])],
                measure=measure,
                points=points,
            )
            for measure in MEASURES
        ),
        characters=asked.characters,
        rows=len(asked.items),
    )
