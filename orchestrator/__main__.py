"""The command line: demo, plan, run, watch, status, report, show, list, and looks inside a model.

Commands only join the parts. Bad input ends with one sentence and exit status 2; cells that failed,
or a cluster that is lost, with 1; an interruption with 130.
"""

import orchestrator.entry  # noqa: F401  # before all else that is ours

# isort: split
import json
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from analysis.storage.folder import Folder
from analysis.storage.record import ERRORS_FILE
from analysis.storage.redact import redact
from orchestrator import (
    as_json,
    asked_for,
    flags,
    launch,
    listing,
    questions,
    reporting,
    run_status,
    signals,
    table_width,
)
from orchestrator import bench as benches
from orchestrator import cluster as clusters
from orchestrator import plan as plans
from orchestrator import sites as site_maps
from orchestrator.flags import DemoCommand, PlanCommand, Request, Strict, StudyCommand, with_options
from orchestrator.options import Planning, Running
from orchestrator.showing import progress
from orchestrator.storage.store import Store
from orchestrator.watching.command import WatchCommand
from orchestrator.watching.options import Watching
from orchestrator.workers.session import LostError

BAD_INPUT = 2
CELLS_FAILED = 1
INTERRUPTED = 130

app = typer.Typer(
    name="babelscope",
    help="Studies inside many language models: what languages share, and whether it matters.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console() if sys.stdout.isatty() else Console(width=table_width.PIPED, soft_wrap=True)

RunFolders = Annotated[
    list[str], typer.Argument(help="Folders of runs, or s3://bucket/run.", metavar="RUN...")
]
RowSources = Annotated[
    list[str],
    typer.Argument(
        help="Folders of runs or s3:// addresses, or one .csv, .tsv or .parquet.", metavar="RUN..."
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="JSON for scripts (docs/scripts.md).")]


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version  # slower to import than help is to show

        print(f"babelscope {version('babelscope')}")
        raise typer.Exit


@app.callback()
def _top(
    _: Annotated[
        bool,
        typer.Option("--version", help="Print the version.", callback=_version, is_eager=True),
    ] = False,
) -> None:
    pass


@app.command(
    cls=DemoCommand,
    epilog="Example: [bold]babelscope demo[/bold]   then open runs/demo/report/index.html",
)
def demo(context: typer.Context) -> None:
    """Run a whole study, small and offline, on embedded models and texts."""
    _run(context.obj)


@app.command(
    cls=PlanCommand,
    epilog="Example: [bold]babelscope plan neuronxa --model Qwen/Qwen2.5-7B --benchmark belebele "
    "--language all[/bold]   [bold]babelscope plan neuronxa --help[/bold] lists a study's flags.",
)
def plan(context: typer.Context) -> None:
    """Show what a run would do: cells, units, models, bytes. Writes nothing."""
    asked: Request = context.obj
    assert isinstance(asked.where, Planning)
    if asked.where.toml:
        print(asked.study_file, end="")
        return
    with _alone(asked.where.json):
        planned = asked_for.plan(asked, store=asked_for.store(asked), console=console)
    if asked.where.json:
        print(json.dumps(as_json.plan(planned, cost=asked_for.cost(asked))))
        return
    progress.show_plan(planned, cost=asked_for.cost(asked), console=console)


@app.command(
    "run",
    cls=StudyCommand,
    epilog="Example: [bold]babelscope run neuronxa --model ./llama --model ./qwen --parallel "
    "flores200 --benchmark xcopa --language all --data-root data --out runs/first[/bold]   "
    "The same command again continues; one more --model extends. "
    "[bold]babelscope run neuronxa --help[/bold] lists a study's flags.",
)
def run_command(context: typer.Context) -> None:
    """Run a study: compute the cells that are missing, then write the report."""
    _run(context.obj)


@app.command(
    cls=WatchCommand,
    epilog="Example: [bold]babelscope watch neuronxa --model ./training --parallel flores200 "
    "--every 30m --out runs/curve[/bold]   [bold]babelscope watch --list runs/curve[/bold]",
)
def watch(context: typer.Context) -> None:
    """Evaluate checkpoints as they come: new rows of one study, each computed once."""
    from orchestrator.watching import start

    if isinstance(context.obj, Watching):
        start.show(context.obj, console=console)
        return
    raise typer.Exit(start.begin(context.obj, store=asked_for.store(context.obj), console=console))


@app.command("list", cls=Strict, epilog="Example: [bold]babelscope list benchmarks[/bold]")
def list_command(
    what: Annotated[
        str | None,
        typer.Argument(
            help=f"{', '.join(listing.KINDS)}.",
            metavar="[WHAT]",
            autocompletion=lambda: list(listing.KINDS),
        ),
    ] = None,
) -> None:
    """List what can be named: benchmarks, languages, measures, recipes and more."""
    listing.show(what, console=console)


@app.command(cls=Strict, epilog="Example: [bold]babelscope status runs/demo[/bold]")
def status(runs: RunFolders, for_scripts: AsJson = False) -> None:
    """Show how far runs are, also while they go on, from any shell and machine."""
    for root in runs:
        if for_scripts:
            print(json.dumps(as_json.status(Store(root))))
        else:
            run_status.show(Store(root), console=console)


@app.command(
    "report",
    cls=Strict,
    epilog="Example: [bold]babelscope report runs/a runs/b --out report[/bold]",
)
def report_command(
    runs: RunFolders,
    out: Annotated[
        str | None, typer.Option(help="Where to write (default: RUN/report).", show_default=False)
    ] = None,
    for_scripts: AsJson = False,
) -> None:
    """Write tables, figures and one HTML page from the rows of one or several runs."""
    if len(runs) > 1 and out is None:
        raise ValueError("a report of several runs belongs to none of them: say where with --out")
    with _alone(for_scripts):
        if out is None:
            written = reporting.write_in(Store(runs[0]), console=console)
        else:
            written = reporting.write(tuple(runs), out=Folder(out).local, console=console)
    if for_scripts:
        print(json.dumps(as_json.report(written)))


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope compare runs/a runs/b --condition model "
    "--before Qwen2.5-7B[/bold]   [bold]babelscope compare scores.csv "
    "--condition scheme --before plain --value accuracy[/bold]",
)
@with_options
def compare(options: questions.Comparing, runs: RowSources) -> None:
    """Compare two conditions over the same items or languages: paired tests, corrected together."""
    questions.show(questions.compare(runs, options), options, console=console)


@app.command(
    cls=Strict,
    epilog='Example: [bold]babelscope regress runs/a --formula "correct ~ nasca + fertility + '
    '(1 | language)"[/bold]   [bold]babelscope regress scores.csv --formula "accuracy ~ nasca" '
    "--cluster language[/bold]",
)
@with_options
def regress(options: questions.Regressing, runs: RowSources) -> None:
    """Fit a formula to answers or languages: linear, logistic, with random effects or clusters."""
    questions.show(questions.regress(runs, options), options, console=console)


@app.command(cls=Strict, epilog="Example: [bold]babelscope translations runs/curve[/bold]")
def translations(runs: RunFolders) -> None:
    """Write a run's translations as COMET reads them; its scores beside them join the report."""
    from analysis import comet, read

    for run in runs:
        out = Folder(run).local / comet.FOLDER
        folders = comet.export(read.rows([run]).generations, out=out)
        console.print(f"{len(folders)} sets in {out}")
    console.print(comet.HOW, markup=False)


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope sites miniworld-llama[/bold]   "
    "[bold]babelscope sites google/gemma-2-9b --dtype bfloat16[/bold]",
)
@with_options
def sites(
    options: site_maps.OneModel,
    model: Annotated[str | None, typer.Argument(help="Folder or hub id, or ID@REVISION.")] = None,
    families: Annotated[bool, typer.Option("--families", help="Every family instead.")] = False,
) -> None:
    """Show which module each site name means in a model, proven by arithmetic."""
    named = None if model is None else options.model(model)
    if not site_maps.show(named, families=families, device=options.device, console=console):
        raise typer.Exit(CELLS_FAILED)


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope bench[/bold]   "
    "[bold]babelscope bench --shape llama-3.1-8b --dtype bfloat16 --json[/bold]   "
    "[bold]babelscope bench --model ./llama --check[/bold]",
)
@with_options
def bench(options: benches.Benching) -> None:
    """Measure what a model achieves on this device, against its ceiling and the naive way."""
    loaded = benches.open_target(options)
    if options.check:
        if not benches.show_equalities(loaded, as_json=options.json, console=console):
            raise typer.Exit(CELLS_FAILED)
        return
    benches.show_speed(
        loaded,
        tasks=options.tasks,
        rounds=options.rounds,
        as_json=options.json,
        console=console,
    )


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope show runs/demo --benchmark mini_belebele "
    "--language deu_Latn --item 17[/bold]",
)
def show(
    run: Annotated[str, typer.Argument(help="Folder of a run, or s3://bucket/run.")],
    benchmark: Annotated[str | None, typer.Option(help="Benchmark or parallel text.")] = None,
    language: Annotated[str | None, typer.Option(help="Language such as deu_Latn.")] = None,
    item: Annotated[str | None, typer.Option(help="The item's id (default: three).")] = None,
    key: Annotated[str | None, typer.Option(help="A cell's key, or its beginning.")] = None,
    data_root: Annotated[Path | None, typer.Option(help="Where the data lie now.")] = None,
) -> None:
    """Show what models were given, word for word, the right answer and what they answered."""
    from orchestrator import show as shows

    for line in shows.lines(
        Store(run),
        benchmark=benchmark,
        language=language,
        item=item,
        key=key,
        data_root=data_root,
        recorded=recorded,
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


recorded = partial(flags.recorded, app=app)


def _run(asked: Request) -> None:
    """Plan, show, refuse or compute, report."""
    where = asked.where
    assert isinstance(where, Running)
    store = asked_for.store(asked)
    planned = asked_for.plan(asked, store=store, console=console)
    progress.show_plan(planned, cost=asked_for.cost(asked), console=console)
    if where.dry_run:
        return
    launch.refuse(planned, store=store, allow_truncation=where.allow_truncation)
    failed = 0
    if planned.units:
        failed = _compute(planned, asked, store=store)
    else:
        console.print("0 cells to compute: everything is there")
        run_status.tidy(planned, store=store, tell=_note)
    if where.report:
        reporting.write_or_show(store, console=console, changed=bool(planned.units))
    run_status.tell_aside(store, tell=_note)
    if failed or planned.failed:
        raise typer.Exit(CELLS_FAILED)


def _compute(planned: plans.Plan, asked: Request, *, store: Store) -> int:
    """Run the units; returns how many cells failed."""
    from orchestrator.compute import compute

    try:
        with signals.listening() as wish, ExitStack() as opened:
            # Before the folder is touched: what cannot be reached or started leaves nothing there.
            cluster = clusters.connect(asked.where.cluster, device=asked.where.device)
            opened.callback(cluster.close)
            if wish.asked:
                raise signals.Interrupted
            with launch.writing(store.address), store.lock():
                outcome = compute(
                    planned, asked, store=store, cluster=cluster, wish=wish, console=console
                )
                opened.close()
                store.compact()
    except (KeyboardInterrupt, signals.Interrupted):
        console.print("interrupted: what was computed is kept; the same command continues")
        raise typer.Exit(INTERRUPTED) from None
    progress.show_outcome(outcome, errors=store.files.text(ERRORS_FILE), console=console)
    return outcome.failed


def _note(sentence: str) -> None:
    """Say something that is no error but should be known."""
    progress.note(sentence, console=console)


@contextmanager
def _alone(json_asked: bool) -> Iterator[None]:
    """Leave the standard output to JSON where that is asked for: people read the other one."""
    with redirect_stdout(sys.stderr) if json_asked else nullcontext():
        yield


def main() -> None:
    """Enter here: a refusal or a signal becomes one sentence and an exit status.

    No secret in an address is shown or handed on.
    """
    given, sys.argv = sys.argv, [redact(argument) for argument in sys.argv]
    errors = Console(stderr=True, soft_wrap=True)
    try:
        with signals.at_once():
            app(given[1:])
    except signals.Interrupted:
        errors.print("interrupted: the same command continues")
        raise SystemExit(INTERRUPTED) from None
    except ValueError as error:
        if os.environ.get("BABELSCOPE_TRACEBACK"):
            raise
        errors.print(f"error: {redact(str(error))}", style="red", markup=False)
        raise SystemExit(CELLS_FAILED if isinstance(error, LostError) else BAD_INPUT) from error
    except Exception as error:
        # What nobody foresaw is shown as Python shows it, but for secrets.
        sys.stderr.write(redact(traceback.format_exc()))
        raise SystemExit(CELLS_FAILED) from error


if __name__ == "__main__":
    main()
