"""Translation prompts from parallel text: a few pairs as examples, then a sentence to translate.

Pairs shown as examples are never translated. Languages are named in English, as the table of
languages names them.
"""

from studies import languages
from studies.texts import Bitext, GenerationItem, GenerationSet

SHOTS = 4
MAX_NEW_TOKENS = 256
STOP = ("\n",)


def translations(bitext: Bitext, *, shots: int = SHOTS) -> GenerationSet:
    """Prompts that ask for a bitext's language, given its pivot's sentences.

    A translation ends at a line's end, or where it has as many tokens as the longest reference has
    bytes, 256 at most: no tokenizer makes more.

    Args:
        bitext: parallel sentences; the first `shots` pairs are examples, the others the task.
        shots: how many examples stand in every prompt.

    Raises:
        ValueError: no pair is left to translate.
    """
    if shots < 0 or len(bitext.ids) <= shots:
        raise ValueError(
            f"{bitext.dataset} {bitext.language}: {len(bitext.ids)} pairs with {shots} of them as "
            "examples leave none to translate; ask for more pairs or fewer examples"
        )
    names = [languages.language(code).name for code in (bitext.pivot, bitext.language)]
    pairs = list(zip(map(_line, bitext.pivot_texts), map(_line, bitext.texts), strict=True))
    shown = "".join(
        f"{names[0]}: {source}\n{names[1]}: {target}\n\n" for source, target in pairs[:shots]
    )
    items = tuple(
        GenerationItem(
            id=id,
            prompt=f"{shown}{names[0]}: {source}\n{names[1]}:",
            references=(target,),
            source=source,
        )
        for id, (source, target) in zip(bitext.ids[shots:], pairs[shots:], strict=True)
    )
    longest = max(len(target.encode()) for _, target in pairs[shots:])
    return GenerationSet(
        benchmark=bitext.dataset,
        language=bitext.language,
        pivot=bitext.pivot,
        prompt=f"translate, {shots}-shot",
        items=items,
        max_new_tokens=min(MAX_NEW_TOKENS, longest),
        stop=STOP,
        commit=bitext.commit,
    )


def _line(text: str) -> str:
    """A text on one line: a line's end is where a translation ends."""
    return " ".join(text.split())
