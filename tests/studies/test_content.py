"""Contents of several languages: each bears identity, and what all have in common is theirs."""

from dataclasses import replace

from studies.content import Together
from studies.samples import Samples
from studies.texts import Bitext
from tests.makers.planted_neurons import samples


def test_every_language_bears_identity() -> None:
    parts = tuple(samples())
    one = Together(parts=parts)
    assert one.fingerprint == Together(parts=tuple(samples())).fingerprint
    changed = {one.fingerprint}
    for place, part in enumerate(parts):
        other = replace(part, texts=(f"{part.texts[0]}!", *part.texts[1:]))
        changed.add(Together(parts=(*parts[:place], other, *parts[place + 1 :])).fingerprint)
    changed.add(Together(parts=parts[::-1]).fingerprint)
    changed.add(Together(parts=parts[1:]).fingerprint)
    assert len(changed) == len(parts) + 3


def test_texts_of_all_of_them_are_read() -> None:
    parts = tuple(samples())
    one: Together[Samples] = Together(parts=parts)
    assert list(one.inputs()) == [text for part in parts for text in part.texts]
    assert one.characters == sum(map(len, one.inputs()))
    assert one.contents == parts and one.language == "all"
    assert one.dataset_name == "letters" and one.pivot is None and one.chat is None


def test_a_pivot_is_that_of_all_of_them() -> None:
    parts = tuple(
        Bitext(
            dataset="mine", language=language, pivot="eng_Latn", ids=("1",), pivot_texts=("a",),
            texts=("b",),
        )
        for language in ("deu_Latn", "rus_Cyrl")
    )  # fmt: skip
    one: Together[Bitext] = Together(parts=parts)
    assert one.pivot == "eng_Latn" and one.dataset_name == "mine"
