"""Load a model's tokenizer, and hold its ids against those of its own tokenizer.json.

Transformers chooses a class by model type, and many classes build the tokenizer anew from its
vocabulary, with a normaliser, pre-tokenizer or ends of their own: other ids than the model was
trained on, without a word. So every class is compared with the file, on texts that reach every part
of a tokenizer.
"""

import sys
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from actors.errors import out_of_memory
from studies.models.files import SENTENCEPIECE, TOKENIZER
from studies.models.tokenizer import read_tokenizer
from studies.spec import ModelFacts

# What a normaliser, a pre-tokenizer, a model or a decoder may treat in a way of its own. Prompts
# of the project end in "Answer:" or a line break, and continuations begin with a space or not.
TEXTS = (
    *("", " ", "  ", "\n", "\n\n", "\t", "\r\n", " \n ", "a", " a", "  a", "a ", "a  ", "\na"),
    *("A", " A", "Answer:", "Answer: A", "Answer:\nA", "assistant\n", "assistant\nA", " yes"),
    *("Anna has 12 cats, doesn't she?", "Anna ist zu Hause.", "ANNA Anna aNNA", "  two   three  "),
    *("0", "12", "123", "1234567890", " 42", "3.14", "1,000,000", "2024-07-26", "1st x2y"),
    *("I'm we've they'LL DON'T O'Neil 'S", "it’s ‘so’", "a_b c-d e.f", "?!... --- ((<>)) {{}}"),
    *("def f(x):\n\treturn x+=1  # ok\n\n\n    end", "https://a.b/c?d=e&f#g", "a@b.cd", "$5 €5 5%"),
    *("À é ÎÕÜ ñ ç ß ẞ İ ı ſ", "A\u0300 e\u0301 n\u0303 c\u0327", "ﬁ ﬂ ① ２ Ａ ﷺ ㍿ ½ ² …"),
    *("Анна ест рыбу.", "सारा घर पर है। ज़ क्ष्म", "安娜吃鱼。", "「猫」がいる", "แอนนากินปลา"),
    *("تأكل آنا السَّمَك ١٢٣", "אַנָּה אוֹכֶלֶת", "한국어 \u1112\u1161\u11ab", "অ্যানা খায়", "ఆన్నా"),
    *("1٢3४5", "a\u200bb\u200cc\u200dd\ufeffe", "a\u00a0b\u3000c\u2009d\u2028e", "\u202eabc\u202c"),
    *("👩‍👩‍👧‍👦 👍🏽 🇩🇪 ❤️", "𝐀𝒃 𒀀 𓂀", "\ue000 \ufffd \U000f0000", "\x00\x07\x1b\x7f"),
    *("▁a ▁ Ġa Ċ ##a a@@ </w>", "<s> </s> <unk> <pad> [CLS] [MASK]", "<0x41> <|x|> <a> [INST]"),
)
# Long runs of one thing.
RUNS = ("a", "ab ", " ", "\n", "0", "é", "猫", "👍", "!", "\u0301", "<s>")
RUN = 120
# Every so many characters of Unicode, and pieces of a vocabulary at most.
STEP, PIECES = 29, 2000
SHOWN = 40

Encode = Callable[..., list[int]]


class Loaded(NamedTuple):
    """A tokenizer, and what should be known of it."""

    tokenizer: PreTrainedTokenizerBase
    notes: tuple[str, ...] = ()


class _Difference(NamedTuple):
    """A text that two ways of tokenising do not treat alike, and what each makes of it."""

    text: str
    found: str
    expected: str


def load_tokenizer(facts: ModelFacts, *, folder: str) -> Loaded:
    """The tokenizer that transformers chooses, or its file where the two differ.

    A setting of tokenizer_config.json, such as another token or a BOS, adds to the file.

    Raises:
        ValueError: a file of it cannot be read.
    """
    path = Path(folder) / TOKENIZER
    file = read_tokenizer(path) if path.is_file() else None
    try:
        chosen: PreTrainedTokenizerBase | None = AutoTokenizer.from_pretrained(
            folder, local_files_only=True, trust_remote_code=facts.trust_remote_code
        )
        name = type(chosen).__name__
    except (ImportError, OSError, ValueError):
        raise
    except Exception as error:  # a class may fail in any way on the vocabulary of another kind
        if file is None or out_of_memory(error):
            raise
        chosen, name = None, f"the class that transformers chooses ({type(error).__name__})"
    if file is None:
        assert chosen is not None
        return Loaded(chosen, tuple(_without_file(chosen, Path(folder), of=facts.label)))
    difference = None if chosen is None else _difference(chosen, file)
    if chosen is not None and difference is None:
        return Loaded(chosen)
    read = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
    said = []
    if added := _difference(read, file):
        said.append(f"tokenizer_config.json adds to {TOKENIZER}: {_said(added)}")
        difference = None if chosen is None else _first(read, chosen)
    if chosen is None:
        said.append(f"{TOKENIZER} is read, as {name} does not open it")
    elif difference:
        said.append(f"{TOKENIZER} is read, as {name} does otherwise: {_said(difference)}")
    use = chosen if chosen is not None and difference is None else read
    return Loaded(use, (f"tokenizer of {facts.label}: {'; '.join(said)}",))


def probes(file: Tokenizer, added: Iterable[str] = ()) -> Iterator[str]:
    """Texts that reach every part of a tokenizer, short ones first.

    Args:
        file: the tokenizer, whose vocabulary and added tokens are among the texts.
        added: more added tokens.
    """
    yield from TEXTS
    own = [token.content for token in file.get_added_tokens_decoder().values()]
    tokens = list(dict.fromkeys([*own, *added]))
    for form in ("{}", "a{}b", "a {} b", "a  {}{}  b", "A\n{}\nB"):
        yield from (form.replace("{}", token) for token in tokens[:8])
        yield "".join(form.replace("{}", token) for token in tokens)
    # An added token that is no special one may match in other case, or after a normaliser.
    yield " ".join(tokens).upper() + " ".join(tokens).title()
    yield from (one * RUN for one in RUNS)
    characters = list(_characters())
    yield "".join(characters)
    yield "a".join(characters)
    yield " ".join(unicodedata.normalize("NFD", "".join(characters)))
    size = file.get_vocab_size(with_added_tokens=False)
    pieces = file.decode_batch([[one] for one in range(0, size, max(1, size // PIECES))])
    yield "".join(pieces)
    yield " ".join(pieces)


def _difference(tokenizer: PreTrainedTokenizerBase, file: Tokenizer) -> _Difference | None:
    """The first text that a tokenizer and a file do not treat alike: tokens, ends, or what is read
    from the tokens again."""

    def encode(text: str, pair: str | None = None, *, ends: bool) -> list[int]:
        return list(file.encode(text, pair, add_special_tokens=ends).ids)

    def decode(ids: list[int]) -> str:
        return str(file.decode(ids, skip_special_tokens=False))

    return _compare(tokenizer, encode, decode, probes(file, tokenizer.get_added_vocab()))


def _first(
    tokenizer: PreTrainedTokenizerFast, other: PreTrainedTokenizerBase
) -> _Difference | None:
    """The first text that two tokenizers of transformers do not treat alike."""
    file = tokenizer.backend_tokenizer
    return _compare(other, _encode(tokenizer), _decode(tokenizer), probes(file))


def _compare(
    tokenizer: PreTrainedTokenizerBase,
    encode: Encode,
    decode: Callable[[list[int]], str],
    texts: Iterable[str],
) -> _Difference | None:
    own, own_text = _encode(tokenizer), _decode(tokenizer)
    before = "a b"
    for text in texts:
        for pair, ends in ((None, False), (None, True), (text, True))[: 3 if text else 2]:
            one = text if pair is None else before
            expected = encode(one, pair, ends=ends)
            try:
                found = own(one, pair, ends=ends)
            except Exception as error:  # a class of any make may refuse a text
                if out_of_memory(error):
                    raise
                return _Difference(text, f"{type(error).__name__}", str(expected))
            if found != expected:
                return _Difference(text, *_apart(found, expected))
            if not ends and (read := own_text(found)) != (right := decode(expected)):
                return _Difference(text, *_apart(read, right))
    return None


def _encode(tokenizer: PreTrainedTokenizerBase) -> Encode:
    def encode(text: str, pair: str | None = None, *, ends: bool) -> list[int]:
        found = tokenizer(text, text_pair=pair, add_special_tokens=ends, verbose=False)
        return list(found["input_ids"])

    return encode


def _decode(tokenizer: PreTrainedTokenizerBase) -> Callable[[list[int]], str]:
    def decode(ids: list[int]) -> str:
        return str(
            tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        )

    return decode


def _apart(found: list[int] | str, expected: list[int] | str) -> tuple[str, str]:
    """Both from where they part, a few signs or ids of each."""
    pairs = enumerate(zip(found, expected, strict=False))
    start = next(
        (place for place, (one, other) in pairs if one != other), min(len(found), len(expected))
    )
    start = max(0, start - 2)
    before = "... " if start else ""
    return f"{before}{found[start : start + 6]!r}", f"{before}{expected[start : start + 6]!r}"


def _said(difference: _Difference) -> str:
    text = difference.text
    shown = text if len(text) <= SHOWN else f"{text[:SHOWN]}..."
    return f"{shown!r} gives {difference.found}, not {difference.expected}"


def _characters() -> Iterator[str]:
    """Every `STEP`th character of Unicode that is assigned, and all of the first two blocks."""
    for place in (*range(0x20, 0x100), *range(0x100, sys.maxunicode, STEP)):
        if unicodedata.category(one := chr(place)) not in ("Cn", "Cs", "Co"):
            yield one


def _without_file(tokenizer: PreTrainedTokenizerBase, folder: Path, *, of: str) -> Iterator[str]:
    """What can be said of a tokenizer that has no tokenizer.json."""
    model, name = folder / SENTENCEPIECE, type(tokenizer).__name__
    pieces = _pieces(model) if model.is_file() else None
    if pieces is None:
        yield (
            f"tokenizer of {of}: it has no {TOKENIZER}, and its ids cannot be held against "
            f"anything: they are those that {name} builds from the files"
        )
        return
    texts = [text for text in TEXTS if "<" not in text and "[" not in text]
    for text in texts:
        ids = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        found, expected = list(tokenizer.convert_ids_to_tokens(ids)), pieces(text)
        if found != expected:
            difference = _Difference(text, *map(str, (found[:6], expected[:6])))
            yield f"tokenizer of {of}: {name} does otherwise than {model.name}: {_said(difference)}"
            return


def _pieces(model: Path) -> Callable[[str], list[str]] | None:
    """What sentencepiece makes of a text; None without that package, or for another file."""
    try:
        from sentencepiece import SentencePieceProcessor

        processor = SentencePieceProcessor(model_file=str(model))
    except (ImportError, OSError, RuntimeError):
        return None
    return lambda text: list(processor.encode(text, out_type=str))
