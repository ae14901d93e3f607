"""The flags that the commands share, declared once; the same words as columns and records."""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperCommand

from studies import languages
from studies import options as opt
from studies.options import Options
from studies.rows import Source
from studies.values import blank, listed, number, once, parsed, paths_listed, whole

STUDY = "What is asked"
WHERE = "Where and how"
ODD_WEIGHTS = "Take weights that the architecture has no place for, or that are all zero."

Many = list[str] | None

# Flags whose value is a text, in which spaces and line breaks say something.
TEXTS = ("--stop",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What the flags say: the study's options, and everything that bears no identity."""

    options: Options
    source: Source
    out: str | None
    cluster: str
    device: str
    workers: int | None
    allow_truncation: bool
    retry_errors: bool
    verify: bool
    skip_bad_models: bool


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
        str | None, _help("Only the first items of each benchmark (default: all).", STUDY)
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
        str | None, _help("Questions drawn for vectors and pictures (default: 50).", STUDY)
    ] = None,
    seed: Annotated[
        Many, _help("Seed of that draw; several show its spread (default: 0).", STUDY)
    ] = None,
    fewshot: Annotated[
        str | None,
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
    template_argument: Annotated[
        Many,
        _help(
            "What a chat template reads, NAME=VALUE, such as enable_thinking=false. Repeatable.",
            STUDY,
            "--template-argument",
        ),
    ] = None,
    prompts: Annotated[
        str | None, _help("Prompts of your own: FILE.jsonl (id, prompt) or FILE.txt.", STUDY)
    ] = None,
    temperature: Annotated[
        str | None, _help("How texts are drawn; 0: the most probable (default).", STUDY)
    ] = None,
    top_p: Annotated[
        str | None, _help("Draw from the most probable tokens that reach this.", STUDY, "--top-p")
    ] = None,
    n: Annotated[
        str | None, _help("Texts drawn for every prompt (default: 1).", STUDY, "--n")
    ] = None,
    max_new_tokens: Annotated[
        str | None,
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
        str | None,
        _help("Read DIR/<benchmark>/<language>.jsonl, not the hub.", WHERE, "--data-root"),
    ] = None,
    out: Annotated[
        str | None, _help("Folder of the run, or s3://bucket/run (default: runs/RECIPE).", WHERE)
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
        str | None, _help("Processes at work at most (default: as GPUs or cores allow).", WHERE)
    ] = None,
    allow_truncation: Annotated[
        bool, _help("Cut texts that exceed the model's context.", WHERE, "--allow-truncation")
    ] = False,
    retry_errors: Annotated[
        bool, _help("Compute cells again that failed before.", WHERE, "--retry-errors")
    ] = False,
    verify: Annotated[
        bool, _help("Check every byte of what is there; compute again what is damaged.", WHERE)
    ] = False,
    trust_remote_code: Annotated[
        bool, _help("Run the model's own Python code.", WHERE, "--trust-remote-code")
    ] = False,
    allow_odd_weights: Annotated[bool, _help(ODD_WEIGHTS, WHERE, "--allow-odd-weights")] = False,
    skip_bad_models: Annotated[
        bool,
        _help("Leave out models that cannot be used, and say so.", WHERE, "--skip-bad-models"),
    ] = False,
) -> Request:
    """Everything the flags say, checked as far as no file is needed."""
    chosen = opt.switches(switch or ())
    options = Options(
        models=paths_listed(model, "--model"),
        languages=_languages(language, "--language"),
        benchmarks=listed(benchmark, "--benchmark"),
        measures=listed(measure, "--measure"),
        poolings=listed(pooling, "--pooling"),
        layers=_wholes(layer, "--layer"),
        parallels=listed(parallel, "--parallel"),
        pairs=None if pairs == "all" else _whole(pairs, "--pairs", least=2),
        all_pairs=pairs == "all",
        pivots=_languages(pivot, "--pivot"),
        language_pairs=parsed(pair, "--pair", _two),
        parts=listed(part, "--part"),
        paper=paper,
        limit=_whole(limit, "--limit", least=1),
        prompt=prompt,
        coefficients=parsed(coefficient, "--coefficient", lambda one: number(one, "--coefficient")),
        controls=listed(control, "--control"),
        seeds=_wholes(seed, "--seed"),
        sample=_whole(sample, "--sample", least=2),
        fewshot=_whole(fewshot, "--fewshot", least=0),
        how=opt.fine_tuning(finetune or ()),
        dtype=dtype,
        switches=chosen.switches,
        asking=replace(chosen.asking, arguments=opt.template_arguments(template_argument or ())),
        lens=chosen.lens,
        steering=chosen.steering,
        trust_remote_code=trust_remote_code,
        allow_odd_weights=allow_odd_weights,
        adapter=adapter,
        quantise=quantise,
        prompts=prompts,
        engine=engine,
        temperature=_number(temperature, "--temperature"),
        top_p=_number(top_p, "--top-p"),
        n=_whole(n, "--n", least=1),
        max_new_tokens=_whole(max_new_tokens, "--max-new-tokens", least=1),
        stop=once(stop or (), "--stop"),
    )
    return Request(
        options=options,
        source=Source(data_root=None if data_root is None else Path(data_root)),
        out=out,
        cluster=cluster,
        device=device,
        workers=_whole(workers, "--workers", least=1),
        allow_truncation=allow_truncation,
        retry_errors=retry_errors,
        verify=verify,
        skip_bad_models=skip_bad_models,
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


class Strict(TyperCommand):
    """A command whose flags and arguments are neither empty nor given twice.

    Of a flag that is given twice the last would otherwise count, and nothing would say so.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse what is empty or repeated, then read the line as usual.

        Raises:
            ValueError: something is.
        """
        given, _, order = self.make_parser(ctx).parse_args(args=list(args))
        for parameter in dict.fromkeys(order):
            found = given.get(str(parameter.name))
            values = found if isinstance(found, list | tuple) else [found]
            texts = [value for value in values if isinstance(value, str)]
            what = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name
            for text in texts:
                if text == "" or (blank(text) and what not in TEXTS):
                    raise ValueError(f"{what} {text!r} is empty: give a value, or leave it out")
            if parameter.param_type_name == "argument":
                once(texts, parameter.metavar or what)
            elif not getattr(parameter, "multiple", False) and order.count(parameter) > 1:
                raise ValueError(f"{what} is given {order.count(parameter)} times: give it once")
        return super().parse_args(ctx, args)


def _languages(values: Many, flag: str) -> tuple[str, ...]:
    """Languages that there are; `all` stands alone, and for no pivot."""
    found = listed(values, flag)
    if found == ("all",) and flag == "--language":
        return found
    if "all" in found and flag == "--language":
        raise ValueError(f"{flag} all beside {found[found[0] == 'all']}: leave one of them out")
    _known(found, flag)
    return found


def _known(codes: Iterable[str], flag: str) -> None:
    """Raise ValueError for a code that names no language."""
    try:
        languages.check(codes)
    except ValueError as error:
        raise ValueError(f"{flag}: {error}") from error


def _two(text: str) -> tuple[str, str]:
    """Two languages."""
    first, colon, second = text.partition(":")
    if not (first and colon and second) or first == second:
        raise ValueError(f"--pair {text}: expected two languages, such as deu_Latn:fra_Latn")
    _known((first, second), "--pair")
    return first, second


def _whole(text: str | None, flag: str, *, least: int) -> int | None:
    return None if text is None else whole(text, flag, least=least)


def _wholes(values: Many, flag: str) -> tuple[int, ...]:
    return parsed(values, flag, lambda one: whole(one, flag, least=0))


def _number(text: str | None, flag: str) -> float | None:
    return None if text is None else number(text, flag)
