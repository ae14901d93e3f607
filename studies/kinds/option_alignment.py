"""Cells of option alignment: is each option nearest to its own translation, layer by layer (DALI)?

Rows hold margins; an item is aligned in a layer where its margin is above zero.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Literal

from studies import option_texts
from studies.inputs import Inputs
from studies.option_texts import OptionTexts
from studies.spec import ModelFacts
from studies.study import Draft, Grid, one_cell
from studies.tables import (
    BENCHMARK,
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

VERSION = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedding:
    """What of a text is compared, where the DALI paper and its released inputs differ.

    Attributes:
        dali_pool: the state at the `last` token of the text, or all of them `weighted` by place.
        xcopa_connectors: join XCOPA's premise and option by the `correct` connector, by that of the
            question that each language's `own` rows name (wrong in some; all 500 are effects in
            Thai), or as the `released` inputs do ("because" for every English item, one connector
            in Chinese and in Thai).
    """

    dali_pool: Literal["last", "weighted"] = "last"
    xcopa_connectors: Literal["correct", "own", "released"] = "correct"

    def text(self) -> str:
        """Canonical JSON, as rows carry it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


OPTION_ALIGNMENT = Table(
    name="option_alignment",
    row="(cell, item)",
    columns=(
        STUDY,
        MODEL,
        BENCHMARK,
        LANGUAGE,
        string("pivot", "the language compared with, such as `eng_Latn`"),
        ITEM,
        int32("gold", "index of the right option, from 0"),
        int32("options", "number of options"),
        int32s("layers", "the layers that the lists below are of, 0 for the embeddings"),
        doubles(
            "dali, local, gold_only, strong",
            "margins by layer, cosines, -2 to 2. `dali`: least similar matched pair of options "
            "minus most similar mismatched one; `local`: the same within rows and columns, the "
            "least over pairs; `gold_only`: the right option's pair minus every other; `strong`: "
            "as `dali`, also against two options within one language. Aligned where above 0; NaN "
            "with a zero vector",
        ),
        doubles(
            "dali_2, strong_2, dali_3, strong_3",
            "`dali` and `strong` of the right option and the one or two likeliest wrong ones "
            "(by the model's own answers in `language`); empty where there are no more options",
        ),
        doubles(
            "mexa",
            "the question without options: cosine with its translation minus the largest with any "
            "other item's, in either direction",
        ),
        doubles(
            "permuted, mismatched",
            "null controls: `dali` with the options of `language` in another order, and with those "
            "of another item",
        ),
        int32(
            "tokens, pivot_tokens",
            "tokens of the item with its right option, in `language` and in `pivot`, without the "
            "prefix and before any cut",
        ),
        double(
            "gold_longer",
            "tokens by which the right option is longer than the mean wrong one, in `language`",
        ),
        boolean(
            "truncated",
            "whether a text of either side was cut to the model's context, or the question whose "
            "answers say which wrong options are likeliest",
        ),
        KEY,
        PROMPT,
        string("switches", "what of a text is compared, as canonical JSON"),
    ),
    identity=("key", "item"),
)

TABLES = (OPTION_ALIGNMENT,)


@dataclass(frozen=True, slots=True, kw_only=True)
class OptionGrid(Grid):
    """The options of a benchmark's items in every language beside those of the pivot."""

    benchmark: str
    pivot: str = "eng_Latn"
    limit: int | None = None
    embedding: Embedding = field(default_factory=Embedding)

    def drafts(self, models: Sequence[ModelFacts], inputs: Inputs) -> Iterator[Draft]:
        """A part for each language but the pivot.

        Raises:
            ValueError: as of `texts`.
        """
        for found in self.texts(inputs):
            for model in models:
                yield draft(found, model=model, embedding=self.embedding)

    def texts(self, inputs: Inputs) -> Iterator[OptionTexts]:
        """The items of each language but the pivot.

        Raises:
            ValueError: the benchmark or the pivot does not exist, or items are not parallel.
        """
        role = "the language that options are compared with"
        meant = inputs.languages_of(self.benchmark, self.languages, pivot=self.pivot, role=role)
        connectors = self.embedding.xcopa_connectors
        changed = self.benchmark == "xcopa" and connectors != "correct"
        for language in meant:
            if language == self.pivot:
                continue
            found, dropped = option_texts.load(
                self.benchmark,
                language=language,
                pivot=self.pivot,
                source=inputs.source,
                limit=self.limit,
                prompt=connectors if changed else None,
            )
            if dropped:
                inputs.note(
                    f"{self.benchmark}: {dropped} items are not there in both {language} and "
                    f"{self.pivot}, and are left out"
                )
            inputs.read(found, name=f"options {self.benchmark}/{language}-{self.pivot}")
            yield found


def draft(asked: OptionTexts, *, model: ModelFacts, embedding: Embedding) -> Draft:
    """The one cell of a language's items, in all layers."""
    return one_cell(
        "option_alignment", asked, model=model, table="option_alignment",
        made=[VERSION, embedding.dali_pool], rows=len(asked.items),
    )  # fmt: skip
