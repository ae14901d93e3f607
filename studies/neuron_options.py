"""Readings that the CLAS paper leaves open: how neurons are sorted, and how they are rescaled.

All bear identity. Int-mu is the baseline of Mondal et al. (2025) that the paper compares with.
"""

import json
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from studies.flags import flag

Site = Literal["h", "act"]
Category = Literal["dead", "specific", "partial_shared", "all_shared"]
CATEGORIES: tuple[Category, ...] = ("dead", "specific", "partial_shared", "all_shared")


@dataclass(frozen=True, slots=True, kw_only=True)
class Sorting:
    """When a neuron counts as active in a language, and over which texts (section 2.4).

    Attributes:
        clas_site: the activation that is read and rescaled: `h` is the down projection's input,
            `act` is act(gate).
        activity: what must exceed the threshold: the signed mean of the activation, the mean of
            its size, or the share of tokens at which it is above zero.
        threshold: the threshold; the paper does not print its own.
        stat_weight: `sample` takes means within a text and then over texts, `token` over all
            tokens.
        stat_text: what of a question is read: its `context`, `context_question`, or the
            `full_prompt` that it is asked with.
        stat_bos: count the tokenizer's own prefix too.
        intmu_selector: Int-mu's neurons: `lape` by the entropy of how often they fire over
            languages, `act_prob_90p` by how often they exceed their own 90th percentile.
        intmu_site: where Int-mu's values are read: at act(gate), where they are written
            (`consistent`), or in front of the activation function, as its released `code` does.
    """

    clas_site: Site = "h"
    activity: Literal["mean_signed", "mean_abs", "freq"] = "mean_signed"
    threshold: float = flag(
        "What activity must exceed, such as --threshold 0.1.", "--threshold", default=0.0
    )
    stat_weight: Literal["sample", "token"] = "sample"
    stat_text: Literal["context", "context_question", "full_prompt"] = "context_question"
    stat_bos: bool = True
    intmu_selector: Literal["lape", "act_prob_90p"] = "lape"
    intmu_site: Literal["consistent", "code"] = "consistent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rescaling:
    """Where neurons are rescaled, and which language-specific ones (section 2.5).

    Attributes:
        clas_pos: at `all` tokens, those of the `prompt`, the `last` one of it, or `generated` ones.
        spec_scope: weaken the neurons specific to `any` language, to the one that is asked in
            (`only_current`), or to the others (`not_current`).
    """

    clas_pos: Literal["all", "prompt", "last", "generated"] = "all"
    spec_scope: Literal["any", "only_current", "not_current"] = "any"


def text(*records: Sorting | Rescaling, **more: object) -> str:
    """Canonical JSON of all switches, as rows carry it."""
    switches = {name: value for record in records for name, value in asdict(record).items()}
    return json.dumps(switches | more, sort_keys=True, separators=(",", ":"))


class Strength(NamedTuple):
    """By what neurons are multiplied: 1 + `shared` those of several languages, 1 + `specific`
    those of one.

    The paper's alpha, beta and gamma are two degrees of freedom, as h (1 - alpha) + alpha h2 is
    h (1 + alpha beta) for the former and h (1 - alpha gamma) for the latter (section 2.5).
    """

    shared: float = 0.0
    specific: float = 0.0

    @property
    def flips(self) -> bool:
        """Whether some activations change their sign."""
        return self.shared < -1 or self.specific < -1


PLAIN = Strength()
# Beyond this rounding two products are two strengths; nearer they are one cell.
DIGITS = 9


def strength(alpha: float, *, beta: float, gamma: float) -> Strength:
    """The strength of the paper's three parameters; -0 is 0."""
    return Strength(round(alpha * beta, DIGITS) + 0.0, round(-alpha * gamma, DIGITS) + 0.0)
