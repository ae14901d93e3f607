"""Put texts in a tokenizer's chat template, each as the one turn of a user.

What is rendered is text; where a text's own tokens begin is for the model's loader to say
(model.py). Which texts these are, and why a template is used, is unknown here.
"""

import re
from collections.abc import Sequence
from datetime import date

import jinja2
from transformers import PreTrainedTokenizerBase

Turn = dict[str, str]

# Some templates write the day, and the same texts have to be the same prompts tomorrow. The date is
# the one that Llama 3.1's template writes by itself.
DAY = date(2024, 7, 26)
CLOCK = "{% macro strftime_now(format) %}{{ fixed_days[format] }}{% endmacro %}{{ '' }}"
READS_CLOCK = re.compile(r"""strftime_now\(\s*(['"])(.*?)\1""")


def render(
    tokenizer: PreTrainedTokenizerBase,
    turns: Sequence[Turn],
    *,
    generation_prompt: bool = True,
    fixed_day: bool = False,
) -> str:
    """A talk as the template words it.

    Args:
        tokenizer: whose template.
        turns: `role` and `content` of each.
        generation_prompt: begin the model's own turn; without, the last turn is left open.
        fixed_day: where the template writes today's date, write `DAY`.

    Raises:
        jinja2.TemplateError: the template refuses the talk.
        ValueError: the tokenizer has no template.
    """
    template = tokenizer.get_chat_template()
    formats = {found[2] for found in READS_CLOCK.finditer(template)} if fixed_day else set()
    text = tokenizer.apply_chat_template(
        list(turns),
        chat_template=CLOCK + template if formats else template,
        tokenize=False,
        add_generation_prompt=generation_prompt,
        continue_final_message=not generation_prompt,
        fixed_days={one: DAY.strftime(one) for one in formats},
    )
    return str(text)


def user_turns(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, system: str, name: str
) -> list[str]:
    """Every text as a user's turn, up to where the model's turn begins.

    Args:
        tokenizer: whose template.
        texts: what the user says.
        system: the system prompt; "" gives no such turn, and a template may have words of its own.
        name: what messages call the model.

    Raises:
        ValueError: there is no template, or it does not take these turns.
    """
    if not tokenizer.chat_template:
        raise ValueError(
            f"model {name!r} has no chat template in its tokenizer: ask without chat_template, or "
            "choose a model that was tuned to chat"
        )
    if system and not _takes(tokenizer, system):
        raise ValueError(
            f"the chat template of model {name!r} takes no system prompt, and {system!r} was "
            "given: leave it out, or ask without chat_template"
        )
    before = [{"role": "system", "content": system}] if system else []
    try:
        return [
            render(tokenizer, [*before, {"role": "user", "content": text}], fixed_day=True)
            for text in texts
        ]
    except jinja2.TemplateError as error:
        raise ValueError(
            f"the chat template of model {name!r} takes no single user's turn ({error}): ask "
            "without chat_template"
        ) from error


def _takes(tokenizer: PreTrainedTokenizerBase, system: str) -> bool:
    """Whether the template writes a system prompt; some refuse one, and some drop it unsaid."""
    talk = [{"role": "system", "content": system}, {"role": "user", "content": "?"}]
    try:
        return system.strip() in render(tokenizer, talk, fixed_day=True)
    except jinja2.TemplateError:
        return False
