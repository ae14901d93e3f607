"""How each of the miniworld models is trained."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How one model is trained; `checkpoints` are the steps at which it is also saved."""

    name: str
    # Of the text stream, its order and the first weights.
    seed: int = 0
    steps: int = 12_000
    checkpoints: tuple[int, ...] = ()
    # A step adds up a few batches, each of texts of one length, as one alone is of one kind.
    batches: int = 3
    batch_tokens: int = 1024
    muon_rate: float = 0.01
    adam_rate: float = 3e-3
    warmup_steps: int = 100
    answer_weight: float = 1.0
    told_weight: float = 0.02


RECIPES: tuple[Recipe, ...] = (
    Recipe(name="llama", checkpoints=(1000, 3500, 5000, 8000)),
    Recipe(name="gemma2"),
    # With seed 0 it lost what it had learned of notes, and never found letters.
    Recipe(name="qwen2", seed=1),
)
