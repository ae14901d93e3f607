"""Where each data set lies: embedded, on the hub, or only in files the user has.

One entry per data set, plain facts seen in November 2026. A repository that still holds a loading
script cannot be loaded by `datasets` 4 or later; its parquet copy, which the hub keeps on
`refs/convert/parquet`, is read instead. How rows are fetched is in hub.py and rows.py.
"""

from dataclasses import dataclass
from typing import Literal

from studies.values import unknown

Kind = Literal["config", "parquet", "wide", "embedded", "local"]
PARQUET = "refs/convert/parquet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a data set lies. The commit that `revision` resolves to bears identity, this does not.

    Attributes:
        kind: `config` is a repository with a configuration per language; `parquet` one of files
            `<config>/<split>/*.parquet`; `wide` one table with a column per language; `embedded`
            ships with the project; `local` is in no repository of the hub.
        id: the data set's id on the hub, or a folder.
        revision: commit or branch; None is the default branch.
        config: the configuration of a language, from the data set's own code for it.
        absent: own codes that the table of languages has and this repository lacks.
        origin: where a `local` data set is published.
    """

    kind: Kind = "config"
    id: str = ""
    revision: str | None = None
    config: str = "{code}"
    split: str = "test"
    absent: tuple[str, ...] = ()
    origin: str = ""


EMBEDDED = Address(kind="embedded")

# What is learned from has the name of what is asked, and this behind it.
TRAIN = "_train"

ADDRESSES: dict[str, Address] = {
    "miniworld": EMBEDDED,
    "mini_belebele": EMBEDDED,
    "mini_mmlu": EMBEDDED,
    "mini_xnli": EMBEDDED,
    "mini_xnli_train": EMBEDDED,
    "mini_xstorycloze": EMBEDDED,
    "mini_xquad": EMBEDDED,
    "flores200": Address(
        kind="wide",
        id="mteb/FloresBitextMining",
        revision="2144d16cc15edd22d4a9237d12bff5f31f5c07fc",
        split="devtest",
    ),
    "sib200": Address(kind="parquet", id="Davlan/sib200", revision=PARQUET),
    "tatoeba": Address(
        id="mteb/tatoeba-bitext-mining",
        revision="69e8f12da6e31d59addadda9a9c8a2e601a0e282",
        config="{code}-eng",
    ),
    "belebele": Address(id="facebook/belebele"),
    "belebele_seahelm": Address(
        kind="local", origin="github.com/aisingapore/SEA-HELM, seahelm_tasks/nlu"
    ),
    "global_mmlu_lite": Address(
        id="CohereLabs/Global-MMLU-Lite",
        absent=("ms", "my", "tl", "vi"),  # SEA-HELM translated these four
    ),
    "m_arc": Address(id="alexandrainst/m_arc"),
    "m_hellaswag": Address(
        id="alexandrainst/m_hellaswag",
        split="val",
        absent=("zh",),  # a row of another shape, which `datasets` cannot read; files can be
    ),
    "m_mmlu": Address(id="alexandrainst/m_mmlu"),
    # English has the same columns in openai/simple-evals (mmlu.csv): on disk, mmmlu/en.jsonl.
    "mmmlu": Address(id="openai/MMMLU", absent=("en",)),
    "xcopa": Address(id="cambridgeltl/xcopa", absent=("en",)),
    "xstorycloze": Address(
        kind="parquet", id="juletxara/xstory_cloze", revision=PARQUET, split="eval"
    ),
    "xnli": Address(id="facebook/xnli", absent=("my",)),
    "xnli_train": Address(id="facebook/xnli", split="train", absent=("my",)),
    "xquad": Address(
        id="google/xquad",
        revision="51adfef1c1287aab1d2d91b5bead9bcfb9c68583",
        config="xquad.{code}",
        split="validation",
    ),
    "mgsm": Address(id="juletxara/mgsm"),
    "bmlama17": Address(
        kind="local", origin="github.com/Betswish/Cross-Lingual-Consistency, 1_easyrun/BMLAMA17"
    ),
    "bmlama53": Address(
        kind="local", origin="github.com/Betswish/Cross-Lingual-Consistency, 1_easyrun/BMLAMA53"
    ),
}


def address(dataset: str) -> Address:
    """The address of a data set.

    Raises:
        ValueError: no data set has that name.
    """
    if dataset not in ADDRESSES:
        raise unknown("data set", dataset, known=sorted(ADDRESSES))
    return ADDRESSES[dataset]
