"""Cells of patched answers: a question answered with the state of another prompt at one layer.

All layers and kinds of patch of a language are one part, so that its prompts run once. How the
paper patches is reconstructed from its abstract (docs/studies/dali.md).
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from studies import patch_items
from studies.inputs import Inputs
from studies.layers import Layers, layers_asked
from studies.patch_items import DRAWN, PATCHES, Patch, PatchSet
from studies.prompt_options import Asking
from studies.spec import ModelFacts
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
    double,
    doubles,
    int32,
    int32s,
    string,
)

VERSION = 1

PATCHES_TABLE = Table(
    name="patches",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        string("pivot", "the language whose states are put in"),
        ITEM,
        string(
            "intervention",
            "whose state is put in: `matched`, the same question in the pivot; `permuted`, that "
            "with its options in another order; `same_symbol`, `other_symbol`, another question of "
            "the pivot whose right option has the same or another symbol; `own_language`, another "
            "question of the language; `noise`, a random direction of the matched state's length",
        ),
        GOLD,
        string("source_item", "id of the question whose state is put in; null for `noise`"),
        int32("source_gold", "index of the right option there; null for `noise`"),
        int32("clean", "index of the option that the plain model chooses, from 0"),
        double(
            "clean_margin",
            "log-probability of the right option minus that of the likeliest wrong one, plain",
        ),
        int32("pivot_clean", "index of the option that the plain model chooses in the pivot"),
        double("pivot_clean_margin", "the margin of the same question in the pivot, plain"),
        int32s("layers", "the layers that the lists below are of, 1..L"),
        int32s("predictions", "by layer, the option chosen with the state put in"),
        doubles("margins", "by layer, `clean_margin` with the state put in"),
        KEY,
        PROMPT,
        int32("seed", "the seed that drew the source; null where nothing is drawn"),
        boolean(
            "truncated",
            "whether a context was cut from the left: the question's, the pivot's or the source's",
        ),
        string("switches", "where states are put in, as canonical JSON"),
    ),
    identity=("key", "item"),
)

TABLES = (PATCHES_TABLE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Patching:
    """Where states are put in: at the last token before an answer.

    A space in front of the answer that a tokenizer makes a token of its own is that token.

    Attributes:
        patch_site: the residual stream behind a block, or in front of it, or what its MLP or its
            attention adds.
    """

    patch_site: Literal["resid_post", "resid_pre", "mlp_out", "attn_out"] = "resid_post"

    def text(self) -> str:
        """Canonical JSON, as rows carry it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptGrid(Grid):
    """A benchmark's items in every language beside the pivot's, asked in a prompt.

    `layers` None are all of a model's.
    """

    benchmark: str
    pivot: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    layers: Layers | None = None

    def layers_of(self, model: ModelFacts) -> tuple[int, ...]:
        """The layers meant, 1..L.

        Raises:
            ValueError: the model has no such layer.
        """
        if self.layers is None:
            return tuple(range(1, model.layers + 1))
        return layers_asked(self.layers, model=model)

    def sets(self, inputs: Inputs, *, seed: int = 0) -> Iterator[PatchSet]:
        """The items of each language but the pivot.

        Raises:
            ValueError: the benchmark or the pivot does not exist, or items are not parallel.
        """
        role = "the language whose states are put in"
        for language in inputs.languages_of(
            self.benchmark, self.languages, pivot=self.pivot, role=role
        ):
            if language == self.pivot:
                continue
            found, dropped = patch_items.load(
                self.benchmark,
                language=language,
                pivot=self.pivot,
                source=inputs.source,
                limit=self.limit,
                prompt=self.prompt,
                asking=self.asking,
                seed=seed,
            )
            if dropped:
                inputs.note(
                    f"{self.benchmark}: {dropped} items are not there in both {language} and "
                    f"{self.pivot}, and are left out"
                )
            inputs.read(found, name=f"patched {self.benchmark}/{language}-{self.pivot} {seed}")
            yield found


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchGrid(PromptGrid):
    """Answers with states of other prompts at the last token."""

    patches: tuple[Patch, ...] = PATCHES
    seed: int = 0
    patching: Patching = field(default_factory=Patching)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language but the pivot.

        Raises:
            ValueError: as of `sets`, no item has a source of any kind asked for, or a model has no
                such layer.
        """
        for found in self.sets(inputs, seed=self.seed):
            missing = [name for name in self.patches if name not in _made(found)]
            if missing:
                sentence = (
                    f"{self.benchmark} in {found.language}, asked with the prompt {found.prompt}, "
                    f"has no source for {', '.join(missing)}: these need options with symbols that "
                    "the prompt lists, and another item"
                )
                if len(missing) == len(self.patches):
                    raise ValueError(f"{sentence}; name another --patch or --prompt")
                inputs.note(sentence)
            for model in models:
                yield draft(self, found, model=model)


def draft(grid: PatchGrid, asked: PatchSet, *, model: ModelFacts) -> Draft:
    """The cells of a language: one for each kind of patch, in all layers.

    Raises:
        ValueError: the model has no such layer.
    """
    made = [VERSION, grid.layers_of(model), grid.patching.patch_site]
    # What no seed has drawn is the same answer under every seed.
    cells = tuple(
        cells_of(
            asked.of(name), model=model, table="patches", intervention=name,
            made=[*made, *([grid.seed] if name == "noise" else [])],
            seed=grid.seed if name in DRAWN else None,
        )
        for name in grid.patches
        if name in _made(asked)
    )  # fmt: skip
    return Draft(
        kind="patching",
        model=model,
        content=asked,
        cells=cells,
        characters=3 * asked.characters,
        rows=len(asked.asked.items),
    )


def _made(asked: PatchSet) -> set[str]:
    """The kinds of patch that there are sources for."""
    return {*(name for name, _ in asked.sources), "noise"}
