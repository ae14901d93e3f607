"""The flags that the commands share, declared once; the same words as columns and records."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Annotated, Any

import typer

from studies import options as opt
from studies.options import Options
from studies.rows import Source

STUDY = "What is asked"
WHERE = "Where and how"

Many = list[str] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the flags say: the study's options, and everything that bears no identity."""

    options: Options
    source: Source
    out: Path | None
    cluster: str
    device: str
    workers: int | None
    allow_truncation: bool
    retry_errors: bool


def _help(text: str, panel: str, *names: str) -> Any:
    """One flag."""
    return typer.Option(*names, help=text, rich_help_panel=panel, show_default=False)


def request(
    *,
    model: Annotated[
        Many,
        _help("Model: folder or hub id, ID or ID@REVISION. Repeatable.", STUDY, "--model", "-m"),
    ] = None,
    language: Annotated[
        Many, _help("Language such as deu_Latn; repeatable or a,b,c; or all.", STUDY)
    ] = None,
    benchmark: Annotated[
        Many, _help("Benchmark such as belebele; repeatable or a,b,c.", STUDY)
    ] = None,
    measure: Annotated[
        Many, _help("mexa, nasca, navca, cka, svcca, anc (default: all).", STUDY)
    ] = None,
    pooling: Annotated[Many, _help("weighted, average, last (default: all).", STUDY)] = None,
    layer: Annotated[Many, _help("Layer: 0 embeddings, 1..L blocks (default: all).", STUDY)] = None,
    parallel: Annotated[
        Many, _help("Parallel text (default: flores200). Repeatable.", STUDY)
    ] = None,
    pairs: Annotated[str | None, _help("Sentence pairs, or all (default: 100).", STUDY)] = None,
    pivot: Annotated[
        Many, _help("Language to compare with (default: eng_Latn). Repeatable.", STUDY)
    ] = None,
    pair: Annotated[
        Many, _help("Two languages to compare, such as deu_Latn:fra_Latn. Repeatable.", STUDY)
    ] = None,
    part: Annotated[
        Many, _help("Part of the study, such as scores, retrieval, robustness.", STUDY)
    ] = None,
    paper: Annotated[
        bool, _help("All that the paper shows, where other flags leave it open.", STUDY, "--paper")
    ] = False,
    limit: Annotated[
        int | None, _help("Only the first items of each benchmark (default: all).", STUDY)
    ] = None,
    prompt: Annotated[
        str | None,
        _help("Prompt of the benchmarks: letter, cloze, latent (default: each its own).", STUDY),
    ] = None,
    coefficient: Annotated[
        Many,
        _help(
            "How far to steer; repeatable or a,b,c, negative ones as --coefficient=-2 "
            "(default: 11 from -4 to 4).",
            STUDY,
        ),
    ] = None,
    control: Annotated[
        Many,
        _help(
            "Control of steering: random, wrong_language, wrong_dataset, orthogonal, halves "
            "(default: all that apply).",
            STUDY,
        ),
    ] = None,
    sample: Annotated[
        int | None, _help("Questions drawn for vectors and pictures (default: 50).", STUDY)
    ] = None,
    seed: Annotated[
        Many, _help("Seed of that draw; several show its spread (default: 0).", STUDY)
    ] = None,
    fewshot: Annotated[
        int | None,
        _help(
            "Examples before each prompt (default: harness/... 5, translation 4, else 0).", STUDY
        ),
    ] = None,
    finetune: Annotated[
        Many, _help("How to fine-tune, NAME=VALUE: rank, epochs, examples ...", STUDY)
    ] = None,
    switch: Annotated[
        Many, _help("A reading left open by the papers, NAME=VALUE. Repeatable.", STUDY)
    ] = None,
    prompts: Annotated[
        str | None, _help("Prompts of your own: FILE.jsonl (id, prompt) or FILE.txt.", STUDY)
    ] = None,
    temperature: Annotated[
        float | None, _help("How texts are drawn; 0: the most probable (default).", STUDY)
    ] = None,
    top_p: Annotated[
        float | None, _help("Draw from the most probable tokens that reach this.", STUDY, "--top-p")
    ] = None,
    n: Annotated[
        int | None, _help("Texts drawn for every prompt (default: 1).", STUDY, "--n")
    ] = None,
    max_new_tokens: Annotated[
        int | None,
        _help("Tokens of a text at most (default: the prompt's).", STUDY, "--max-new-tokens"),
    ] = None,
    stop: Annotated[
        Many,
        _help("What ends a text: newline, none, or a text (default: the prompt's).", STUDY),
    ] = None,
    dtype: Annotated[
        str | None, _help("float32, bfloat16, float16 (default: float32).", STUDY)
    ] = None,
    quantise: Annotated[
        str | None, _help("8bit or 4bit: pack the weights of linear layers.", STUDY)
    ] = None,
    adapter: Annotated[
        str | None, _help("LoRA or its kin for the one --model: folder or hub id.", STUDY)
    ] = None,
    engine: Annotated[
        str | None,
        _help("What writes: hf, vllm, or auto: vllm where it can (default: auto).", WHERE),
    ] = None,
    data_root: Annotated[
        Path | None,
        _help("Read DIR/<benchmark>/<language>.jsonl, not the hub.", WHERE, "--data-root"),
    ] = None,
    out: Annotated[
        Path | None, _help("Folder of the run, or s3://bucket/run (default: runs/RECIPE).", WHERE)
    ] = None,
    cluster: Annotated[
        str,
        _help(
            "inline (this process), local (Ray here), auto (the Ray that runs), host:port or "
            "ray://host:port (default: local).",
            WHERE,
        ),
    ] = "local",
    device: Annotated[
        str, _help("auto, cpu, cuda, cuda:1, spread (default: auto).", WHERE)
    ] = "auto",
    workers: Annotated[
        int | None, _help("Processes at work at most (default: as GPUs or cores allow).", WHERE)
    ] = None,
    allow_truncation: Annotated[
        bool, _help("Cut texts that exceed the model's context.", WHERE, "--allow-truncation")
    ] = False,
    retry_errors: Annotated[
        bool, _help("Compute cells again that failed before.", WHERE, "--retry-errors")
    ] = False,
    trust_remote_code: Annotated[
        bool, _help("Run the model's own Python code.", WHERE, "--trust-remote-code")
    ] = False,
) -> Request:
    """Everything the flags say, checked as far as no file is needed."""
    if limit is not None and limit < 1:
        raise ValueError(f"--limit {limit}: expected a whole number from 1")
    if fewshot is not None and fewshot < 0:
        raise ValueError(f"--fewshot {fewshot}: expected a whole number from 0")
    if sample is not None and sample < 2:
        raise ValueError(f"--sample {sample}: expected a whole number from 2")
    if max_new_tokens is not None and max_new_tokens < 1:
        raise ValueError(f"--max-new-tokens {max_new_tokens}: expected a whole number from 1")
    if workers is not None and workers < 1:
        raise ValueError(f"--workers {workers}: expected a whole number from 1")
    chosen = opt.switches(_flat(switch))
    options = Options(
        models=_flat(model),
        languages=_flat(language),
        benchmarks=_flat(benchmark),
        measures=_flat(measure),
        poolings=_flat(pooling),
        layers=tuple(_whole(name, "--layer", least=0) for name in _flat(layer)),
        parallels=_flat(parallel),
        pairs=None if pairs in (None, "all") else _whole(str(pairs), "--pairs", least=2),
        all_pairs=pairs == "all",
        pivots=_flat(pivot),
        language_pairs=tuple(_two(name) for name in _flat(pair)),
        parts=_flat(part),
        paper=paper,
        limit=limit,
        prompt=prompt,
        coefficients=tuple(map(_number, _flat(coefficient))),
        controls=_flat(control),
        seeds=tuple(_whole(name, "--seed", least=0) for name in _flat(seed)),
        sample=sample,
        fewshot=fewshot,
        how=opt.fine_tuning(_flat(finetune)),
        dtype=dtype,
        switches=chosen.switches,
        asking=chosen.asking,
        lens=chosen.lens,
        steering=chosen.steering,
        trust_remote_code=trust_remote_code,
        adapter=adapter,
        quantise=quantise,
        prompts=prompts,
        engine=engine,
        temperature=temperature,
        top_p=top_p,
        n=n,
        max_new_tokens=max_new_tokens,
        stop=tuple(dict.fromkeys(stop or ())),
    )
    return Request(
        options=options,
        source=Source(data_root=data_root),
        out=out,
        cluster=cluster,
        device=device,
        workers=workers,
        allow_truncation=allow_truncation,
        retry_errors=retry_errors,
    )


def recorded(words: list[str]) -> tuple[str, Request]:
    """The recipe and the request of the command that made a run, from its words.

    Raises:
        ValueError: it is not a command of this version that makes runs.
    """
    from orchestrator.__main__ import app

    command = typer.main.get_command(app)
    own = getattr(command, "commands", {}).get(words[0])
    try:
        # What the parser raises has no name that all versions of typer share.
        assert own is not None and words[0] in ("run", "demo")
        values = own.make_context(words[0], words[1:]).params
    except Exception as error:
        raise ValueError(
            f"the run's command {' '.join(words)!r} is not one of this version, so its texts "
            "cannot be read again"
        ) from error
    asked = request(**{name: values[name] for name in inspect.signature(request).parameters})
    return str(values.get("recipe_name") or words[0]), asked


def with_request(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the shared flags; it receives them as one `Request`."""
    shared = inspect.signature(request, eval_str=True).parameters
    own = inspect.signature(command, eval_str=True).parameters

    def wrapped(**values: Any) -> None:
        asked = request(**{name: values.pop(name) for name in shared})
        command(asked, **values)

    first, *rest = own.values()
    assert first.name == "asked"
    parameters = [*rest, *shared.values()]
    keyword = inspect.Parameter.KEYWORD_ONLY
    wrapped.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [parameter.replace(kind=keyword) for parameter in parameters]
    )
    wrapped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    wrapped.__name__, wrapped.__doc__ = command.__name__, command.__doc__
    return wrapped


def _flat(values: Iterable[str] | None) -> tuple[str, ...]:
    """Repeated and comma-separated values as one tuple, each once."""
    parts = (part.strip() for value in values or () for part in value.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _two(text: str) -> tuple[str, str]:
    """Two languages."""
    first, colon, second = text.partition(":")
    if not (first and colon and second) or first == second:
        raise ValueError(f"--pair {text}: expected two languages, such as deu_Latn:fra_Latn")
    return first, second


def _number(text: str) -> float:
    """A coefficient."""
    try:
        value = float(text)
    except ValueError:
        value = nan
    if not isfinite(value):
        raise ValueError(f"--coefficient {text}: expected a number such as 2 or -0.5")
    return value


def _whole(text: str, flag: str, *, least: int) -> int:
    """A whole number from `least`."""
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{flag} {text}: expected a whole number from {least}")
    return int(text)
