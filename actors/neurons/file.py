"""Files of neurons: their statistics in one language, and the categories that follow from several.

Both say which model, texts, sites and switches they are of (described.py), so that neurons of
another model are never rescaled in this one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from actors.extraction.described import Form
from actors.model import LoadedModel

# Shapes: K languages, F neurons, B blocks of samples, N neurons of one language, V values

STATISTICS = ("mean", "mean_abs", "active")
# What Int-mu can overwrite a neuron with, in the order of a file's values.
VALUES = ("mean", "p90", "p10")


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutStatistics:
    """What statistics are of: a language's samples, in blocks, and how much each block counts."""

    model: str
    identity: str
    dataset: str
    language: str
    ids: tuple[str, ...]
    size: int
    counts: tuple[int, ...]
    stat_weight: str
    include_bos: bool
    intmu_site: str
    layers: tuple[int, ...]
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutCategories:
    """What categories are of: samples in several languages, and how neurons were sorted.

    `bridge` are the layers whose neurons are rescaled, at `site`; `mixed` is how many times
    languages were permuted; `sorting` are all switches, as JSON.
    """

    model: str
    identity: str
    dataset: str
    languages: tuple[str, ...]
    ids: tuple[str, ...]
    size: int
    site: str
    threshold: float
    sorting: str
    layers: tuple[int, ...]
    bridge: tuple[int, ...]
    mixed: int
    width: int


@dataclass(frozen=True, slots=True, kw_only=True)
class AboutTuning:
    """What values of strengths are of: the items that a strength may be chosen on."""

    identity: str
    benchmark: str
    language: str
    ids: tuple[str, ...]
    metric: str
    strengths: tuple[tuple[float, float], ...]
    values: tuple[float, ...]


STATISTICS_FORM = Form(
    format="babelscope neuron statistics", version="1", record=AboutStatistics,
    noun="neuron statistics",
)  # fmt: skip
CATEGORIES_FORM = Form(
    format="babelscope neuron categories", version="1", record=AboutCategories,
    noun="neuron categories",
)  # fmt: skip
TUNING_FORM = Form(
    format="babelscope tuning", version="1", record=AboutTuning, noun="tuning values"
)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class LanguageNeurons:
    """The statistics of one language's neurons, in fp32.

    `blocks` are by site, layer and statistic [B, F]; `intmu` by layer what Int-mu may need: `mean`,
    `p90`, `p10` [F] at its site, and `fires`, the share of tokens above zero, over the samples
    that count.
    """

    about: AboutStatistics
    blocks: Mapping[tuple[str, int, str], Tensor]
    intmu: Mapping[tuple[int, str], Tensor]

    def over(self, site: str, layer: int, statistic: str, *, blocks: Sequence[int]) -> Tensor:
        """A statistic [F] in fp64 over the samples of some blocks."""
        own_BF = self.blocks[site, layer, statistic][list(blocks)].double()
        weight_B = torch.tensor([self.about.counts[block] for block in blocks]).double()
        mean_F: Tensor = weight_B @ own_BF / weight_B.sum()
        return mean_F

    def content(self) -> bytes:
        """All of it as the content of a safetensors file."""
        tensors = {
            f"{site}.{layer}.{name}": one for (site, layer, name), one in self.blocks.items()
        }
        tensors |= {f"intmu.{layer}.{name}": one for (layer, name), one in self.intmu.items()}
        return STATISTICS_FORM.pack(self.about, tensors)


def read_statistics(content: bytes) -> LanguageNeurons:
    """What `LanguageNeurons.content` made.

    Raises:
        ValueError: it is no such content.
    """
    about, tensors = STATISTICS_FORM.unpack(content)
    split = {tuple(name.split(".")): one for name, one in tensors.items()}
    return LanguageNeurons(
        about=about,
        blocks={(a, int(b), c): one for (a, b, c), one in split.items() if a != "intmu"},
        intmu={(int(b), c): one for (a, b, c), one in split.items() if a == "intmu"},
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Categories:
    """Which neurons are active in which language, [K, F] bool by layer.

    `mixed` are the same for permuted languages, by draw and bridge layer. `intmu` are Int-mu's
    neurons of a layer and language [N], and what they may be overwritten with [V, N].
    """

    about: AboutCategories
    active: Mapping[int, Tensor]
    mixed: Mapping[tuple[int, int], Tensor]
    intmu: Mapping[tuple[int, str], tuple[Tensor, Tensor]]

    def check(self, loaded: LoadedModel) -> None:
        """Refuse a model that these neurons are not of.

        Raises:
            ValueError: they are of other weights, another tokenizer or dtype.
        """
        if self.about.identity != loaded.facts.identity:
            raise ValueError(
                f"neurons were sorted in {self.about.model!r}, with other weights, tokenizer or "
                f"dtype than {loaded.facts.label!r} ({loaded.facts.dtype}): sort its own first"
            )

    def content(self) -> bytes:
        """All of it as the content of a safetensors file."""
        tensors = {f"active.{layer}": one.byte() for layer, one in self.active.items()}
        tensors |= {f"mixed.{a}.{b}": one.byte() for (a, b), one in self.mixed.items()}
        for (layer, language), (neurons_N, values_VN) in self.intmu.items():
            tensors[f"intmu.{layer}.{language}.neurons"] = neurons_N.int()
            tensors[f"intmu.{layer}.{language}.values"] = values_VN.float()
        return CATEGORIES_FORM.pack(self.about, tensors)


def read_categories(content: bytes) -> Categories:
    """What `Categories.content` made.

    Raises:
        ValueError: it is no such content, or its tensors are not what it says.
    """
    about, tensors = CATEGORIES_FORM.unpack(content)
    expected = [len(about.languages), about.width]
    active = {}
    for layer in about.layers:
        found = tensors.get(f"active.{layer}")
        if found is None or list(found.shape) != expected:
            raise ValueError(
                f"activity of layer {layer} is {None if found is None else list(found.shape)}: "
                f"expected {expected}, as the metadata says; sort the neurons again"
            )
        active[layer] = found.bool()
    return Categories(
        about=about,
        active=active,
        mixed={
            (draw, layer): tensors[f"mixed.{draw}.{layer}"].bool()
            for draw in range(about.mixed)
            for layer in about.bridge
        },
        intmu={
            (layer, language): (
                tensors[f"intmu.{layer}.{language}.neurons"].long(),
                tensors[f"intmu.{layer}.{language}.values"],
            )
            for layer in about.layers
            for language in about.languages
            if f"intmu.{layer}.{language}.neurons" in tensors
        },
    )
