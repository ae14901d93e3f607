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
class PatchGrid(Grid):
    """A benchmark's items in every language, with states of other prompts at the last token."""

    benchmark: str
    pivot: str = "eng_Latn"
    limit: int | None = None
    prompt: str | None = None
    asking: Asking = field(default_factory=Asking)
    layers: Layers | None = None
    patches: tuple[Patch, ...] = PATCHES
    seed: int = 0
    patching: Patching = field(default_factory=Patching)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language but the pivot.

        Raises:
            ValueError: the benchmark or the pivot does not exist, items are not parallel, no
                item has a source of any kind asked for, or a model has no such layer.
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
                seed=self.seed,
            )
            if dropped:
                inputs.note(
                    f"{self.benchmark}: {dropped} items are not there in both {language} and "
                    f"{self.pivot}, and are left out"
                )
            inputs.read(found, name=f"patched {self.benchmark}/{language}-{self.pivot} {self.seed}")
            missing = [name for name in self.patches if name not in _made(found)]
            if missing:
                sentence = (
                    f"{self.benchmark} in {language}, asked with the prompt {found.prompt}, has no "
                    f"source for {', '.join(missing)}: these need options with symbols that the "
                    "prompt lists, and another item"
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
    every = tuple(range(1, model.layers + 1))
    layers = every if grid.layers is None else layers_asked(grid.layers, model=model)
    made = [VERSION, layers, grid.patching.patch_site]
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
