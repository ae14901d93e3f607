"""The command line: demo, plan, run, status, report, sites, bench.

Commands only join the parts. Bad input ends with one sentence and exit status 2; cells that failed,
or a cluster that is lost, with 1; an interruption with 130.
"""

import orchestrator.entry  # noqa: F401  # before all else that is ours

# isort: split
import os
import sys
import tempfile
import time
import traceback
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from analysis.redact import redact
from analysis.storage import Folder
from orchestrator import cluster as clusters
from orchestrator import kept, launch, models, recipe, stop
from orchestrator import plan as plans
from orchestrator.flags import ODD_WEIGHTS, Request, Strict, with_request
from orchestrator.scheduling.cost import Cost
from orchestrator.showing import progress
from orchestrator.storage.store import Store
from orchestrator.workers.gpus import visible_gpus
from orchestrator.workers.session import LostError
from studies import options as opt
from studies import values
from studies.options import Options

BAD_INPUT = 2
CELLS_FAILED = 1
INTERRUPTED = 130

TABLE = "table.txt"

app = typer.Typer(
    name="babelscope",
    help="Studies inside many language models: what languages share, and whether it matters.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)
console = Console() if sys.stdout.isatty() else Console(width=140, soft_wrap=True)

RecipeName = Annotated[
    str,
    typer.Argument(
        help="neuronxa, latent-process, generate, demo, or FILE.py:function.", metavar="RECIPE"
    ),
]
RunFolders = Annotated[
    list[str], typer.Argument(help="Folders of runs, or s3://bucket/run.", metavar="RUN...")
]
DtypeName = Annotated[str, typer.Option(help="float32, bfloat16, float16.")]
DeviceName = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, spread.")]
RemoteCode = Annotated[
    bool, typer.Option("--trust-remote-code", help="Run the model's own Python code.")
]
OddWeights = Annotated[bool, typer.Option("--allow-odd-weights", help=ODD_WEIGHTS)]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the plan and stop.")]
Report = Annotated[bool, typer.Option(help="Write the report when the cells are done.")]


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope demo[/bold]   then open runs/demo/report/index.html",
)
@with_request
def demo(asked: Request, *, dry_run: DryRun = False, report: Report = True) -> None:
    """Run the whole path, small and offline, on embedded models and text."""
    _run("demo", asked, dry_run=dry_run, report=report)


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope plan neuronxa --model Qwen/Qwen2.5-7B --benchmark belebele "
    "--language all[/bold]",
)
@with_request
def plan(asked: Request, *, recipe_name: RecipeName) -> None:
    """Show what a run would do: cells, units, models, bytes. Writes nothing."""
    store = _store(recipe_name, asked)
    _show(_plan(recipe_name, asked, store=store), asked)


@app.command(
    "run",
    cls=Strict,
    epilog="Example: [bold]babelscope run neuronxa --model ./llama --model ./qwen --parallel "
    "flores200 --benchmark xcopa --language all --data-root data --out runs/first[/bold]   "
    "The same command again continues; one more --model extends.",
)
@with_request
def run_command(
    asked: Request, *, recipe_name: RecipeName, dry_run: DryRun = False, report: Report = True
) -> None:
    """Run a study: compute the cells that are missing, then write the report."""
    _run(recipe_name, asked, dry_run=dry_run, report=report)


@app.command(cls=Strict, epilog="Example: [bold]babelscope status runs/demo[/bold]")
def status(runs: RunFolders) -> None:
    """Say how far runs are; works while they go on, from any shell and machine."""
    for root in runs:
        kept.show(Store(root), console=console)


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
) -> None:
    """Write tables, figures and one HTML page from the rows of one or several runs."""
    if len(runs) > 1 and out is None:
        raise ValueError("a report of several runs belongs to none of them: say where with --out")
    if out is not None:
        _report(tuple(runs), out=Folder(out).local)
    else:
        _report_in(Store(runs[0]))


@app.command(cls=Strict, epilog="Example: [bold]babelscope translations runs/curve[/bold]")
def translations(runs: RunFolders) -> None:
    """Write a run's translations as COMET reads them; its scores beside them join the report."""
    from analysis import judges, read

    for run in runs:
        out = Folder(run).local / judges.FOLDER
        folders = judges.export(read.rows([run]).generations, out=out)
        console.print(f"{len(folders)} sets in {out}")
    console.print(judges.HOW, markup=False)


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope sites miniworld-llama[/bold]   "
    "[bold]babelscope sites google/gemma-2-9b --dtype bfloat16[/bold]",
)
def sites(
    model: Annotated[str | None, typer.Argument(help="Folder or hub id, or ID@REVISION.")] = None,
    families: Annotated[bool, typer.Option("--families", help="Every family instead.")] = False,
    dtype: DtypeName = "float32",
    device: DeviceName = "auto",
    trust_remote_code: RemoteCode = False,
    allow_odd_weights: OddWeights = False,
) -> None:
    """Show which module each site name means in a model, proven by arithmetic."""
    from orchestrator.sites import show

    given = () if model is None else (model,)
    wanted = Options(
        models=given,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
        allow_odd_weights=allow_odd_weights,
    )
    if not show(wanted, families=families, device=device, console=console):
        raise typer.Exit(CELLS_FAILED)


@app.command(
    cls=Strict,
    epilog="Example: [bold]babelscope bench[/bold]   "
    "[bold]babelscope bench --shape llama-3.1-8b --dtype bfloat16 --json[/bold]   "
    "[bold]babelscope bench --model ./llama --check[/bold]",
)
def bench(
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Folder or hub id.", show_default=False)
    ] = None,
    shape: Annotated[
        str, typer.Option(help="Random weights of this shape, where no --model is given.")
    ] = "llama-68m",
    task: Annotated[
        list[str] | None,
        typer.Option(help="Only this task; repeatable (default: all).", show_default=False),
    ] = None,
    rounds: Annotated[str, typer.Option(help="Times that everything is timed.")] = "3",
    threads: Annotated[
        str | None, typer.Option(help="CPU threads (default: as torch finds it).")
    ] = None,
    dtype: DtypeName = "float32",
    device: DeviceName = "auto",
    trust_remote_code: RemoteCode = False,
    allow_odd_weights: OddWeights = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object per row.")] = False,
    check: Annotated[
        bool, typer.Option("--check", help="Compare the fast ways with the obvious one instead.")
    ] = False,
) -> None:
    """Measure what a model achieves on this device, against its ceiling and the naive way."""
    from orchestrator import bench as benches

    times = values.whole(rounds, "--rounds", least=1)
    tasks = values.once(task or (), "--task")
    target = opt.one_model(
        model or shape, dtype=dtype, code=trust_remote_code, odd=allow_odd_weights
    )
    loaded = benches.open_target(
        target if model else None,
        shape=shape,
        dtype=target.dtype,
        device=device,
        threads=None if threads is None else values.whole(threads, "--threads", least=1),
    )
    if check:
        if not benches.show_equalities(loaded, as_json=as_json, console=console):
            raise typer.Exit(CELLS_FAILED)
        return
    benches.show_speed(loaded, tasks=tasks, rounds=times, as_json=as_json, console=console)


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
        Store(run), benchmark=benchmark, language=language, item=item, key=key, data_root=data_root
    ):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _run(name: str, asked: Request, *, dry_run: bool, report: bool) -> None:
    """Plan, show, refuse or compute, report."""
    store = _store(name, asked)
    planned = _plan(name, asked, store=store)
    _show(planned, asked)
    if dry_run:
        return
    launch.refuse(planned, store=store, allow_truncation=asked.allow_truncation)
    failed = 0
    if planned.units:
        failed = _compute(planned, asked, store=store)
    else:
        console.print("0 cells to compute: everything is there")
        kept.tidy(planned, store=store, tell=_note)
    page = "report/index.html"
    if report and (planned.units or store.files.entry(page) is None):
        _report_in(store)
    elif report:
        # As it was printed then: reading a million rows again takes longer than all else.
        if store.files.entry(f"report/{TABLE}") is not None:
            shown = store.files.read(f"report/{TABLE}").decode()
            console.print(shown.rstrip(), markup=False, highlight=False, soft_wrap=True)
        console.print(f"report: {store.files.text(page)}")
    if failed or planned.failed:
        raise typer.Exit(CELLS_FAILED)


def _show(planned: plans.Plan, asked: Request) -> None:
    """Print the plan, with what it should take on the device that would be used."""
    here = asked.cluster in ("inline", "local")
    on_cpu = asked.device == "cpu" or (here and not visible_gpus())
    progress.show_plan(planned, cost=Cost(device="cpu" if on_cpu else "gpu"), console=console)


def _compute(planned: plans.Plan, asked: Request, *, store: Store) -> int:
    """Run the units; returns how many cells failed."""
    from orchestrator.compute import compute

    try:
        with stop.listening() as wish, ExitStack() as opened:
            # Before the folder is touched: what cannot be reached or started leaves nothing there.
            cluster = clusters.connect(asked.cluster, device=asked.device)
            opened.callback(cluster.close)
            if wish.asked:
                raise stop.Interrupted
            with launch.writing(store.address), store.lock():
                outcome = compute(
                    planned, asked, store=store, cluster=cluster, wish=wish, console=console
                )
                opened.close()
                store.compact()
    except (KeyboardInterrupt, stop.Interrupted):
        console.print("interrupted: what was computed is kept; the same command continues")
        raise typer.Exit(INTERRUPTED) from None
    progress.show_outcome(outcome, errors=store.errors_address, console=console)
    return outcome.failed


def _store(name: str, asked: Request) -> Store:
    """The run's folder."""
    default = Path("runs") / (Path(name.rpartition(":")[0] or name).stem or "run")
    return Store(default if asked.out is None else asked.out)


def _plan(name: str, asked: Request, *, store: Store) -> plans.Plan:
    """The plan against what the folder holds already."""
    asked_for = recipe.study(name, asked.options)
    clusters.check(asked.cluster, device=asked.device)
    store.manifest()
    with console.status("reading what is there") as shown:
        done = store.keys(verify=asked.verify)
        kept.tell_set_aside(store, tell=_note)
        shown.update("looking at the models")
        study, notes = models.usable(asked_for, skip=asked.skip_bad_models)
        build = partial(
            plans.build,
            study,
            source=asked.source,
            failed=frozenset() if asked.retry_errors else store.failed() - done,
            allow_truncation=asked.allow_truncation,
            on_progress=lambda what: shown.update(f"reading {what}"),
        )
        made = launch.complete(lambda keys: build(done=keys), done=done, store=store, tell=_note)
    return replace(made, notes=(*notes, *made.notes))


def _note(sentence: str) -> None:
    """Say something that is no error but should be known."""
    kept.note(sentence, console=console)


def _report_in(store: Store) -> None:
    """Write a run's report into the run, by way of this machine where the run lies elsewhere."""
    if store.files.is_local:
        _report((store.root,), out=store.root / "report")
        return
    with tempfile.TemporaryDirectory() as folder:
        _report((store.where,), out=Path(folder))
        store.copy_in(Path(folder), to="report")
    console.print(f"report: copied to {store.files.text('report/index.html')}")


def _report(runs: tuple[Path | str, ...], *, out: Path) -> None:
    """Write the report and show its main table."""
    from analysis import report as reports
    from analysis import terminal

    began = time.monotonic()
    with console.status("writing the report"), launch.writing(out):
        files = reports.write(runs, out=out)
    with launch.writing(out), (out / TABLE).open("w", encoding="utf-8") as file:
        for table in terminal.main_tables(runs):
            for target in (console, Console(file=file, width=console.width)):
                target.print(table, markup=False)
    console.print(f"report: {files.html} ({time.monotonic() - began:.1f} s)")


def main() -> None:
    """Enter here: a refusal or a signal becomes one sentence and an exit status.

    No secret in an address is shown or handed on.
    """
    given, sys.argv = sys.argv, [redact(argument) for argument in sys.argv]
    errors = Console(stderr=True, soft_wrap=True)
    try:
        with stop.at_once():
            app(given[1:])
    except stop.Interrupted:
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
