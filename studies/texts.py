"""The texts that cells are computed from: parallel sentences, questions, prompts, examples."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from math import inf
from typing import Any, Literal

from studies.content import Content
from studies.prompt_options import Chat

Task = Literal["text", "translation", "span", "number"]
Normalise = Literal["sum", "token", "character"]

# Of usual text in any language; what an estimate needs before anything is tokenised.
CHARACTERS_PER_TOKEN = 3
# Writing a token takes a pass of its own, if a cheap one.
WRITING_COST = 4


@dataclass(frozen=True, kw_only=True)
class Bitext(Content):
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

    prompt = ""

    @property
    def identity(self) -> list[object]:
        """Texts and ids."""
        chat = () if self.chat is None else ({"chat": self.chat.identity},)
        return [self.ids, self.pivot_texts, self.texts, self.commit, *chat]

    @cached_property
    def characters(self) -> int:
        """Those of the language alone: the pivot's texts are read once for all languages."""
        return sum(map(len, self.texts))

    def inputs(self) -> Iterator[str]:
        """The sentences of both languages."""
        yield from self.texts
        yield from self.pivot_texts

    def shown(self) -> list[dict[str, Any]]:
        """Every pair."""
        pairs = zip(self.ids, self.texts, self.pivot_texts, strict=True)
        return [{"id": one, "text": text, "beside": pivot} for one, text, pivot in pairs]


@dataclass(frozen=True, slots=True, kw_only=True)
class ChoiceItem:
    """One question as the model sees it: a context and the continuations it is to rank."""

    id: str
    context: str
    options: tuple[str, ...]
    gold: int


@dataclass(frozen=True, kw_only=True)
class ChoiceSet(Content):
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

    pivot = None

    @property
    def identity(self) -> list[object]:
        """Prompts, options, gold answers and the way they are scored."""
        items = [[item.id, item.context, item.options, item.gold] for item in self.items]
        rest: list[object] = [] if self.variants == 1 else [{"variants": self.variants}]
        rest += [] if self.chat is None else [{"chat": self.chat.identity}]
        return [self.prompt, items, self.normalise, self.commit, *rest]

    @cached_property
    def characters(self) -> int:
        """Those of all contexts and options."""
        return sum(len(item.context) + sum(map(len, item.options)) for item in self.items)

    def inputs(self) -> Iterator[str]:
        """Every context with each of its options."""
        for item in self.items:
            yield from (item.context + option for option in item.options)

    def longest(self) -> int:
        """The size of the longest text; a context is not copied for each of its options."""
        return max(
            (
                len(item.context.encode())
                + max((len(option.encode()) for option in item.options), default=0)
                for item in self.items
            ),
            default=0,
        )

    def shown(self) -> list[dict[str, Any]]:
        """Every question."""
        return [
            {"id": one.id, "text": one.context, "options": list(one.options), "gold": one.gold}
            for one in self.items
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How tokens are drawn: the most probable at temperature 0, else `n` texts for every prompt.

    `seed` fixes the noise, for one engine and version; `top_p` draws from the most probable tokens
    that together reach this probability. Neither has an effect at temperature 0.
    """

    temperature: float = 0.0
    top_p: float = 1.0
    seed: int = 0
    n: int = 1

    def __post_init__(self) -> None:
        """Refuse what no text follows from."""
        if not 0 <= self.temperature < inf:
            raise ValueError(
                f"temperature is {self.temperature}: expected 0 for the most probable token, or a "
                "number above it"
            )
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}: expected a number above 0 and at most 1")
        if self.n < 1:
            raise ValueError(f"n is {self.n}: expected at least 1 text for every prompt")
        if self.temperature == 0 and self.n > 1:
            raise ValueError(
                f"n is {self.n} at temperature 0, where every text would be the same: ask for one, "
                "or for a temperature above 0"
            )


GREEDY = Sampling()


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationItem:
    """One prompt and the texts that count as right answers to it.

    `source` is what is to be translated, as it stands in the prompt; "" where nothing is. `context`
    says which characters of the prompt, from and up to, may be left out, the last ones first, where
    it is longer than the model's context; None cuts such a prompt from the left.
    """

    id: str
    prompt: str
    references: tuple[str, ...]
    source: str = ""
    context: tuple[int, int] | None = None


@dataclass(frozen=True, kw_only=True)
class GenerationSet(Content):
    """Prompts of one kind whose continuations are written.

    `language` is the one that is written; `pivot` the one a translation is from, None otherwise.
    A text ends after `max_new_tokens`, or before one of `stop`. `task` says how it is scored;
    `chat` says how prompts are put in the model's chat template, None without it.
    """

    benchmark: str
    language: str
    prompt: str
    items: tuple[GenerationItem, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    pivot: str | None = None
    commit: str = ""
    task: Task = "translation"
    sampling: Sampling = GREEDY
    chat: Chat | None = None

    @property
    def identity(self) -> list[object]:
        """Prompts, references, how tokens are drawn and where a text ends."""
        items = [
            [item.id, item.prompt, item.references, *([item.context] if item.context else [])]
            for item in self.items
        ]
        ends = [self.max_new_tokens, self.stop]
        rest: list[object] = [] if self.task == "translation" else [{"task": self.task}]
        rest += [] if self.sampling == GREEDY else [{"sampling": asdict(self.sampling)}]
        rest += [] if self.chat is None else [{"chat": self.chat.identity}]
        return [self.prompt, items, *ends, self.pivot or "", self.commit, *rest]

    @cached_property
    def characters(self) -> int:
        """Those of all prompts, and of all that may be written, which costs more."""
        if self.task == "translation":
            written = sum(len(item.references[0]) for item in self.items)
        else:
            written = CHARACTERS_PER_TOKEN * self.max_new_tokens * len(self.items)
        return sum(map(len, self.inputs())) + WRITING_COST * self.sampling.n * written

    @property
    def written(self) -> int:
        """Tokens that are written behind each prompt at most."""
        return self.max_new_tokens

    def inputs(self) -> Iterator[str]:
        """The prompts."""
        yield from (item.prompt for item in self.items)

    def shown(self) -> list[dict[str, Any]]:
        """Every prompt."""
        return [
            {"id": one.id, "text": one.prompt, "right": list(one.references)} for one in self.items
        ]


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTuning:
    """How an adapter is trained: LoRA on all linear layers but the head (Hu et al. 2021).

    `rank` and `scale` are LoRA's r and alpha. The learning rate rises over the first tenth of the
    steps and falls along a cosine to 0; gradients are clipped to length 1. `examples` is how many
    of the training items are taken, the first ones. The NeuronXA paper states none of this.
    """

    rank: int = 8
    scale: float = 16.0
    learning_rate: float = 1e-4
    epochs: int = 1
    batch: int = 16
    examples: int = 20_000
    seed: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """A context and the continuation that is to be learned."""

    context: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class TrainingSet(Content):
    """Questions of one benchmark in one language, their right answers, and how to learn them."""

    benchmark: str
    language: str
    prompt: str
    examples: tuple[Example, ...]
    how: FineTuning
    commit: str = ""

    pivot = None
    chat = None

    @property
    def identity(self) -> list[object]:
        """The examples in their order and every setting."""
        examples = [[example.context, example.answer] for example in self.examples]
        return [self.prompt, examples, asdict(self.how), self.commit]

    def inputs(self) -> Iterator[str]:
        """Every context with its answer."""
        yield from (one.context + one.answer for one in self.examples)

    def shown(self) -> list[dict[str, Any]]:
        """Every example; they have no ids of their own."""
        return [
            {"id": str(place), "text": one.context, "right": [one.answer]}
            for place, one in enumerate(self.examples)
        ]
