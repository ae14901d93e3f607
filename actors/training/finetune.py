"""Fine-tune a small adapter (LoRA) beside a loaded model's weights, and run the model with it.

The weights stay as they are: an adapter is trained on questions and their right answers, comes
back as the bytes of one safetensors file, and acts only inside `adapted`. All randomness follows
from the seed.
"""

import json
import logging
import math
import warnings
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor
from torch.nn.functional import cross_entropy

from actors.errors import out_of_memory
from actors.model import LoadedModel, too_long
from studies.texts import FineTuning

if TYPE_CHECKING:
    from peft import LoraConfig, PeftModel

# Shapes: B rows, T tokens, P predicted tokens

FORMAT = "babelscope adapter 1"


class Lesson(NamedTuple):
    """Token ids of a prompt, prefix included, and of what should follow it."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


class Trained(NamedTuple):
    """An adapter as a safetensors file's bytes, and each step's mean loss, in nats a token."""

    adapter: bytes
    losses: tuple[float, ...]


def finetune(loaded: LoadedModel, lessons: Sequence[Lesson], *, how: FineTuning) -> Trained:
    """Train an adapter to write each answer after its prompt.

    Raises:
        ValueError: nothing to learn from, an example too long for the context, or a setting that
            trains nothing.
    """
    _check(loaded, lessons, how)
    steps = math.ceil(len(lessons) / how.batch) * how.epochs
    generator = torch.Generator().manual_seed(how.seed)
    losses: list[float] = []
    with _attached(loaded, _config(how), seed=how.seed) as beside, torch.enable_grad():
        trained = [weights for weights in beside.parameters() if weights.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=how.learning_rate, weight_decay=0.0)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _rate(step, steps))
        for _ in range(how.epochs):
            order = torch.randperm(len(lessons), generator=generator).tolist()
            for start in range(0, len(order), how.batch):
                chosen = [lessons[place] for place in order[start : start + how.batch]]
                optimizer.zero_grad()
                losses.append(_backward(loaded, chosen))
                torch.nn.utils.clip_grad_norm_(trained, 1.0)
                optimizer.step()
                schedule.step()
        if not all(map(math.isfinite, losses)):
            raise ValueError(
                f"fine-tuning diverged at step {_first_bad(losses)} of {steps}: lower the learning "
                f"rate ({how.learning_rate:g})"
            )
        adapter = _save(beside)
    return Trained(adapter=adapter, losses=tuple(losses))


@contextmanager
def adapted(loaded: LoadedModel, adapter: bytes) -> Iterator[None]:
    """Run the model with an adapter beside its weights; on any exit it is as it was.

    Raises:
        ValueError: the bytes are no adapter of `finetune`, or one of another model.
    """
    peft = _peft()
    config = peft.LoraConfig(**json.loads(_metadata(adapter)))
    misfit = (
        f"the adapter does not fit model {loaded.facts.label!r}: it was trained on another model"
    )
    tensors = {name: tensor.to(loaded.device) for name, tensor in load_tensors(adapter).items()}
    with ExitStack() as stack:
        try:
            beside = stack.enter_context(_attached(loaded, config, seed=0))
            found = peft.set_peft_model_state_dict(beside, tensors)
        except (RuntimeError, ValueError) as error:  # other shapes, other modules
            if out_of_memory(error):
                raise
            raise ValueError(misfit) from error
        if found.unexpected_keys or any("lora_" in name for name in found.missing_keys):
            raise ValueError(misfit)
        beside.eval()
        yield


@contextmanager
def _attached(loaded: LoadedModel, config: "LoraConfig", *, seed: int) -> Iterator["PeftModel"]:
    """A new adapter in the model's linear layers, without dropout, gone on any exit."""
    peft = _peft()
    frozen = [(weights, weights.requires_grad) for weights in loaded.model.parameters()]
    for weights, _ in frozen:
        weights.requires_grad_(False)
    devices = [loaded.device] if loaded.device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what peft sets right by itself
        torch.manual_seed(seed)
        beside = peft.get_peft_model(loaded.model, config)
    try:
        yield beside
    finally:
        beside.unload()
        for weights, learns in frozen:
            weights.requires_grad_(learns)


def _peft() -> Any:
    """The library, without what bitsandbytes, which it imports, misses for packed weights."""
    logger = logging.getLogger("bitsandbytes")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        import peft
    finally:
        logger.setLevel(level)
    return peft


def _config(how: FineTuning) -> "LoraConfig":
    config: LoraConfig = _peft().LoraConfig(
        r=how.rank, lora_alpha=how.scale, lora_dropout=0.0, target_modules="all-linear"
    )
    return config


def _check(loaded: LoadedModel, lessons: Sequence[Lesson], how: FineTuning) -> None:
    """Refuse what trains nothing or does not fit."""
    if not lessons:
        raise ValueError("no examples to fine-tune on: expected at least one")
    for name in ("rank", "epochs", "batch", "learning_rate"):
        if not getattr(how, name) > 0:
            raise ValueError(f"fine-tuning with {name} {getattr(how, name)}: expected more than 0")
    for place, (prompt, answer) in enumerate(lessons):
        if not prompt or not answer:
            raise ValueError(f"example {place} has no {'answer' if prompt else 'prompt'} to learn")
        if len(prompt) + len(answer) > loaded.facts.context:
            tokens = len(prompt) + len(answer)
            raise ValueError(too_long(f"example {place}", tokens, context=loaded.facts.context))


def _backward(loaded: LoadedModel, chosen: Sequence[Lesson]) -> float:
    """Gradients of the mean loss per answer token of a batch, in parts that fit the memory."""
    answered = sum(len(lesson.answer) for lesson in chosen)
    total = 0.0
    rows = sorted(chosen, key=lambda lesson: len(lesson.prompt) + len(lesson.answer))
    width = len(rows[-1].prompt) + len(rows[-1].answer)
    # What a step keeps for its gradients is several times what a plain pass keeps.
    size = max(1, loaded.budget.tokens // (4 * width))
    positions = loaded.budget.positions
    for _, alike in groupby(
        rows, key=lambda one: positions.side(len(one.prompt) + len(one.answer))
    ):
        own = list(alike)
        for start in range(0, len(own), size):
            positions.reset()
            loss = _loss(loaded, own[start : start + size]) / answered
            loss.backward()  # type: ignore[no-untyped-call]
            total += float(loss.detach())
    return total


def _loss(loaded: LoadedModel, rows: Sequence[Lesson]) -> Tensor:
    """Summed negative log-probability of all answer tokens."""
    width = max(len(prompt) + len(answer) for prompt, answer in rows)
    ids_BT = torch.zeros(len(rows), width, dtype=torch.long)
    real_BT = torch.zeros(len(rows), width, dtype=torch.long)
    asked_BT = torch.zeros(len(rows), width, dtype=torch.bool)
    wanted_P: list[int] = []
    for row, (prompt, answer) in enumerate(rows):
        whole = [*prompt, *answer]
        ids_BT[row, : len(whole)] = torch.tensor(whole)
        real_BT[row, : len(whole)] = 1
        asked_BT[row, len(prompt) - 1 : len(whole) - 1] = True
        wanted_P += answer
    inputs = {"input_ids": ids_BT.to(loaded.device), "attention_mask": real_BT.to(loaded.device)}
    hidden_BTD = loaded.sites.base(**inputs, use_cache=False).last_hidden_state
    logits_PV = loaded.sites.logits(hidden_BTD[asked_BT.to(hidden_BTD.device)]).float()
    wanted = torch.tensor(wanted_P, device=logits_PV.device)
    return cross_entropy(logits_PV, wanted, reduction="sum")


def _rate(step: int, steps: int) -> float:
    """The share of the learning rate at a step: up over a tenth of them, then down."""
    rising = max(1, steps // 10)
    if step < rising:
        return (step + 1) / rising
    return 0.5 * (1 + math.cos(math.pi * (step - rising) / max(1, steps - rising)))


def _first_bad(losses: Sequence[float]) -> int:
    return next(place for place, loss in enumerate(losses, start=1) if not math.isfinite(loss))


def _save(beside: "PeftModel") -> bytes:
    """The adapter with what is needed to attach it again."""
    config = beside.peft_config["default"]
    settings = {
        "r": config.r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": 0.0,
        "target_modules": sorted(config.target_modules),
    }
    tensors = {
        name: tensor.detach().cpu().contiguous()
        for name, tensor in _peft().get_peft_model_state_dict(beside).items()
    }
    # One entry: several would be written in any order, and equal adapters have equal bytes.
    metadata = {FORMAT: json.dumps(settings, sort_keys=True)}
    adapter: bytes = save_tensors(dict(sorted(tensors.items())), metadata=metadata)
    return adapter


def _metadata(adapter: bytes) -> str:
    """The settings inside an adapter's bytes."""
    try:
        size = int.from_bytes(adapter[:8], "little")
        return str(json.loads(adapter[8 : 8 + size])["__metadata__"][FORMAT])
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{len(adapter)} bytes are no adapter: expected a safetensors file of {FORMAT!r}"
        ) from error
