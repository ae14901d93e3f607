"""Readings that the latent-process paper leaves open (arXiv 2505.13141); all bear identity.

How a question is put, how a layer's stream is read as words, and how a steering vector is added.
Each is a record of switches.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from math import isfinite
from typing import Literal

from studies.flags import flag
from studies.values import NUMBER, blank

# What an option begins with: `auto` is what the prompt's end asks for.
Start = Literal["auto", "space", "nospace", "logsumexp_both"]
# Raised where a chat template is rendered, or options are put behind it, in another way.
CHAT_VERSION = 2

# What a chat template is given anyway, and the switches beside it.
GIVEN = (
    *("messages", "conversation", "tools", "documents", "chat_template", "tokenize", "padding"),
    *("add_generation_prompt", "continue_final_message", "truncation", "max_length"),
    *("return_tensors", "return_dict", "return_assistant_tokens_mask", "tokenizer_kwargs"),
    *("sanitize_control_tokens", "bos_token", "eos_token", "pad_token", "unk_token", "system"),
    *("instruction", "prompt_sep", "letter_token"),
)
Argument = tuple[str, str | int | float | bool | None]


def template_arguments(texts: Sequence[str], flag: str) -> tuple[Argument, ...]:
    """What a chat template is given, from NAME=VALUE texts, sorted by name.

    true, false, null and numbers are those values; anything else is text, and so is what stands in
    double quotes.
    """
    found: dict[str, str | int | float | bool | None] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or blank(value):
            raise ValueError(f"{flag} {text!r}: expected NAME=VALUE, such as enable_thinking=false")
        if name in found:
            raise ValueError(f"template argument {name} is given twice: name it once")
        plain = value in ("true", "false", "null") or NUMBER.fullmatch(value)
        quoted = len(value) > 1 and value[0] == value[-1] == '"'
        try:
            found[name] = json.loads(value) if plain or quoted else value
        except json.JSONDecodeError as error:
            if plain:
                raise ValueError(
                    f"{flag} {text!r}: {value} is no number as JSON writes it; "
                    "write 0.5 or 1, or put text in double quotes"
                ) from error
            found[name] = value
        if isinstance(number := found[name], float) and not isfinite(number):
            raise ValueError(f"{flag} {text!r}: expected a finite number")
    return tuple(sorted(found.items()))


@dataclass(frozen=True, slots=True, kw_only=True)
class Chat:
    """How texts are put in a model's own chat template, each as a user's turn. All bears identity.

    Attributes:
        system: the system prompt, "" for none.
        arguments: names that the template reads, such as enable_thinking, with their values.
        start: what an option that answers begins with; `auto` is what the template itself writes
            between the beginning of the model's turn and its words.
    """

    system: str = ""
    arguments: tuple[Argument, ...] = ()
    start: Start = "auto"

    def __post_init__(self) -> None:
        """Refuse what is no argument of a template."""
        for name, _ in self.arguments:
            if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII) or name in GIVEN:
                raise ValueError(
                    f"template argument {name!r}: expected a name that the chat template reads, "
                    "such as enable_thinking"
                )

    @property
    def identity(self) -> dict[str, object]:
        """The part of a key that this contributes."""
        return {"version": CHAT_VERSION, **asdict(self)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a benchmark's questions are put to a model (Table 3; its line breaks are not printed).

    Attributes:
        instruction: begin the prompt `latent` with its instruction.
        prompt_sep: what stands between the fields of the prompt `latent`.
        letter_token: the token that stands for an option's letter: with a `space` before it, as
            it follows "Answer:"; with `nospace`; the probability of both together; or as the
            prompt's end asks for (`auto`), which is a space except under a chat template. There it
            is the first token of options that are texts, too.
        chat_template: put the prompt as a user's turn in the model's own chat template.
        system: the system prompt of that template, "" for none.
        arguments: what else that template is given, by the names that it reads.
    """

    instruction: bool = True
    prompt_sep: Literal["newline", "space"] = "newline"
    letter_token: Start = "auto"
    chat_template: bool = False
    system: str = ""
    arguments: tuple[Argument, ...] = flag(
        "What a chat template reads, such as --template-argument enable_thinking=false (with "
        "--switch chat_template=true). Repeatable.",
        "--template-argument",
        default=(),
        read=template_arguments,
    )

    @property
    def chat(self) -> Chat | None:
        """The chat template's settings, None without the template."""
        if not self.chat_template:
            return None
        return Chat(system=self.system, arguments=self.arguments, start=self.letter_token)

    @property
    def start(self) -> Start:
        """What options begin with: without a chat template, a prompt's end asks for a space."""
        plain = self.letter_token == "auto" and not self.chat_template
        return "space" if plain else self.letter_token

    def named(self, prompt: str) -> str:
        """A prompt's name as rows carry it: with every switch that is not the usual one."""
        other = [
            name if value is True else f"{name}={str(value).lower() if value is False else value}"
            for name, value in self._unusual()
        ]
        return ", ".join([prompt, *other])

    def settings(self) -> dict[str, object]:
        """Every switch, resolved, and every argument of a chat template."""
        own = {item.name: getattr(self, item.name) for item in fields(self)}
        del own["arguments"]
        return {**own, "letter_token": self.start, **dict(self.arguments)}

    def changed(self) -> dict[str, object]:
        """The switches and arguments that are not the usual ones."""
        return dict(self._unusual())

    def _unusual(self) -> Iterator[tuple[str, object]]:
        usual = Asking(chat_template=self.chat_template).settings()
        usual["chat_template"] = False
        for name, value in self.settings().items():
            if name not in usual or value != usual[name]:
                yield name, value


@dataclass(frozen=True, slots=True, kw_only=True)
class Lens:
    """How the residual stream of a layer is read as words (section 3; Eq. 7 shows no norm).

    Attributes:
        lens_norm: through the model's final norm first, or as it is.
        lens_head: by the model's output layer, or by its input embedding.
        softcap: cap logits as the model does, if it does (Gemma 2).
    """

    lens_norm: Literal["final_norm", "none"] = "final_norm"
    lens_head: Literal["lm_head", "input_embedding"] = "lm_head"
    softcap: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Steering:
    """How a vector is added to the residual stream (section 5).

    Attributes:
        vec_norm: the vector as it is; of length 1; or of the mean length of the states that it is
            added to.
        steer_pos: at the `last` token of the prompt, as in the paper; at all tokens of the
            `prompt`, at `generated` ones, or at `all`.
    """

    vec_norm: Literal["none", "unit", "scaled_to_resid"] = "none"
    steer_pos: Literal["last", "prompt", "generated", "all"] = "last"


def text(record: Asking | Lens | Steering) -> str:
    """Canonical JSON of a record, as rows carry it."""
    return json.dumps(asdict(record), sort_keys=True, separators=(",", ":"))
