"""Put texts in a tokenizer's chat template, each as the one turn of a user.

The result is text; tokenised.py says where a text's own tokens begin.
"""

import random
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, tzinfo
from typing import Self

import jinja2
from transformers import PreTrainedTokenizerBase
from transformers.utils import chat_template_utils

from studies.prompt_options import Argument, Chat

Turn = dict[str, str]

# What the model might say, to see what a template writes before it.
WORDS = "Xyzzy"


class Day(datetime):
    """The one day of all templates that write the date, as Llama 3.1's does by itself.

    The same texts have to be the same prompts tomorrow.
    """

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        """Midnight of that day."""
        return cls(2024, 7, 26, tzinfo=tz)


@contextmanager
def _still() -> Iterator[None]:
    """Let no clock run and no chance play while a template is rendered, however it asks for them.

    Transformers gives templates the function `strftime_now`, which they may call by any name, and
    jinja2 its filter `random`.
    """
    clock, chance = chat_template_utils.datetime, random.getstate()
    chat_template_utils.datetime = Day
    random.seed(0)
    try:
        yield
    finally:
        chat_template_utils.datetime = clock
        random.setstate(chance)


def render(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    *,
    generation_prompt: bool = True,
    arguments: Sequence[Argument] = (),
) -> str:
    """A talk as the template words it, now.

    Args:
        tokenizer: whose template.
        turns: `role` and `content` of each.
        generation_prompt: begin the model's own turn; without, the last turn is left open.
        arguments: what else the template reads.

    Raises:
        jinja2.TemplateError: the template refuses the talk.
        ValueError: the tokenizer has no template.
    """
    text = tokenizer.apply_chat_template(
        list(turns),
        tokenize=False,
        add_generation_prompt=generation_prompt,
        continue_final_message=not generation_prompt,
        **dict(arguments),
    )
    return str(text)


def user_turns(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, chat: Chat, name: str
) -> list[str]:
    """Every text as a user's turn, up to where the model's turn begins.

    Args:
        tokenizer: whose template.
        texts: what the user says.
        chat: the system prompt; "" gives no such turn, and a template may have words of its own;
            and what else the template is given.
        name: what messages call the model.

    Raises:
        ValueError: there is no template, or it does not take these turns or arguments.
    """
    _check(tokenizer, chat, name=name)
    try:
        with _still():
            return [
                render(tokenizer, _asked(text, chat), arguments=chat.arguments) for text in texts
            ]
    except jinja2.TemplateError as error:
        raise ValueError(
            f"the chat template of model {name!r} takes no single user's turn ({error}): ask "
            "without chat_template"
        ) from error


def beginning(tokenizer: PreTrainedTokenizerBase, *, chat: Chat, name: str) -> str:
    """What the model's words begin with where its turn has begun: a space, mostly nothing.

    It is what the template itself writes there. Where that is more than white space, such as an
    empty thought, or another turn than the one begun, the end of the prompt decides: behind white
    space or a token of the template there is nothing, behind anything else a space.

    Raises:
        ValueError: as `user_turns` does.
    """
    (begun,) = user_turns(tokenizer, ["?"], chat=chat, name=name)
    turns = [*_asked("?", chat), {"role": "assistant", "content": WORDS}]
    try:
        with _still():
            whole = render(tokenizer, turns, generation_prompt=False, arguments=chat.arguments)
    except (jinja2.TemplateError, ValueError):
        whole = ""
    if whole.startswith(begun):
        between = whole[len(begun) :].partition(WORDS)[0]
        if not between.strip():
            return between
    token = any(begun.endswith(one) for one in tokenizer.get_added_vocab())
    return "" if token or not begun or begun[-1].isspace() else " "


def _asked(text: str, chat: Chat) -> list[Turn]:
    """The turns before the model's."""
    before = [{"role": "system", "content": chat.system}] if chat.system else []
    return [*before, {"role": "user", "content": text}]


def _check(tokenizer: PreTrainedTokenizerBase, chat: Chat, *, name: str) -> None:
    """Refuse a template that is not there, or that drops what it is given."""
    if not tokenizer.chat_template:
        raise ValueError(
            f"model {name!r} has no chat template in its tokenizer: ask without chat_template, or "
            "choose a model that was tuned to chat"
        )
    template = tokenizer.get_chat_template()
    for argument, _ in chat.arguments:
        if not re.search(rf"\b{argument}\b", template):
            raise ValueError(
                f"the chat template of model {name!r} does not read {argument!r}: leave out "
                "--template-argument, or look up in the template what it reads"
            )
    if chat.system and not _takes(tokenizer, chat):
        raise ValueError(
            f"the chat template of model {name!r} takes no system prompt, and {chat.system!r} was "
            "given: leave it out, or ask without chat_template"
        )


def _takes(tokenizer: PreTrainedTokenizerBase, chat: Chat) -> bool:
    """Whether the template writes a system prompt; some refuse one, and some drop it unsaid."""
    try:
        with _still():
            text = render(tokenizer, _asked("?", chat), arguments=chat.arguments)
    except jinja2.TemplateError:
        return False
    return chat.system.strip() in text
