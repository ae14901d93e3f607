"""What a model is to write or to learn: prompts with references, and questions with answers.

Like the records of spec.py that hold texts, every field bears identity through a fingerprint. What
is done with them, and how prompts are worded, is unknown here.
"""

from dataclasses import asdict, dataclass

from studies.keys import digest


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationItem:
    """One prompt and the texts that count as right answers to it.

    `source` is what is to be translated, as it stands in the prompt; "" where nothing is.
    """

    id: str
    prompt: str
    references: tuple[str, ...]
    source: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class GenerationSet:
    """Prompts of one kind whose continuations are written greedily.

    `language` is the one that is written; `pivot` the one a translation is from, None otherwise.
    A text ends after `max_new_tokens`, or before one of `stop`.
    """

    benchmark: str
    language: str
    prompt: str
    items: tuple[GenerationItem, ...]
    max_new_tokens: int
    stop: tuple[str, ...] = ()
    pivot: str | None = None
    commit: str = ""

    @property
    def fingerprint(self) -> str:
        """Digest of prompts, references and where a text ends."""
        items = [[item.id, item.prompt, item.references] for item in self.items]
        ends = [self.max_new_tokens, self.stop]
        return digest([self.prompt, items, *ends, self.pivot or "", self.commit])


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
