"""A loaded model as lm-evaluation-harness wants one: any of its tasks runs, plain or steered.

    lm_eval.simple_evaluate(HarnessLM(loaded), tasks=["xquad_de"])

Tokens, windows and texts are those of the harness's own `HFLM`; only the passes are ours. What is
neither greedy nor plain sampling is refused.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import jinja2

from actors.harness.pairs import (
    Likelihood,
    Pair,
    encode,
    encode_pairs,
    prefix_token,
    read_pairs,
    window,
)
from actors.intervention.setting import Intervention, Setting
from actors.model import LoadedModel, too_long
from actors.prediction.decode import Sampling
from actors.prediction.generate import Generated, generate_tokens
from actors.tokens.chat import render

try:
    from lm_eval.api.model import TemplateLM
    from lm_eval.models.utils import normalize_gen_kwargs
    from lm_eval.utils import get_rolling_token_windows, make_disjoint_window
except ImportError as error:
    raise ImportError(
        "HarnessLM needs lm_eval, which is not installed: pip install 'babelscope[harness]'"
    ) from error

if TYPE_CHECKING:
    from lm_eval.api.instance import Instance

# What HFLM writes at most where a task says nothing.
MAX_NEW_TOKENS = 256

SAMPLING = ("temperature", "top_p", "top_k")


class HarnessLM(TemplateLM):  # type: ignore[misc]  # lm_eval has no types
    """A model of ours for `lm_eval.simple_evaluate`, every request under one setting.

    Hooks are on the model only while a request runs.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        intervention: Intervention | Setting = (),
        allow_truncation: bool = False,
        seed: int = 0,
    ) -> None:
        """Wrap a loaded model.

        Args:
            loaded: the model.
            intervention: what to change in every request; one, or those that act together.
            allow_truncation: cut contexts that are too long, from the left, as HFLM does unasked.
            seed: of tasks that sample; with the prompt it fixes a text.

        Raises:
            ValueError: the intervention differs from prompt to prompt.
        """
        super().__init__()
        self.setting = (intervention,) if isinstance(intervention, Intervention) else intervention
        for one in self.setting:
            own = [one.vector.ndim == 2, isinstance(one.coefficient, tuple)]
            if any(own) or not isinstance(one.where, str):
                raise ValueError(
                    "an intervention of HarnessLM acts on every request: give one vector, one "
                    "coefficient and a named position such as 'all', not one for each prompt"
                )
        self.loaded = loaded
        self.tokenizer = loaded.tokenizer
        self.allow_truncation = allow_truncation
        self.seed = seed

    @property
    def eot_token_id(self) -> int:
        """The token that ends a text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def prefix_token_id(self) -> int:
        """What stands before a text without context."""
        return prefix_token(self.loaded)

    @property
    def max_length(self) -> int:
        """How many tokens the model reads."""
        return self.loaded.facts.context

    @property
    def tokenizer_name(self) -> str:
        """What the harness files its requests under."""
        return str(self.tokenizer.name_or_path).replace("/", "__")

    def tok_encode(
        self, string: str, add_special_tokens: bool | None = None, **_given: object
    ) -> list[int]:
        """Token ids of a text; None adds what the tokenizer adds, but no second BOS."""
        if add_special_tokens is None:
            return encode(self.loaded, [string])[string]
        return list(self.tokenizer.encode(string, add_special_tokens=add_special_tokens))

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """The chat as text; without its system turns where the template takes none."""

        def worded(turns: list[dict[str, str]]) -> str:
            return render(self.tokenizer, turns, generation_prompt=add_generation_prompt)

        try:
            return worded(chat_history)
        except jinja2.TemplateError:
            return worded([turn for turn in chat_history if turn["role"] != "system"])

    def loglikelihood(
        self, requests: list["Instance"], **_given: object
    ) -> list[tuple[float, bool]]:
        """Log-probability of every continuation, and whether greedy decoding would write it."""
        texts = [request.args for request in requests]
        pairs = encode_pairs(self.loaded, texts, allow_truncation=self.allow_truncation)
        found = self._read(pairs)
        for text, answer in zip(texts, found, strict=True):
            self.cache_hook.add_partial("loglikelihood", text, tuple(answer))
        return [(answer.total, answer.greedy) for answer in found]

    def _loglikelihood_tokens(
        self, requests: list[tuple[tuple[str, str], list[int], list[int]]], **_given: object
    ) -> list[tuple[float, bool]]:
        """The same of token ids, for whoever calls it as the harness's own models do."""
        pairs = [
            window(
                self.loaded,
                Pair(tuple(context), tuple(continuation)),
                what=repr(text),
                allow_truncation=self.allow_truncation,
            )
            for text, context, continuation in requests
        ]
        return [(answer.total, answer.greedy) for answer in self._read(pairs)]

    def loglikelihood_rolling(self, requests: list["Instance"], **_given: object) -> list[float]:
        """Log-probability of whole texts, in windows where they exceed the context."""
        texts = [request.args[0] for request in requests]
        ids = encode(self.loaded, texts)
        windows = [
            [
                Pair(tuple(context), tuple(continuation))
                for context, continuation in map(
                    make_disjoint_window,
                    get_rolling_token_windows(
                        token_list=ids[text],
                        prefix_token=self.prefix_token_id,
                        max_seq_len=self.max_length,
                        context_len=1,
                    ),
                )
            ]
            for text in texts
        ]
        found = iter(self._read([pair for own in windows for pair in own]))
        totals = [sum(next(found).total for _ in own) for own in windows]
        for text, total in zip(texts, totals, strict=True):
            self.cache_hook.add_partial("loglikelihood_rolling", (text,), total)
        return totals

    def _read(self, pairs: Sequence[Pair]) -> list[Likelihood]:
        return read_pairs(self.loaded, pairs, setting=self.setting)

    def generate_until(self, requests: list["Instance"], **_given: object) -> list[str]:
        """What the model writes after every context, up to the first stop string.

        Raises:
            ValueError: a task asks for more than sampling, or a context is too long.
        """
        groups: dict[str, list[int]] = {}
        for place, request in enumerate(requests):
            groups.setdefault(repr(request.args[1]), []).append(place)
        texts: dict[int, str] = {}
        for places in groups.values():
            contexts = [requests[place].args[0] for place in places]
            given = requests[places[0]].args[1]
            for place, text in zip(places, self._generate(contexts, given), strict=True):
                texts[place] = text
                self.cache_hook.add_partial("generate_until", requests[place].args, text)
        return [texts[place] for place in range(len(requests))]

    def _generate(self, contexts: Sequence[str], given: Mapping[str, Any]) -> list[str]:
        """The texts after contexts that are to be continued in one way."""
        how = normalize_gen_kwargs(dict(given), MAX_NEW_TOKENS)
        most, sampled = how.pop("max_gen_toks"), bool(how.pop("do_sample"))
        until = how.pop("until", None) or []
        stop = [text for text in ([until] if isinstance(until, str) else until) if text]
        drawing = {name: how.pop(name) for name in SAMPLING if how.get(name) is not None}
        if unknown := [name for name, value in how.items() if value not in (None, False)]:
            raise ValueError(
                f"a task asks to generate with {unknown[0]}={how[unknown[0]]!r}: HarnessLM takes "
                f"max_gen_toks, until, do_sample, {', '.join(SAMPLING)}; change it by gen_kwargs"
            )
        sampling = None
        if sampled:
            drawing["top_k"] = drawing.get("top_k") or None
            sampling = Sampling(seed=self.seed, **{"temperature": 1.0, **drawing})
        ids = encode(self.loaded, contexts)
        written = generate_tokens(
            self.loaded,
            [self._cut(ids[context], most) for context in contexts],
            max_new_tokens=most,
            setting=self.setting,
            sampling=sampling,
            stop=stop,
        )
        return [self._text(one, stop) for one in written]

    def _cut(self, ids: Sequence[int], most: int) -> Sequence[int]:
        """A prompt that leaves room for `most` new tokens; BOS goes first, as in HFLM."""
        room = self.max_length - most
        if len(ids) <= room:
            return ids
        if room < 1 or not self.allow_truncation:
            what = f"a prompt and {most} new tokens"
            raise ValueError(too_long(what, len(ids) + most, context=self.max_length))
        return ids[-room:]

    def _text(self, written: Generated, stop: Sequence[str]) -> str:
        """The new tokens as a text of their own, without special ones, up to a stop string."""
        tokens = written.tokens[:-1] if written.stopped == "end" else written.tokens
        text = str(self.tokenizer.decode(list(tokens), skip_special_tokens=True))
        for one in stop:
            text = text.split(one)[0]
        return text
