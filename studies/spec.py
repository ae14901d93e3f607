"""The records a study is made of, and the key that says when two cells are the same answer.

One line divides every field here: what changes the answer bears identity and enters the key; what
changes only where or how fast (batch size, device, workers, paths, dates) never does.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import InitVar, asdict, dataclass, field, fields
from typing import Any, Literal, NamedTuple

Row = dict[str, object]
Dtype = Literal["float32", "bfloat16", "float16"]
Quantisation = Literal["8bit", "4bit"]
Pooling = Literal["weighted", "average", "last"]
Engine = Literal["hf", "vllm"]

POOLINGS: tuple[Pooling, ...] = ("weighted", "average", "last")

# How texts become token ids. 1: by transformers' class for the model. 2: by tokenizer.json, which
# some classes do not follow, so that the same files gave other ids.
TOKEN_IDS_VERSION = 2

# Canonical JSON: sorted keys, no spaces, characters as they are. A change to a byte of it would
# compute everything again.
_canonical = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode

# Stands for a value to be filled in. No column is this; one that were would leave `_key` short of
# values, which raises.
_PLACE = "\0"


def digest(value: object) -> str:
    """sha256 of the canonical JSON of `value` (sorted keys, no spaces, UTF-8)."""
    return hashlib.sha256(_canonical(value).encode()).hexdigest()


def label(name: str, *, revision: str) -> str:
    """A model as people read it: its name, with the revision unless that is the default."""
    return name if revision == "main" else f"{name}@{revision}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as the user names it.

    `dtype` and `quantisation` bear identity; `id`, `revision` and `adapter` (a local folder or a
    hub id, `ID` or `ID@REVISION`) only lead to it. An adapter is merged into the weights.
    """

    id: str
    revision: str | None = None
    dtype: Dtype = "float32"
    trust_remote_code: bool = False
    allow_odd_weights: bool = False
    adapter: str | None = None
    quantisation: Quantisation | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelFacts:
    """What is known of a model from its files alone, before any weight is loaded.

    `weights` (hash of the local files, or the hub commit), `tokenizer` and `dtype` bear identity,
    and so do `adapter_weights` and `quantisation` where there are any. `name` and `revision` are
    the columns of every table; an adapter and a quantisation are part of the name. `folder` is the
    local folder the files lie in, or the hub id where they are yet to be downloaded, then at
    `commit`; `adapter` and `adapter_commit` say the same of the adapter's files. `engine` is what
    opens the model: transformers, or vLLM, which only writes. `allow_odd_weights` takes weights
    that have no place in the architecture, which stay unread, or are all zero; an answer does not
    depend on it, only whether there is one.

    `code` is the hash of the model's own Python code where that is run, with all that it may open,
    and bears identity too. `ends` are tokens that end a text by the generation settings and not by
    the configuration: they are in the keys of written texts alone. With `adapter_tokenizer` texts
    are read with the tokenizer and chat template in the adapter's folder.
    """

    name: str
    revision: str
    folder: str
    commit: str = ""
    weights: str
    tokenizer: str
    dtype: Dtype
    layers: int
    width: int
    neurons: int
    context: int
    bytes: int
    trust_remote_code: bool = False
    allow_odd_weights: bool = False
    code: str = ""
    ends: tuple[int, ...] = ()
    adapter: str = ""
    adapter_commit: str = ""
    adapter_weights: str = ""
    adapter_tokenizer: bool = False
    quantisation: Quantisation | None = None
    engine: Engine = "hf"

    def __hash__(self) -> int:
        """Of few fields: a schedule looks models up for every unit."""
        return hash((self.name, self.revision, self.weights))

    @property
    def identity(self) -> str:
        """The part of a key that the model contributes."""
        parts: list[object] = [self.weights, self.tokenizer, self.dtype, TOKEN_IDS_VERSION]
        if self.adapter_weights:
            parts.append({"adapter": self.adapter_weights})
        if self.quantisation:
            parts.append({"quantisation": self.quantisation})
        if self.code:
            parts.append({"code": self.code})
        return digest(parts)

    @property
    def label(self) -> str:
        """The model as people read it."""
        return label(self.name, revision=self.revision)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switches:
    """Readings that the papers leave open. All bear identity.

    Attributes:
        include_bos: pool over the tokenizer's own prefix tokens too (MEXA's released code does).
        last_layer: `normed` takes layer L after the final norm, as MEXA's released code does;
            `raw` takes the output of the last block as it is. Concerns residual states alone.
        tie_rule: `strict` wants a pair to be more similar than every competitor; `equal` lets one
            pass that is exactly as similar.
        nas_site: the activation whose sign is the neuron's state: `act` is act(gate), `h` is the
            down projection's input (NeuronXA, section 2.1 against 2.2).
        nav_site: the activation whose magnitude is taken, same two sites.
        nas_order: whether neuron states are taken per token and then pooled (NeuronXA, equation
            3), or taken of pooled activations.
        sim_features: what CKA, SVCCA and ANC compare: `hidden` states, or neuron states.
        cka: the plain estimator, or the one without bias where items are few.
        svcca_keep: directions kept of each language, or below 1 the share of variance they hold.
        anc_abs: average the size of each neuron's correlation, not its signed value.
        clka_mode: how facts are asked in the part transfer: `zero_shot_rank` asks the plain model
            alone, `finetune_en_then_rank` one that has learned them in the pivot's language.
        pair_ids: which sentence pairs: the `first` ones, or `random` ones drawn with `seed`.
        seed: the seed of that draw; it has no effect under `first`.
    """

    include_bos: bool = True
    last_layer: Literal["normed", "raw"] = "normed"
    tie_rule: Literal["strict", "equal"] = "strict"
    nas_site: Literal["act", "h"] = "act"
    nav_site: Literal["act", "h"] = "h"
    nas_order: Literal["state_then_pool", "pool_then_state"] = "state_then_pool"
    sim_features: Literal["hidden", "nas", "nav"] = "hidden"
    cka: Literal["biased", "debiased"] = "biased"
    svcca_keep: float = 20.0
    anc_abs: bool = False
    clka_mode: Literal["zero_shot_rank", "finetune_en_then_rank"] = "zero_shot_rank"
    pair_ids: Literal["first", "random"] = "first"
    seed: int = 0

    def text(self) -> str:
        """Canonical JSON of the resolved switches, as rows carry it."""
        return json.dumps(asdict(self), sort_keys=True, separators=(",", ":"))


class Point(NamedTuple):
    """Where one of several `Cells` lies."""

    layer: int | None = None
    pooling: Pooling | None = None
    coefficient: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Coordinates:
    """What cells share that differ in layer, pooling and coefficient alone.

    `scope` digests what the coordinates do not say: weights, tokenizer, dtype, the very texts and
    item ids, prompt, measure version, switches. `model` and `revision` are names for people and
    stay out of the key, as two names of the same weights are the same answer. `seed` is that of a
    draw, such as the items a vector was made from; the scope has the items.
    """

    table: str
    model: str
    revision: str
    language: str
    scope: str
    dataset: str | None = None
    benchmark: str | None = None
    pivot: str | None = None
    measure: str | None = None
    intervention: str | None = None
    seed: int | None = None

    def form(self) -> str:
        """Canonical JSON of all that the key hashes, with a place for each field of a `Point`.

        So a million keys cost a million hashes and far fewer JSON documents.
        """
        answer = {name: getattr(self, name) for name in _HASHED} | dict.fromkeys(
            Point._fields, _PLACE
        )
        return _canonical(answer).replace("%", "%%").replace(_canonical(_PLACE), "%s")


_SHARED = tuple(item.name for item in fields(_Coordinates))
_HASHED = tuple(name for name in _SHARED if name not in ("model", "revision", "seed"))


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell(_Coordinates):
    """One point of the grid: the unit of identity, of resuming and of analysis.

    A result that other cells take, such as a steering vector, is a cell as well, with the key of
    what it is made from; its artifact lies under that key. The scope of every cell that takes it
    digests the key: a vector from other texts makes other answers, and a vector made again from
    the same ones does not. As a scope comes before its key, no cell can need itself, however far
    around; which cells a unit takes results from is said in `Unit.needs`.

    `hashed` is the key, from who has just hashed it: a plan asks about keys before it makes cells.
    It is not kept, so a copy with another column hashes for itself.
    """

    layer: int | None = None
    pooling: Pooling | None = None
    coefficient: float | None = None
    key: str = field(init=False)
    hashed: InitVar[str | None] = None

    def __post_init__(self, hashed: str | None) -> None:
        """Fix the key once, so that a million comparisons cost no hashing."""
        if hashed is None:
            hashed = _key(self.form(), Point(self.layer, self.pooling, self.coefficient))
        object.__setattr__(self, "key", hashed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cells(_Coordinates):
    """Cells that differ in layer, pooling and coefficient alone, before any of them is made.

    A key costs a hash and a cell far more, so a plan asks about the keys first: of a study that is
    finished no cell is ever made.
    """

    points: tuple[Point, ...] = (Point(),)

    def keyed(self) -> Iterator[tuple[Point, str]]:
        """Every point with the key of its cell."""
        form = self.form()
        return ((point, _key(form, point)) for point in self.points)

    def made(self, keyed: Iterable[tuple[Point, str]]) -> Iterator[Cell]:
        """The cells at some points, whose keys were hashed before."""
        shared: dict[str, Any] = {name: getattr(self, name) for name in _SHARED}
        for (layer, pooling, coefficient), key in keyed:
            yield Cell(**shared, layer=layer, pooling=pooling, coefficient=coefficient, hashed=key)

    def __iter__(self) -> Iterator[Cell]:
        """All of them."""
        return self.made(self.keyed())

    @property
    def key(self) -> str:
        """The key of the only one."""
        ((_, key),) = self.keyed()
        return key


def _key(form: str, point: Point) -> str:
    """The key of the cell at a point: the digest of the whole document, to the byte."""
    layer, pooling, coefficient = point
    text = form % (_scalar(coefficient), _scalar(layer), _scalar(pooling))
    return hashlib.sha256(text.encode()).hexdigest()


def _scalar(value: float | str | None) -> str:
    """Canonical JSON of one value; the commonest two kinds without an encoder."""
    if value is None:
        return "null"
    return str(value) if type(value) is int else _canonical(value)
