"""Benchmarks: rows of a data set become questions with options and one right answer.

To add a benchmark, add an entry to BENCHMARKS: the columns it needs, where the id comes from, how
a row becomes a question, its prompts (the first is the default); and its address in addresses.py.
A folder of the user's below the data root is one as well, with the columns of OWN.
Names that begin with `harness/` are tasks of lm-evaluation-harness (harness.py).
Item ids are the same in every language.
"""

from collections.abc import Callable
from dataclasses import replace

from studies import harness, prompts, row_parsers, rows
from studies.items import Benchmark, Borrowed, ParsedRow, asked
from studies.prompt_options import Asking
from studies.prompts import USUAL, Prompt
from studies.row_parsers import RawQuestion
from studies.rows import Source
from studies.texts import ChoiceItem, ChoiceSet
from studies.values import meant, unknown


def languages(benchmark: str, *, source: Source) -> tuple[str, ...]:
    """All languages a benchmark has where `source` looks, sorted."""
    if benchmark.startswith(harness.PREFIX):
        return harness.languages(benchmark, source=source)
    _entry(benchmark, source=source)
    return rows.languages(benchmark, source=source)


def load(
    benchmark: str,
    *,
    language: str,
    source: Source,
    limit: int | None = None,
    prompt: str | None = None,
    asking: Asking = USUAL,
    change: Callable[[str, RawQuestion], RawQuestion] | None = None,
) -> ChoiceSet:
    """The items of a benchmark in one language, as contexts and options.

    Args:
        limit: look at the first rows only; None looks at all.
        prompt: the name of one of the benchmark's prompts; None is its default.
        asking: how the prompt is put; every switch must have an effect on it.
        change: what is made of each question, by its id, before it is put in the prompt.

    Raises:
        ValueError: the benchmark is generated or unknown, a switch is without effect, or a row
            makes no item.
    """
    if benchmark.startswith(harness.PREFIX):
        if asking != USUAL:
            raise ValueError(
                f"{benchmark} is asked in lm-evaluation-harness's own way, not as "
                f"{asking.named(prompt or 'usual')!r}: leave those switches out, or name the "
                f"benchmark without {harness.PREFIX}"
            )
        return harness.load(benchmark, language=language, source=source, limit=limit, prompt=prompt)
    entry = _with_options(benchmark, source=source)
    name = prompt or next(iter(entry.prompts))
    plain = template_of(benchmark, prompt=name, source=source)
    template = prompts.switched(plain, name=name, asking=asking)
    found = asked(benchmark, entry, language=language, source=source, limit=limit)
    if change is not None:
        found = [replace(each, question=change(each.id, each.question)) for each in found]
    return ChoiceSet(
        benchmark=benchmark,
        language=language,
        prompt=asking.named(name),
        items=tuple(_item(each, template=template, language=language) for each in found),
        normalise=template.normalise,
        commit=found[0].commit,
        variants=template.variants,
        chat=asking.chat,
    )


def raw_questions(
    benchmark: str, *, language: str, source: Source, limit: int | None = None
) -> dict[str, RawQuestion]:
    """What the items of `load` ask and offer, before any prompt, by id.

    Raises:
        ValueError: the benchmark is of lm-evaluation-harness, generated or unknown, or a row makes
            no item.
    """
    if benchmark.startswith(harness.PREFIX):
        raise ValueError(
            f"{benchmark} shows questions and options in lm-evaluation-harness's own templates "
            f"alone: name the benchmark without {harness.PREFIX}"
        )
    entry = _with_options(benchmark, source=source)
    found = asked(benchmark, entry, language=language, source=source, limit=limit)
    return {each.id: _checked(each) for each in found}


def template_of(benchmark: str, *, prompt: str, source: Source) -> Prompt:
    """One of a benchmark's prompts, by its name.

    Raises:
        ValueError: it has no such prompt, or is generated or unknown.
    """
    templates = _with_options(benchmark, source=source).prompts
    if prompt not in templates:
        known = ", ".join(templates) + meant(prompt, templates)
        raise ValueError(f"{benchmark} has no prompt {prompt!r}: expected one of {known}")
    return templates[prompt]


def text_prompt(benchmark: str, *, source: Source) -> str:
    """The name of the first prompt of a benchmark whose options are texts.

    Raises:
        ValueError: it has none, or is generated or unknown.
    """
    entry = _with_options(benchmark, source=source)
    found = [name for name, prompt in entry.prompts.items() if not prompt.symbolic]
    if not found:
        raise ValueError(
            f"{benchmark} has no prompt whose options are texts, only {', '.join(entry.prompts)}: "
            "choose another benchmark"
        )
    return found[0]


def symbol_prompt(benchmark: str, *, source: Source) -> str | None:
    """The name of the first prompt whose options are letters or digits, None without one."""
    entry = _with_options(benchmark, source=source)
    return next((name for name, prompt in entry.prompts.items() if prompt.symbolic), None)


def open_questions(
    benchmark: str, *, language: str, source: Source, limit: int | None = None
) -> list[ParsedRow]:
    """The questions of a benchmark that is answered by writing; options are the right answers.

    Raises:
        ValueError: the benchmark is answered by choosing or unknown, or a row makes no question.
    """
    entry = _entry(benchmark, source=source)
    if not entry.generated:
        raise ValueError(f"{benchmark} is answered by choosing, not by generating text: use load()")
    return asked(benchmark, entry, language=language, source=source, limit=limit)


def _item(asked: ParsedRow, *, template: Prompt, language: str) -> ChoiceItem:
    """One item under one prompt."""
    found = _checked(asked)
    try:
        shown = prompts.render(
            template, fields=found.fields, options=found.options, language=language
        )
    except ValueError as error:
        raise ValueError(f"{asked.where}: {error}") from error
    return ChoiceItem(id=asked.id, context=shown.context, options=shown.options, gold=found.gold)


def _checked(asked: ParsedRow) -> RawQuestion:
    """What a row asks, if that can be answered by choosing, whatever the benchmark."""
    found = asked.question
    if len(found.options) < 2:
        raise ValueError(f"{asked.where}: {len(found.options)} options, expected at least 2")
    for number, option in enumerate(found.options, start=1):
        if not option.strip():
            raise ValueError(f"{asked.where}: option {number} is empty, expected a text")
    if not 0 <= found.gold < len(found.options):
        raise ValueError(
            f"{asked.where}: the right answer is option {found.gold + 1}, "
            f"but there are {len(found.options)}"
        )
    return found


def _with_options(benchmark: str, *, source: Source) -> Benchmark:
    entry = _entry(benchmark, source=source)
    if entry.generated:
        raise ValueError(
            f"{benchmark} is answered by generating text, not by choosing: "
            "choose a benchmark with options"
        )
    return entry


def _entry(benchmark: str, *, source: Source) -> Benchmark:
    if benchmark in BENCHMARKS:
        return BENCHMARKS[benchmark]
    if rows.is_own(benchmark, source=source):
        return OWN
    raise unknown(
        "benchmark",
        benchmark,
        known=BENCHMARKS,
        others=f", {harness.PREFIX}TASK, or a folder below --data-root (docs/own-benchmark.md)",
    )


READING = Benchmark(
    columns=row_parsers.READING,
    ids=(("id",), ("link", "question_number")),
    read=row_parsers.reading,
    prompts=prompts.READING,
)
KNOWLEDGE = Benchmark(
    columns=row_parsers.INSTRUCTION, read=row_parsers.instruction, prompts=prompts.KNOWLEDGE
)
SUBJECTS = replace(
    KNOWLEDGE,
    columns=row_parsers.QUESTION,
    ids=(("sample_id",), ("id",)),
    read=row_parsers.question,
)
STORY = Benchmark(
    columns=row_parsers.STORY,
    ids=(("story_id",), ("id",)),
    read=row_parsers.story,
    prompts=prompts.STORY,
)
INFERENCE = Benchmark(
    columns=row_parsers.INFERENCE, read=row_parsers.inference, prompts=prompts.INFERENCE
)
FACTS = Benchmark(columns=row_parsers.FACTS, read=row_parsers.fact, prompts=prompts.WHOLE_SENTENCE)
SPANS = Benchmark(columns=row_parsers.SPANS, read=row_parsers.span, prompts={}, generated=True)

# What a folder of the user's holds.
OWN = Benchmark(columns=row_parsers.OWN, read=row_parsers.own, prompts=prompts.KNOWLEDGE)

BENCHMARKS: dict[str, Benchmark] = {
    "belebele": READING,
    "belebele_seahelm": READING,
    "global_mmlu_lite": SUBJECTS,
    "m_arc": replace(KNOWLEDGE, columns=row_parsers.SCIENCE, prompts=prompts.SCIENCE),
    "m_hellaswag": Benchmark(
        columns=row_parsers.ENDING,
        ids=(("id",), ("ind",)),  # not source_id: three languages have one and the same in all rows
        read=row_parsers.ending,
        prompts=prompts.ENDING,
    ),
    "m_mmlu": KNOWLEDGE,
    "mmmlu": replace(KNOWLEDGE, columns=row_parsers.EXAM, ids=(), read=row_parsers.exam),
    "xcopa": Benchmark(
        columns=row_parsers.CAUSE_OR_EFFECT,
        ids=(("idx",), ("id",)),
        read=row_parsers.cause_or_effect,
        prompts=prompts.CAUSE_OR_EFFECT,
        # Thai says "effect" in all rows; the others disagree with COPA in 4 to 51 of 500.
        borrowed=Borrowed(
            column="question",
            into="question_en",
            language="est_Latn",
            wrong_in=("tha_Thai", "tur_Latn", "swh_Latn", "ind_Latn", "ita_Latn"),
        ),
    ),
    "xstorycloze": STORY,
    "xnli": INFERENCE,
    "xnli_train": INFERENCE,
    "xquad": SPANS,
    "bmlama17": FACTS,
    "bmlama53": FACTS,
    "mgsm": Benchmark(
        columns=row_parsers.ARITHMETIC, read=row_parsers.arithmetic, prompts={}, generated=True
    ),
    "mini_belebele": READING,
    "mini_mmlu": SUBJECTS,
    "mini_xnli": INFERENCE,
    "mini_xnli_train": INFERENCE,
    "mini_xstorycloze": STORY,
    "mini_xquad": SPANS,
}
