"""Run what a plan is missing on a cluster that is up: write it down, then let the loop work."""

from rich.console import Console

from orchestrator import examples, launch
from orchestrator.flags import Request
from orchestrator.loop import Loop
from orchestrator.plan import Plan
from orchestrator.scheduling.cost import Cost
from orchestrator.showing import viewers
from orchestrator.showing.snapshot import Outcome
from orchestrator.signals import Wish
from orchestrator.storage.store import Store
from orchestrator.workers.events import Cluster


def compute(
    planned: Plan, asked: Request, *, store: Store, cluster: Cluster, wish: Wish, console: Console
) -> Outcome:
    """Run the plan's units; the store is held, and the cluster is the caller's to close."""
    where = asked.where
    launch.prepare(planned, store=store, study_file=asked.study_file, arguments=asked.words)
    if where.retry_errors:
        store.write_errors((), forget=[cell.key for unit in planned.units for cell in unit.cells])
    cluster.need(launch.wanted(planned, device=where.device, workers=where.workers))
    wordings = examples.wordings(examples.unworded(planned.models, store=store))
    examples.keep(examples.worded(planned.examples, wordings=wordings), store=store)
    there = cluster.nodes()
    on_cpu = where.device == "cpu" or (there and not any(node.gpus for node in there))
    cost = Cost(device="cpu" if on_cpu else "gpu")
    with viewers.viewer(store, console=console) as viewer:
        loop = Loop(
            planned,
            store=store,
            cluster=cluster,
            viewer=viewer,
            wish=wish,
            cost=cost,
            workers=where.workers,
        )
        return loop.run()
