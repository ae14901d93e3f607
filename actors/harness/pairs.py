"""Contexts and continuations as lm-evaluation-harness cuts them into tokens.

Its rule (`TemplateLM._encode_pair`, and the windows of `HFLM`): spaces that end a context belong to
the continuation; both together are tokenised, and what lies behind as many tokens as the context
has by itself is the continuation; a text too long loses its beginning, BOS included. Where no token
ends with the context, that is not what this project's own rule does (`prediction/score.py`), so
whoever compares with the harness needs its rule. lm_eval itself is not needed here.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from actors.model import LoadedModel, too_long


class Pair(NamedTuple):
    """Token ids of a context and its continuation, and whether the context was cut."""

    context: tuple[int, ...]
    continuation: tuple[int, ...]
    truncated: bool = False


def encode(loaded: LoadedModel, texts: Iterable[str]) -> dict[str, list[int]]:
    """Token ids of texts with what the tokenizer adds; a BOS that a text begins with stays one."""
    bos = str(loaded.tokenizer.decode(prefix_token(loaded)))
    found: dict[str, list[int]] = {}
    distinct = list(dict.fromkeys(texts))
    for special in (True, False):
        group = [text for text in distinct if text.startswith(bos) != special]
        if group:
            encoded = loaded.tokenizer(group, add_special_tokens=special, verbose=False)
            ids = loaded.embedded([list(one) for one in encoded["input_ids"]])
            found.update(zip(group, ids, strict=True))
    return found


def prefix_token(loaded: LoadedModel) -> int:
    """The token that stands before a text without context: BOS, or EOS where there is no BOS."""
    for token in (loaded.tokenizer.bos_token_id, loaded.tokenizer.eos_token_id):
        if token is not None:
            return loaded.embedded([[int(token)]])[0][0]
    raise ValueError(
        f"the tokenizer of {loaded.facts.label!r} has neither a BOS nor an EOS token: "
        "lm-evaluation-harness puts one of them before texts without context"
    )


def encode_pairs(
    loaded: LoadedModel,
    texts: Sequence[tuple[str, str]],
    *,
    allow_truncation: bool,
    names: Sequence[str] = (),
) -> list[Pair]:
    """Token ids of every context and continuation, in windows that the model can read.

    `names` are what messages call the pairs; without them, by their continuations.

    Raises:
        ValueError: a continuation has no token, or a pair exceeds the context and may not be cut.
    """
    moved = [_move_spaces(*text) for text in texts]
    joined = [given for given, (text, _) in zip(moved, texts, strict=True) if text]
    ids = encode(loaded, [text for context, whole in joined for text in (context, context + whole)])
    alone = [continuation for context, continuation in texts if not context]
    bare = dict(zip(alone, loaded.tokenise(alone), strict=True))
    prefix = prefix_token(loaded)
    pairs = []
    called = names or [repr(text) for _, text in texts]
    for what, (given, text), (context, continuation) in zip(called, texts, moved, strict=True):
        if given:
            head, whole = ids[context], ids[context + continuation]
        else:
            whole = bare[text]
            whole = whole if whole[:1] == [prefix] else [prefix, *whole]
            head = whole[:1]
        pair = Pair(tuple(head), tuple(whole[len(head) :]))
        pairs.append(window(loaded, pair, what=what, allow_truncation=allow_truncation))
    return pairs


def window(loaded: LoadedModel, pair: Pair, *, what: str, allow_truncation: bool) -> Pair:
    """The pair as it fits: its last token is only predicted, so one more than the context does."""
    context, continuation, _ = pair
    if not context or not continuation:
        lacking = "continuation" if context else "context"
        raise ValueError(
            f"{what}: the {lacking} has no token, as lm-evaluation-harness cuts it: nothing can be "
            "scored; the tokenizer may not know this script"
        )
    found, most = len(context) + len(continuation), loaded.facts.context + 1
    if found <= most:
        return pair
    kept = most - len(continuation)
    if not allow_truncation or kept < 1:
        cut = "" if kept >= 1 else ", a continuation alone too long to be cut"
        raise ValueError(too_long(what + cut, found, context=most - 1))
    return Pair(context[-kept:], continuation, truncated=True)


def _move_spaces(context: str, continuation: str) -> tuple[str, str]:
    kept = context.rstrip()
    return kept, context[len(kept) :] + continuation
