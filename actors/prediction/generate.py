"""Write on from prompts, greedily or by sampling, with the model plain or changed.

The loop, the cache and the masks are transformers' own; this file says what goes in, where an
intervention acts, and refuses what would act elsewhere. Rows are padded on the left and know
nothing of each other: a text does not depend on its batch.
"""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import GenerationConfig, PreTrainedModel

from actors.intervention.intervene import Edit, Position, armed, gather, places_of
from actors.intervention.setting import Setting, check
from actors.model import LoadedModel
from actors.passes.batching import Batch
from actors.prediction.decode import Chooser, Ends, Sampling, Stopped, Stopper
from actors.structure.sites import Sites, watch_output
from actors.tokens.tokenised import TokenisedModel, ends_of, too_long
from studies.prompt_options import Chat

# Shapes: B rows, T tokens, D width

Prompt = tuple[int, ...]


class Generated(NamedTuple):
    """What a model wrote after one prompt, and whether the prompt was cut.

    `text` ends before a stop string or an end-of-text token, `tokens` behind it. The tokens'
    `log_probability` is that of the model as it was changed, before any temperature.
    """

    text: str
    tokens: tuple[int, ...]
    stopped: Stopped
    log_probability: float
    truncated: bool


def generate_tokens(
    loaded: LoadedModel,
    sequences: Sequence[Sequence[int]],
    *,
    max_new_tokens: int = 32,
    setting: Setting = (),
    sampling: Sampling | None = None,
    stop: Sequence[str] = (),
    allow_truncation: bool = False,
) -> list[Generated]:
    """What the model writes after every prompt, given as token ids, prefix included.

    Args:
        loaded: the model.
        sequences: the prompts.
        max_new_tokens: how long a text may be.
        setting: what to change. `generated` acts on new tokens as they are fed back: what the first
            of them is follows from the last prompt token, which `last`, `prompt` and `all` change.
        sampling: how to draw tokens; None takes the most probable.
        stop: strings that end a text.
        allow_truncation: cut prompts that are too long, from the left, behind the prefix.

    Raises:
        ValueError: the request cannot be met, or logits are not finite.
    """
    active = tuple(one for one in setting if not one.idle)
    check_request(active, max_new_tokens=max_new_tokens, stop=stop)
    prompts = fit(
        loaded, sequences, max_new_tokens=max_new_tokens, allow_truncation=allow_truncation
    )
    cut = [len(prompt) < len(ids) for prompt, ids in zip(prompts, sequences, strict=True)]
    if any(cut) and not all(isinstance(one.where, str) for one in setting):
        raise ValueError(
            f"prompt {cut.index(True)} would be cut, and positions in it no longer hold: shorten "
            "it yourself, or say where to act by name, such as 'last'"
        )
    for one in setting:
        check(loaded.sites, one, lengths=[len(prompt) for prompt in prompts])
    named = ends_of(loaded.model.config, loaded.tokenizer, more=loaded.facts.ends)
    ends = Ends(loaded.tokenizer, stop, ends=named)
    found: dict[int, Generated] = {}

    def compute(batch: Batch) -> None:
        own = [prompts[row] for row in batch.rows]
        width = max(len(prompt) for prompt in own)
        chooser = Chooser(sampling, own)
        stopper = Stopper(ends, prompt_tokens=width)
        edits = _place(loaded, active, batch.rows, own)
        written = _write(loaded, own, edits, chooser, stopper, ends=ends, most=max_new_tokens)
        logs = chooser.log_probabilities()
        for line, (row, new) in enumerate(zip(batch.rows, written, strict=True)):
            text, tokens, stopped = stopper.finish(line, before=prompts[row][-1], new=new)
            total = _total(logs[line][: len(tokens)], prompt=row)
            found[row] = Generated(text, tokens, stopped, total, cut[row])

    # What a row keeps in memory is its cache: of the prompt, and of all that may follow.
    lengths = [len(prompt) + max_new_tokens for prompt in prompts]
    growing = loaded.budget.positions.growing
    groups = [
        growing(len(prompt), most=most) for prompt, most in zip(prompts, lengths, strict=True)
    ]
    loaded.budget.run(lengths, compute, groups=groups)
    return [found[row] for row in range(len(prompts))]


def check_request(active: Setting, *, max_new_tokens: int, stop: Sequence[str]) -> None:
    """Raise ValueError for an end that no text can have."""
    if isinstance(stop, str) or not all(stop):
        raise ValueError(f"stop is {stop!r}: expected a list of strings, none of them empty")
    if max_new_tokens < 1 + any(one.where == "generated" for one in active):
        raise ValueError(
            f"max_new_tokens is {max_new_tokens}: expected at least 1, and 2 for an intervention "
            "at 'generated' tokens, which acts as they are fed back"
        )


def fit(
    model: TokenisedModel,
    sequences: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    allow_truncation: bool,
    chat: Chat | None = None,
) -> list[Prompt]:
    """Prompts, cut where they must be, so that each and `max_new_tokens` fit the context.

    Args:
        model: whose context and prefix.
        sequences: the prompts' token ids, prefix included.
        max_new_tokens: how long a text may be.
        allow_truncation: cut from the left, behind the prefix, what is too long.
        chat: not None for prompts in a chat template, of which none is cut.

    Raises:
        ValueError: a prompt has no token, or is too long.
    """
    prompts = [tuple(ids) for ids in sequences]
    context = model.facts.context
    for place, ids in enumerate(prompts):
        if not ids:
            raise ValueError(f"prompt {place} has no token: expected at least one to go on from")
        total = len(ids) + max_new_tokens
        if total <= context:
            continue
        prefix = model.prefix if ids[: len(model.prefix)] == model.prefix else ()
        kept = context - max_new_tokens - len(prefix)
        if kept < 1:
            raise ValueError(
                f"max_new_tokens is {max_new_tokens}: the model's context of {context} leaves no "
                f"room for prompt {place}; ask for fewer"
            )
        if not allow_truncation or chat is not None:
            what = f"prompt {place} and {max_new_tokens} new tokens"
            raise ValueError(too_long(what, total, context=context, chat=chat))
        prompts[place] = (*prefix, *ids[-kept:])
    return prompts


def _total(logs: Sequence[float], *, prompt: int) -> float:
    if not math.isfinite(total := sum(logs)):
        raise ValueError(
            f"prompt {prompt}: the logits of what follows are not finite, as the model overflows: "
            "use --dtype bfloat16 or float32, or a smaller coefficient where it is changed"
        )
    return total


class _Edits(NamedTuple):
    """What changes in the pass over the prompts, and in those over one new token of each."""

    prompts: list[Edit]
    later: list[Edit]


def _place(
    loaded: LoadedModel, setting: Setting, places: Sequence[int], prompts: Sequence[Prompt]
) -> _Edits:
    """Where a setting acts in rows padded on the left; `places` are theirs among all prompts."""
    width = max(len(prompt) for prompt in prompts)
    now: list[Position] = []
    later: list[Position] = []
    for row, (place, prompt) in enumerate(zip(places, prompts, strict=True)):
        length, start = len(prompt), width - len(prompt)
        now += places_of(setting, prompt=place, row=row, length=length, end=length, start=start)
        # A new token is alone in its pass.
        own = places_of(setting, prompt=place, row=row, length=0, end=1)
        later += [one for one in own if one.intervention.where in ("generated", "all")]
    return _Edits(gather(now, device=loaded.device), gather(later, device=loaded.device))


@torch.inference_mode()
def _write(
    loaded: LoadedModel,
    prompts: Sequence[Prompt],
    edits: _Edits,
    chooser: Chooser,
    stopper: Stopper,
    *,
    ends: Ends,
    most: int,
) -> list[list[int]]:
    """At most so many new tokens of each row; where it was done early, padding is behind them."""
    width = max(len(prompt) for prompt in prompts)
    ids_BT = torch.zeros(len(prompts), width, dtype=torch.long)  # any id will do as padding
    mask_BT = torch.zeros_like(ids_BT)
    for row, prompt in enumerate(prompts):
        ids_BT[row, width - len(prompt) :] = torch.tensor(prompt)
        mask_BT[row, width - len(prompt) :] = 1
    settings = GenerationConfig(
        max_new_tokens=most,
        do_sample=False,
        use_cache=True,
        eos_token_id=list(ends.ends) or None,
        pad_token_id=0,
    )
    with (
        _bare(loaded.model),
        _one_prefill(loaded.sites, width=width) if any(edits) else nullcontext(),
        armed(loaded.sites, edits.prompts, rows=len(prompts), later=edits.later),
    ):
        output_BT = loaded.model.generate(
            ids_BT.to(loaded.device),
            attention_mask=mask_BT.to(loaded.device),
            generation_config=settings,
            logits_processor=[chooser],
            stopping_criteria=[stopper],
        )
    new: list[list[int]] = output_BT[:, width:].tolist()
    return new


@contextmanager
def _bare(model: PreTrainedModel) -> Iterator[None]:
    """Set aside the folder's own settings, from which transformers fills all that is not given."""
    held, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = held


@contextmanager
def _one_prefill(sites: Sites, *, width: int) -> Iterator[None]:
    """Raise RuntimeError unless prompts pass whole, and every new token by itself."""
    expected = [width]

    def look(embedded_BTD: Tensor) -> None:
        found = embedded_BTD.shape[1]
        if found != expected[0]:
            raise RuntimeError(
                f"a forward pass has {found} tokens a row where {expected[0]} were expected: an "
                "intervention would act on the wrong ones, so generate without it"
            )
        expected[0] = 1

    with watch_output(sites.embedding, look):
        yield
