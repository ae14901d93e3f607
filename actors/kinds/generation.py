"""Cells of written text: what a model writes after every prompt, one row for every sample.

Prompts and rows are the same whatever engine writes: an engine is a function that takes prompts and
returns texts.
"""

import json
from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from typing import NamedTuple

import transformers

from actors.answer import Found
from actors.intervention.setting import Setting
from actors.kinds.resources import Resources
from actors.model import LoadedModel
from actors.prediction.decode import Ending, draw
from actors.prediction.generate import Prompt, check_request, fit, generate_tokens
from actors.scoring.score import scored
from actors.scoring.thoughts import Split, split_thought
from actors.tokens.tokenised import TokenisedModel
from studies.content import Content
from studies.prompt_options import Chat
from studies.spec import Row
from studies.texts import GenerationItem, GenerationSet
from studies.unit import Unit


class EncodedPrompts(NamedTuple):
    """A set of prompts as token ids that fit the model's context, and which of them were cut."""

    contents: GenerationSet
    prompts: list[Prompt]
    cut: list[bool]


ENGINE = f"hf {transformers.__version__}"
# As many tokens as the mark of a thought may have at a prompt's end.
END_TOKENS = 24

# The texts of every set: of each prompt, all samples.
Write = Callable[[Sequence[EncodedPrompts]], list[list[list[Ending]]]]


def answer(loaded: LoadedModel, unit: Unit, resources: Resources) -> Found:  # noqa: ARG001
    """One row for every prompt and sample of every cell, written by transformers."""
    return written(loaded, unit, write=partial(_generate, loaded), engine=ENGINE)


def written(model: TokenisedModel, unit: Unit, *, write: Write, engine: str) -> Found:
    """One row for every prompt and sample of every cell.

    Args:
        model: whose tokenizer makes the prompts.
        unit: cells of written text.
        write: what writes; it is called once, with the prompts of all cells.
        engine: its name and version.

    Raises:
        ValueError: a prompt or an end that cannot be.
    """
    asked = [
        encoded(model, part.content, allow_truncation=unit.allow_truncation) for part in unit.parts
    ]
    rows = [
        (part.cells[0], row)
        for part, one, found in zip(unit.parts, asked, write(asked), strict=True)
        for row in rows_of(model, one, found, engine=engine)
    ]
    return Found(rows)


def rows_of(
    model: TokenisedModel,
    asked: EncodedPrompts,
    found: Sequence[Sequence[Ending]],
    *,
    engine: str,
    switches: str | None = None,
) -> list[Row]:
    """One row for every prompt of a set and sample of it.

    Args:
        model: whose tokenizer made the prompts.
        asked: the prompts.
        found: of each prompt, all samples.
        engine: what wrote them.
        switches: how the model was changed, None for not.
    """
    return [
        _row(asked.contents, item, sample, text, end=end, cut=cut, engine=engine)
        | {"switches": switches}
        for item, samples, end, cut in zip(
            asked.contents.items, found, _ends(model, asked), asked.cut, strict=True
        )
        for sample, text in enumerate(samples)
    ]


def _ends(model: TokenisedModel, asked: EncodedPrompts) -> list[str | None]:
    """How prompts end under a chat template, which may have begun a thought; None without one."""
    if asked.contents.chat is None:
        return [None] * len(asked.prompts)
    return [str(model.tokenizer.decode(list(ids[-END_TOKENS:]))) for ids in asked.prompts]


def encoded(model: TokenisedModel, contents: Content, *, allow_truncation: bool) -> EncodedPrompts:
    """The prompts of a set as the model reads them."""
    assert isinstance(contents, GenerationSet)
    new = contents.max_new_tokens
    check_request((), max_new_tokens=new, stop=contents.stop)
    whole = model.prompts([item.prompt for item in contents.items], chat=contents.chat)
    asked = list(whole)
    room = model.facts.context - new
    for place, (item, ids) in enumerate(zip(contents.items, whole, strict=True)):
        if allow_truncation and item.context and 0 < room < len(ids):
            asked[place] = _without_end(model, item, chat=contents.chat, room=room)
    prompts = fit(
        model, asked, max_new_tokens=new, allow_truncation=allow_truncation, chat=contents.chat
    )
    cut = [len(prompt) < len(ids) for prompt, ids in zip(prompts, whole, strict=True)]
    return EncodedPrompts(contents, prompts, cut)


def _without_end(
    model: TokenisedModel, item: GenerationItem, *, chat: Chat | None, room: int
) -> list[int]:
    """A prompt with as much of its context as fits `room` tokens, cut at the context's end.

    Raises:
        ValueError: it does not fit without any context either.
    """
    assert item.context is not None
    start, end = item.context

    def kept(characters: int) -> list[int]:
        text = item.prompt[: start + characters] + item.prompt[end:]
        return model.prompts([text], chat=chat)[0]

    most = bisect_right(range(end - start + 1), room, key=lambda size: len(kept(size))) - 1
    while most >= 0 and len(ids := kept(most)) > room:
        most -= 1
    if most < 0:
        raise ValueError(
            f"item {item.id} has {len(kept(0))} tokens without any of its context, and there is "
            f"room for {room}: choose a model with a longer context, or ask for fewer new tokens"
        )
    return ids


def _generate(loaded: LoadedModel, asked: Sequence[EncodedPrompts]) -> list[list[list[Ending]]]:
    """The texts that transformers writes, set by set."""
    return [texts_under(loaded, one) for one in asked]


def texts_under(
    loaded: LoadedModel, asked: EncodedPrompts, *, setting: Setting = ()
) -> list[list[Ending]]:
    """The texts of every prompt of a set, sample by sample, with the model changed so."""
    contents = asked.contents
    samples = [
        generate_tokens(
            loaded,
            asked.prompts,
            max_new_tokens=contents.max_new_tokens,
            setting=setting,
            sampling=draw(contents.sampling, sample=sample),
            stop=contents.stop,
        )
        for sample in range(contents.sampling.n)
    ]
    return [
        [Ending(one.text, one.tokens, one.stopped) for one in own]
        for own in zip(*samples, strict=True)
    ]


def _row(
    asked: GenerationSet,
    item: GenerationItem,
    sample: int,
    written: Ending,
    *,
    end: str | None,
    cut: bool,
    engine: str,
) -> Row:
    """One text with its scores, which are those of the answer behind a thought."""
    thought, output, unfinished = Split(None, written.text.strip(), unfinished=False)
    if end is not None:
        thought, output, unfinished = split_thought(written.text, prompt=end)
    return {
        "item": item.id,
        "prompt": asked.prompt,
        "engine": engine,
        "output": output,
        "thought": thought,
        "in_thought": None if end is None else unfinished,
        "references": list(item.references),
        "source": item.source or None,
        "tokens": len(written.tokens),
        "stopped": written.stopped != "length",
        "truncated": cut,
        "sample": sample,
        "task": asked.task,
        "settings": _settings(asked),
        **scored(asked, item, output),
    }


def _settings(asked: GenerationSet) -> str:
    """Canonical JSON of how tokens are drawn and where a text ends."""
    settings = {
        "max_new_tokens": asked.max_new_tokens,
        "stop": asked.stop,
        "sampling": asdict(asked.sampling),
    }
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))
