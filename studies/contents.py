"""What a model is to write, to learn or to be read with: prompts, and what belongs to them.

Like the records of spec.py that hold texts, every field bears identity through a fingerprint. What
is done with them, and how prompts are worded, is unknown here.
"""

from dataclasses import asdict, dataclass
from math import inf
from typing import Literal

from studies.asking import Chat
from studies.keys import digest

Task = Literal["text", "translation", "span", "number"]


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


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSet:
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
    def fingerprint(self) -> str:
        """Digest of prompts, references, how tokens are drawn and where a text ends."""
        items = [
            [item.id, item.prompt, item.references, *([item.context] if item.context else [])]
            for item in self.items
        ]
        ends = [self.max_new_tokens, self.stop]
        rest: list[object] = [] if self.task == "translation" else [{"task": self.task}]
        rest += [] if self.sampling == GREEDY else [{"sampling": asdict(self.sampling)}]
        rest += [] if self.chat is None else [{"chat": self.chat.identity}]
        return digest([self.prompt, items, *ends, self.pivot or "", self.commit, *rest])


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


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingSet:
    """Questions of one benchmark in one language, their right answers, and how to learn them."""

    benchmark: str
    language: str
    prompt: str
    examples: tuple[Example, ...]
    how: FineTuning
    commit: str = ""

    @property
    def fingerprint(self) -> str:
        """Digest of the examples in their order and of every setting."""
        examples = [[example.context, example.answer] for example in self.examples]
        return digest([self.prompt, examples, asdict(self.how), self.commit])


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentItem:
    """A question in one language, and the texts of its options in that language and the pivot.

    Texts are continuations of the context: their leading space belongs to them.
    """

    id: str
    context: str
    native: tuple[str, ...]
    pivot: tuple[str, ...]
    gold: int


@dataclass(frozen=True, slots=True, kw_only=True)
class LatentSet:
    """Questions of one benchmark in one language, whose option texts are read at every layer.

    `order` is a control: question i is also read with the option texts of question `order[i]`,
    which is never i. `chat` says how prompts are put in the model's chat template, None without it.
    """

    benchmark: str
    language: str
    pivot: str
    prompt: str
    items: tuple[LatentItem, ...]
    order: tuple[int, ...]
    chat: Chat | None = None
    commit: str = ""

    @property
    def fingerprint(self) -> str:
        """Digest of contexts and option texts; the control's order is its own cells'."""
        items = [[one.id, one.context, one.native, one.pivot, one.gold] for one in self.items]
        chat = self.chat and self.chat.identity
        return digest([self.prompt, items, chat, self.commit])


@dataclass(frozen=True, slots=True, kw_only=True)
class VectorSet:
    """Pairs of prompts whose states differ by what a steering vector is: toward minus away.

    `language` is the one steered away from and `pivot` the one steered to; `seed` is that of the
    draw of the pairs. Where both are one language, the sides are halves of its prompts: a control.
    """

    benchmark: str
    language: str
    pivot: str
    prompt: str
    seed: int
    ids: tuple[str, ...]
    toward: tuple[str, ...]
    away: tuple[str, ...]
    chat: Chat | None = None
    commit: str = ""

    @property
    def fingerprint(self) -> str:
        """Digest of the prompts and their ids."""
        chat = self.chat and self.chat.identity
        return digest([self.prompt, self.ids, self.toward, self.away, chat, self.commit])
