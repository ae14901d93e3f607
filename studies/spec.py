"""The records a study is made of, and the key that says when two cells are the same answer.

One line divides every field here: what changes the answer bears identity and enters the key; what
changes only where or how fast (batch size, device, workers, paths, dates) never does. This file
knows no tensor, no schedule and no file format.
"""

import json
from dataclasses import InitVar, asdict, dataclass, field
from typing import Literal

from studies.asking import Chat, Lens, Steering
from studies.contents import GenerationSet, LatentSet, TrainingSet, VectorSet
from studies.keys import TOKEN_IDS_VERSION, keys_of
from studies.keys import digest as digest

Dtype = Literal["float32", "bfloat16", "float16"]
Quantisation = Literal["8bit", "4bit"]
Pooling = Literal["weighted", "average", "last"]
Normalise = Literal["sum", "token", "character"]
Table = Literal[
    "alignment", "robustness", "points", "items", "generations", "training", "lens", "vectors"
]
Method = Literal["tsne", "pca"]
Engine = Literal["hf", "vllm"]

POOLINGS: tuple[Pooling, ...] = ("weighted", "average", "last")


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One point of the grid: the unit of identity, of resuming and of analysis.

    `scope` digests what the coordinates do not say: weights, tokenizer, dtype, the very texts and
    item ids, prompt, measure version, switches. `model` and `revision` are names for people and
    stay out of the key, as two names of the same weights are the same answer.

    A result that other cells take, such as a steering vector, is a cell as well, with the key of
    what it is made from; its artifact lies under that key. The scope of every cell that takes it
    digests the key: a vector from other texts makes other answers, and a vector made again from
    the same ones does not. As a scope comes before its key, no cell can need itself, however far
    around; which cells a unit takes results from is said in `Unit.needs`.

    `seed` is that of a draw, such as the items a vector was made from; the scope has the items.

    `hashed` is the key, from who has just hashed it: `studies.cells` asks about keys before it
    makes cells. It is not kept, so a copy with another column hashes for itself.
    """

    table: Table
    model: str
    revision: str
    language: str
    scope: str
    dataset: str | None = None
    benchmark: str | None = None
    pivot: str | None = None
    measure: str | None = None
    pooling: Pooling | None = None
    layer: int | None = None
    intervention: str | None = None
    coefficient: float | None = None
    seed: int | None = None
    key: str = field(init=False)
    hashed: InitVar[str | None] = None

    def __post_init__(self, hashed: str | None) -> None:
        """Fix the key once, so that a million comparisons cost no hashing."""
        if hashed is not None:
            object.__setattr__(self, "key", hashed)
            return
        keys = keys_of(
            table=self.table,
            language=self.language,
            scope=self.scope,
            dataset=self.dataset,
            benchmark=self.benchmark,
            pivot=self.pivot,
            measure=self.measure,
            intervention=self.intervention,
        )
        key = keys.at(layer=self.layer, pooling=self.pooling, coefficient=self.coefficient)
        object.__setattr__(self, "key", key)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bitext:
    """Aligned sentences of one language and its pivot. The texts and ids bear identity.

    `pivot_texts[i]` and `texts[i]` say the same thing; `ids[i]` names the pair. `commit` is the
    data set's commit on the hub, empty for local files. `chat` says how they are put in the
    model's chat template, None for texts as they are.
    """

    dataset: str
    language: str
    pivot: str
    ids: tuple[str, ...]
    pivot_texts: tuple[str, ...]
    texts: tuple[str, ...]
    commit: str = ""
    chat: Chat | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of the content, whatever file it came from."""
        chat = () if self.chat is None else ({"chat": self.chat.identity},)
        return digest([self.ids, self.pivot_texts, self.texts, self.commit, *chat])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceItem:
    """One question as the model sees it: a context and the continuations it is to rank."""

    id: str
    context: str
    options: tuple[str, ...]
    gold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceSet:
    """All items of one benchmark in one language under one prompt. Every field bears identity.

    `normalise` says how an option's log-probability becomes its score: `sum` over its tokens, or
    that divided by the number of its tokens (`token`) or of its characters (`character`).

    Where there are `variants` of every option, an item's continuations are all options in their
    first variant, then all in their second, and an option has the probability of its variants
    together. `chat` says how they are put in the model's chat template, None without it. `seed`
    is that of a draw whose items were left out here, None where none were.
    """

    benchmark: str
    language: str
    prompt: str
    items: tuple[ChoiceItem, ...]
    normalise: Normalise = "sum"
    commit: str = ""
    variants: int = 1
    chat: Chat | None = None
    seed: int | None = None

    @property
    def fingerprint(self) -> str:
        """Digest of prompts, options, gold answers and the way they are scored."""
        items = [[item.id, item.context, item.options, item.gold] for item in self.items]
        rest: list[object] = [] if self.variants == 1 else [{"variants": self.variants}]
        rest += [] if self.chat is None else [{"chat": self.chat.identity}]
        return digest([self.prompt, items, self.normalise, self.commit, *rest])


@dataclass(frozen=True, slots=True, kw_only=True)
class AlignmentWork:
    """The input of cells over parallel text: one bitext per language, under one set of switches.

    `pairs` is how many sentence pairs were asked for, None for all there are. `method` is that of
    points, `seed` that of points and of checks; `together` puts all languages into one picture.
    """

    bitexts: tuple[Bitext, ...]
    switches: Switches
    pairs: int | None = None
    method: Method | None = None
    seed: int = 0
    together: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceWork:
    """The input of accuracy cells: one set of items per language.

    `adapter` is the key of the cell whose adapter the model answers with, "" for the plain model.
    """

    sets: tuple[ChoiceSet, ...]
    adapter: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationWork:
    """The input of cells of written text: one set of prompts per language."""

    sets: tuple[GenerationSet, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingWork:
    """The input of cells that train: examples and how to learn them."""

    sets: tuple[TrainingSet, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentWork:
    """The input of cells that read option texts at layers: one set of questions per language."""

    sets: tuple[LatentSet, ...]
    lens: Lens


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorWork:
    """The input of cells of steering vectors: one set of pairs per language and draw."""

    sets: tuple[VectorSet, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """Whose artifact an intervention takes for one language and draw: the key of its cell."""

    language: str
    seed: int
    intervention: str
    key: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SteeringWork:
    """The input of steered accuracy cells: items per language and draw, and where vectors are.

    A cell without a layer has coefficient 0, the plain model, and takes none.
    """

    sets: tuple[ChoiceSet, ...]
    taken: tuple[Taken, ...]
    steering: Steering
    pivot: str


Work = (
    AlignmentWork
    | ChoiceWork
    | GenerationWork
    | TrainingWork
    | LatentWork
    | VectorWork
    | SteeringWork
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """Cells that share a model and prompts and run in one actor call: the unit of scheduling.

    It carries its texts, so a worker needs no access to the planner's files. `characters` is the
    size the plan estimates cost from. `needs` are the keys of the cells whose results it takes: a
    plan lists the units that make them first, and a key that none of them makes is there already.
    """

    study: str
    model: ModelFacts
    cells: tuple[Cell, ...]
    work: Work
    characters: int
    allow_truncation: bool = False
    needs: tuple[str, ...] = ()

    @property
    def id(self) -> str:
        """Digest of the cells' keys: the name of the unit's shard."""
        return digest([cell.key for cell in self.cells])[:32]

    @property
    def table(self) -> Table:
        """The one table that this unit's rows belong to."""
        return self.cells[0].table


Row = dict[str, object]
