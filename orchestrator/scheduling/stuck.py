"""Find the units that no machine of the cluster can ever take, and say why in one sentence."""

from collections.abc import Iterator
from typing import NamedTuple

from orchestrator.scheduling.backlog import Backlog, Job, Queue
from orchestrator.scheduling.cost import Cost
from orchestrator.scheduling.placement import GPU_COUNTS, USABLE, Places


class Stuck(NamedTuple):
    """Jobs that can never run; `queue` is all of a model's, None where cells are missing."""

    reason: str
    jobs: tuple[Job, ...]
    queue: Queue | None


def stuck(backlog: Backlog, places: Places, *, cost: Cost) -> Iterator[Stuck]:
    """Every model that fits nowhere, and the units that need cells which nothing makes."""
    for queue in backlog.queues:
        if queue.waiting or queue.later:
            needed = cost.bytes(queue.model)
            if not places.fits(needed):
                yield Stuck(_too_large(queue, needed, places), (), queue)
    orphans = tuple(job for job in backlog.orphans if job in job.queue.later)
    if orphans:
        missing = backlog.missing(orphans[0])
        count = f"{len(orphans)} units need" if len(orphans) > 1 else "a unit needs"
        yield Stuck(
            f"{count} results that are neither there nor planned (the first: key {missing[:12]}): "
            "compute those cells first, with --retry-errors if they have failed",
            orphans,
            None,
        )


def take(found: Stuck) -> list[Job]:
    """Take the jobs out of their queues."""
    if found.queue:
        return found.queue.clear()
    for job in found.jobs:
        job.queue.later.discard(job)
    return list(found.jobs)


def _too_large(queue: Queue, needed: int, places: Places) -> str:
    """What the model needs, what there is, and what would fit."""
    label = queue.model.label
    if not places.nodes:
        return f"model {label!r} waits and no machine is left in the cluster: add one"
    nodes = [node for node in places.nodes.values() if node.gpus]
    if not nodes:
        return f"model {label!r} waits for a GPU and the machines left have none: add one that has"
    largest = max(nodes, key=lambda node: node.gpus * node.gpu_bytes)
    gigabytes = largest.gpu_bytes / 1e9
    each = needed / USABLE
    fits = " or ".join(f"{count} of {each / count / 1e9:.0f} GB" for count in GPU_COUNTS[:3])
    return (
        f"model {label!r} needs {needed / 1e9:.0f} GB of GPU memory on one machine and the largest "
        f"has {largest.gpus} of {gigabytes:.0f} GB: it would fit on {fits}, or in a smaller "
        "--dtype or --quantise"
    )
