"""What is written: a benchmark's questions, or sentences to translate, as prompts with references.

Examples shown before a question are the data set's own first items, which are not asked again.
"""

from dataclasses import replace

from studies import benchmarks, parallel_text, translation
from studies import open_prompts as prompts
from studies.benchmarks import BENCHMARKS
from studies.items import ParsedRow
from studies.open_prompts import OPEN, OpenPrompt
from studies.parallel_text import PARALLEL_TEXTS
from studies.prompt_options import Asking
from studies.prompts import USUAL
from studies.rows import Source
from studies.texts import GREEDY, Bitext, GenerationItem, GenerationSet, Sampling
from studies.values import meant, unknown


def check(benchmark: str) -> None:
    """Whether a benchmark is answered by writing.

    Raises:
        ValueError: it is not, or there is none of that name.
    """
    if benchmark in OPEN:
        return
    known = ", ".join(OPEN)
    if benchmark in PARALLEL_TEXTS:
        raise ValueError(
            f"{benchmark} is parallel text, to be translated: name it with --parallel, or a "
            f"benchmark answered by writing ({known})"
        )
    if benchmark in BENCHMARKS or benchmark.startswith("harness/"):
        raise ValueError(
            f"{benchmark} is answered by choosing, not by writing: expected one of {known}, or "
            f"another study, such as: babelscope run latent-process --benchmark {benchmark}"
        )
    raise unknown("benchmark", benchmark, known=OPEN)


def question_set(
    benchmark: str,
    *,
    language: str,
    source: Source,
    limit: int | None = None,
    prompt: str | None = None,
    shots: int = 0,
) -> GenerationSet:
    """The questions of a benchmark in one language, with the usual ends of its prompt.

    Args:
        limit: ask so many of the first rows; None asks all.
        prompt: the name of one of the benchmark's open prompts; None is its default.
        shots: how many examples stand in every prompt.

    Raises:
        ValueError: there is no such benchmark or prompt, or no question is left to ask.
    """
    check(benchmark)
    known = OPEN[benchmark]
    name = prompt or next(iter(known))
    if name not in known:
        raise ValueError(
            f"{benchmark} has no prompt {name!r} to be answered by writing: expected one of "
            f"{', '.join(known)}{meant(name, known)}"
        )
    form = known[name]
    found = benchmarks.open_questions(
        benchmark,
        language=language,
        source=source,
        limit=None if limit is None else limit + shots,
    )
    if len(found) <= shots:
        raise ValueError(
            f"{benchmark} {language}: {len(found)} questions with {shots} of them as "
            "examples leave none to ask; ask for more questions or fewer examples"
        )
    shown = "".join(_example(form, one, language=language) for one in found[:shots])
    words = prompts.question_words(form, language=language)
    return GenerationSet(
        benchmark=benchmark,
        language=language,
        prompt=f"{name}, {shots}-shot",
        items=tuple(_item(form, one, language=language, shown=shown) for one in found[shots:]),
        max_new_tokens=form.max_new_tokens,
        stop=tuple(end.format(**words) for end in form.stop),
        commit=found[0].commit,
        task=form.task,
    )


def translation_set(
    dataset: str,
    *,
    language: str,
    pivot: str,
    source: Source,
    limit: int | None = None,
    shots: int = translation.SHOTS,
) -> GenerationSet:
    """Sentences of parallel text to be translated from `pivot` into `language`.

    Where every sentence is paired with one language alone, that may be either side.

    Raises:
        ValueError: the two are not parallel, or no pair is left to translate.
    """
    pairs = None if limit is None else limit + shots
    only = PARALLEL_TEXTS[dataset].pivot if dataset in PARALLEL_TEXTS else None
    if only is not None and language == only != pivot:
        bitext = parallel_text.load(dataset, language=pivot, pivot=only, pairs=pairs, source=source)
        bitext = _swapped(bitext)
    else:
        bitext = parallel_text.load(
            dataset, language=language, pivot=pivot, pairs=pairs, source=source
        )
    return translation.translations(bitext, shots=shots)


def as_asked(
    usual: GenerationSet,
    *,
    asking: Asking = USUAL,
    max_new_tokens: int | None = None,
    stop: tuple[str, ...] | None = None,
    sampling: Sampling = GREEDY,
) -> GenerationSet:
    """The set with its usual ends, way of drawing and way of asking replaced where asked for.

    Raises:
        ValueError: an end that no text reaches, or a switch without effect.
    """
    prompts.refuse_unwritten(asking)
    if max_new_tokens is not None and max_new_tokens < 1:
        raise ValueError(f"max_new_tokens is {max_new_tokens}: expected at least 1")
    if stop is not None and "" in stop:
        raise ValueError("a stop is empty, where every text would end at once: leave it out")
    return replace(
        usual,
        prompt=asking.named(usual.prompt),
        max_new_tokens=max_new_tokens or usual.max_new_tokens,
        stop=usual.stop if stop is None else stop,
        sampling=sampling,
        chat=asking.chat,
    )


def _example(form: OpenPrompt, one: ParsedRow, *, language: str) -> str:
    filled = prompts.put(form, language=language, fields=one.question.fields)
    return filled.prompt + form.answer.format(answer=one.question.options[0]) + "\n\n"


def _item(form: OpenPrompt, one: ParsedRow, *, language: str, shown: str) -> GenerationItem:
    filled = prompts.put(form, language=language, fields=one.question.fields)
    place = filled.context
    return GenerationItem(
        id=one.id,
        prompt=shown + filled.prompt,
        references=one.question.options,
        context=(place[0] + len(shown), place[1] + len(shown)) if place else None,
    )


def _swapped(bitext: Bitext) -> Bitext:
    """The same pairs, seen from the other side."""
    return replace(
        bitext,
        language=bitext.pivot,
        pivot=bitext.language,
        texts=bitext.pivot_texts,
        pivot_texts=bitext.texts,
    )
