"""Readings that the latent-process paper leaves open (arXiv 2505.13141); all bear identity.

How a question is put, how a layer's stream is read as words, and how a steering vector is added.
Each is a record of switches; what they are put to is unknown here.
"""

import json
from dataclasses import asdict, dataclass, fields
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """How a benchmark's questions are put to a model (Table 3; its line breaks are not printed).

    Attributes:
        instruction: begin the prompt `latent` with its instruction.
        prompt_sep: what stands between the fields of the prompt `latent`.
        letter_token: the token that stands for an option's letter: with a `space` before it, as
            it follows "Answer:"; with `nospace`; or the probability of both together.
        chat_template: put the prompt as a user's turn in the model's own chat template.
        system: the system prompt of that template, "" for none.
    """

    instruction: bool = True
    prompt_sep: Literal["newline", "space"] = "newline"
    letter_token: Literal["space", "nospace", "logsumexp_both"] = "space"
    chat_template: bool = False
    system: str = ""

    @property
    def chat(self) -> str | None:
        """The system prompt under the chat template, None without the template."""
        return self.system if self.chat_template else None

    def named(self, prompt: str) -> str:
        """A prompt's name as rows carry it: with every switch that is not the usual one."""
        usual = Asking()
        pairs = [(item.name, getattr(self, item.name)) for item in fields(self)]
        other = [
            name if value is True else f"{name}={str(value).lower() if value is False else value}"
            for name, value in pairs
            if value != getattr(usual, name)
        ]
        return ", ".join([prompt, *other])


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
