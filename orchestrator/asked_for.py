"""What a command line asks for: the run's folder, the plan against it, and how long units take."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from rich.console import Console

from orchestrator import cluster as clusters
from orchestrator import launch, models, run_status
from orchestrator import plan as plans
from orchestrator.flags import Request
from orchestrator.scheduling.cost import Cost
from orchestrator.showing import progress
from orchestrator.storage.store import Store
from orchestrator.workers.gpus import visible_gpus


def store(asked: Request) -> Store:
    """The run's folder."""
    name = asked.recipe.name
    default = Path("runs") / (Path(name.rpartition(":")[0] or name).stem or "run")
    return Store(default if asked.where.out is None else asked.where.out)


def cost(asked: Request) -> Cost:
    """What units should take on the device that would be used."""
    here = asked.where.cluster in ("inline", "local")
    on_cpu = asked.where.device == "cpu" or (here and not visible_gpus())
    return Cost(device="cpu" if on_cpu else "gpu")


def plan(asked: Request, *, store: Store, console: Console) -> plans.Plan:
    """The plan against what the folder holds already.

    Raises:
        ValueError: a model, data set or cluster cannot be used, or the folder is no run's.
    """
    where = asked.where
    wanted = asked.recipe.study(asked.options)
    clusters.check(where.cluster, device=where.device)
    store.manifest()
    tell = partial(progress.note, console=console)
    with console.status("reading what is there") as shown:
        done = store.keys(verify=where.verify)
        run_status.tell_set_aside(store, tell=tell)
        shown.update("looking at the models")
        facts, notes = models.usable(wanted.models, skip=where.skip_bad_models)
        build = partial(
            plans.build,
            wanted,
            facts,
            source=where.source,
            failed=frozenset() if where.retry_errors else store.failed() - done,
            allow_truncation=where.allow_truncation,
            on_progress=lambda what: shown.update(f"reading {what}"),
        )
        made = launch.complete(lambda keys: build(done=keys), done=done, store=store, tell=tell)
    return replace(made, notes=(*notes, *made.notes))
