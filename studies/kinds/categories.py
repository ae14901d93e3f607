"""Cells of neuron categories: which neurons are active in no, one, some or all languages (CLAS).

They take the statistics of every language (neurons.py), and are what neurons are rescaled by.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from statistics import median

from studies import samples
from studies.content import Together
from studies.inputs import Inputs, named
from studies.kinds import neurons
from studies.neuron_options import CATEGORIES as NAMES
from studies.neuron_options import Sorting, text
from studies.samples import Samples
from studies.spec import ModelFacts
from studies.study import Draft, Grid, one_cell
from studies.tables import KEY, MODEL, STUDY, Table, boolean, double, int32, string

VERSION = 1
# A neuron of some languages is one of two or more, and not of all.
FEWEST = 3
# Categories from statistics whose languages are mixed up, as a control.
MIXED = 5

CATEGORIES = Table(
    name="categories",
    row="(cell, layer, part)",
    columns=(
        STUDY,
        MODEL,
        string("dataset", "the data set whose texts were read, such as `xquad`"),
        string("language", "`all`"),
        int32("layer", "the block, 1..L"),
        boolean("bridge", "whether neurons of this layer are rescaled"),
        string(
            "part",
            "what the categories are from: `all` samples; `half_1`, `half_2` of them; the `first` "
            "half of them, or `twice` as many; `mixed` samples whose languages were permuted (mean "
            "of several permutations); `instance_last`, `instance_any`: every sample by itself, a "
            "neuron being active that fires at the last token, or at any (mean over samples, Wang "
            "et al. 2024)",
        ),
        int32("n", "number of samples in each language"),
        int32("languages", "number of languages"),
        int32("neurons", "number of neurons of the layer"),
        double(
            ", ".join(NAMES),
            "share of the layer's neurons that are active in no language, one, some (at least two) "
            "and all; they add up to 1",
        ),
        double(
            "jaccard_partial_shared, jaccard_specific",
            "neurons of that category in this part and in `all` (`half_1`, `half_2`: in the other "
            "half), divided by those in either; null for single instances and where there are none",
        ),
        int32(
            "intmu", "neurons that Int-mu overwrites in at least one language; null but for `all`"
        ),
        KEY,
        string("switches", "how neurons are sorted, as canonical JSON"),
    ),
    identity=("key", "layer", "part"),
    about="One cell per model and data set; which neuron is active in which language is in "
    "`artifacts/<key>.safetensors`.",
)

TABLES = (CATEGORIES,)


@dataclass(frozen=True, slots=True, kw_only=True)
class NeuronGrid(Grid):
    """What neurons are sorted by: so many samples of a data set, in some languages.

    `bridge` are the layers whose neurons are rescaled, 1..L; () finds them by `bridge_layers`.
    """

    sampled: str
    samples: int = 100
    pivot: str = "eng_Latn"
    bridge: tuple[int, ...] = ()
    sorting: Sorting = field(default_factory=Sorting)

    @property
    def chosen_bridge(self) -> tuple[int, ...]:
        """The bridge layers that were given, each once and in order, however they were."""
        return tuple(sorted(set(self.bridge)))

    def sampled_languages(self, inputs: Inputs) -> list[str]:
        """The languages that neurons are sorted by, the anchor first if it has samples.

        Raises:
            ValueError: fewer than three.
        """
        there = samples.languages(self.sampled, source=inputs.source)
        meant = named(self.languages, there=there)
        chosen = [language for language in meant if language in there]
        if self.pivot in there:
            chosen = [self.pivot, *(language for language in chosen if language != self.pivot)]
        if len(chosen) < FEWEST:
            raise ValueError(
                f"neurons can be sorted by {len(chosen)} of the languages asked for, those of "
                f"{self.sampled} ({', '.join(chosen) or 'none'}): expected at least {FEWEST}, so "
                "that some can be active in several and not in all; name more with --language, or "
                "other samples with --sampled"
            )
        return chosen

    def sorted_neurons(
        self, models: Sequence[ModelFacts], inputs: Inputs
    ) -> Iterator[tuple[Draft, bool]]:
        """The statistics of every language, then the categories of each model, which are True.

        Raises:
            ValueError: fewer than three languages, or no such layer.
        """
        chosen = self.sampled_languages(inputs)
        sets = samples.load(
            self.sampled,
            languages=chosen,
            source=inputs.source,
            size=self.samples,
            text=self.sorting.stat_text,
        )
        for one in sets:
            inputs.read(one, name=f"samples {self.sampled}/{one.language}")
        together = Together(parts=sets)
        for model in models:
            _check_bridge(self.bridge, model)
            taken = {}
            for one in sets:
                statistics = neurons.draft(one, model=model, sorting=self.sorting)
                yield statistics, False
                taken[one.language] = statistics.cells[0].key
            yield draft(self, together, model=model, taken=taken), True


@dataclass(frozen=True, slots=True, kw_only=True)
class CategoriesGrid(NeuronGrid):
    """The categories of every model's neurons."""

    @property
    def dataset_name(self) -> str:
        """The data set of the samples."""
        return self.sampled

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """The statistics and the categories."""
        for found, _ in self.sorted_neurons(models, inputs):
            yield found


def draft(
    grid: NeuronGrid, together: Together[Samples], *, model: ModelFacts, taken: Mapping[str, str]
) -> Draft:
    """The one cell of a model's categories, from the statistics of every language."""
    found = together.parts[0]
    parts = 7 + len(found.blocks) // samples.BLOCKS
    return one_cell(
        "categories",
        together,
        model=model,
        table="categories",
        made=[VERSION, list(taken.values()), text(grid.sorting), grid.chosen_bridge],
        rows=parts * model.layers,
        taken=taken,
        named={"dataset": grid.sampled},
    )


def bridge_layers(shares: Sequence[Mapping[str, float]]) -> tuple[int, ...]:
    """The layers whose neurons are rescaled, 1..L, by a rule in place of the paper's eye (2.3).

    The last two layers are left out. In the last quarter before them, a layer scores its share of
    partial-shared neurons less those of dead and of specific ones; taken is the run of
    neighbouring layers above the median that is furthest above it in sum. Where the window is of
    one layer, or no layer differs, it is all of it.

    Args:
        shares: of every layer, from the first, the share of each category.
    """
    count = len(shares)
    last = max(count - 3, 0)
    first = min(ceil(0.75 * count), max(last - 1, 0))
    window = range(first, last + 1)
    scores = [
        shares[place]["partial_shared"] - shares[place]["dead"] - shares[place]["specific"]
        for place in window
    ]
    middle = median(scores)
    # Equal numbers of neurons are equally far above it once rounding is out of the way.
    above = {place: round(score - middle, 12) for place, score in zip(window, scores, strict=True)}
    runs: list[list[int]] = [[]]
    for place, excess in above.items():
        if excess > 0:
            runs[-1].append(place)
        elif runs[-1]:
            runs.append([])
    best = max(runs, key=lambda run: round(sum(above[place] for place in run), 10))
    return tuple(place + 1 for place in best or window)


def _check_bridge(layers: Sequence[int], model: ModelFacts) -> None:
    for layer in layers:
        if not 1 <= layer <= model.layers:
            raise ValueError(
                f"bridge layer {layer} does not exist in {model.label}: expected 1 (the first "
                f"block) to {model.layers} (the last)"
            )
