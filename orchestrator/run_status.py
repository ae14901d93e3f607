"""What a run's folder holds: said to people, and brought into order where a run was killed.

How rows are kept is in `storage/`; what computes them is in `loop.py`.
"""

import time
from collections.abc import Callable, Mapping

from rich.console import Console

from orchestrator import launch
from orchestrator.plan import Plan
from orchestrator.scheduling.cost import Cost
from orchestrator.showing import progress, viewers
from orchestrator.showing.snapshot import Snapshot
from orchestrator.storage.store import Store

# Files that are named one by one; of more it is said how many they are.
NAMED = 8

Tell = Callable[[str], None]


def show(store: Store, *, console: Console) -> None:
    """Show how far a run is: what it says of itself while it goes on, else what its rows say.

    Raises:
        ValueError: there is no run.
    """

    def tell(sentence: str) -> None:
        progress.note(sentence, console=console)

    manifest = store.recorded()
    console.print(f"{store.address}: study {manifest['study']}", markup=False)
    for sentence in launch.notes(manifest):
        tell(sentence)
    tell_aside(store, tell=tell)
    if (holder := store.holder()) is not None:
        console.print(f"held by {holder}", markup=False)
        if (snapshot := said(store, tell=tell)) is not None:
            console.print(viewers.picture(snapshot))
            return
    progress.show_status(counts(store, manifest, tell=tell), console=console)


def counts(
    store: Store, manifest: Mapping[str, object], *, tell: Tell
) -> list[tuple[str, int, int, int]]:
    """Per model, its cells in all, done and failed, as the rows say."""
    done, failed = store.count_by_model()
    tell_set_aside(store, tell=tell)
    cells = manifest.get("cells")
    totals: dict[str, int] = dict(cells) if isinstance(cells, dict) else {}
    if beside := sum(count for label, count in done.items() if label not in totals):
        tell(f"{beside:,} cells are of models that no launch of this run has asked for")
    return [(label, total, done[label], failed[label]) for label, total in totals.items()]


def tell_set_aside(store: Store, *, tell: Tell) -> None:
    """Name the shards that are not counted, as far as a person reads."""
    sentences = store.quarantined
    for sentence in sentences[:NAMED]:
        tell(sentence)
    if len(sentences) > NAMED:
        tell(f"and {len(sentences) - NAMED:,} more such files")


def tell_aside(store: Store, *, tell: Tell) -> None:
    """Say what was moved out of the way, by this run or an earlier one."""
    if sentence := store.aside:
        tell(sentence)


def tidy(plan: Plan, *, store: Store, tell: Tell) -> None:
    """Remove what a run that was killed left in a folder where nothing is to be computed."""
    from orchestrator.loop import progress_of

    if not store.untidy():
        return
    try:
        with launch.writing(store.address), store.lock():
            store.compact()
            ended = progress_of(plan, cost=Cost(device="cpu"))
            ended.ended("finished")
            viewers.FileViewer(store).show(ended.snapshot(now=time.time()), last=True)
    except ValueError as error:
        tell(f"what an interrupted run left behind stays there: {error}")


def said(store: Store, *, tell: Tell) -> Snapshot | None:
    """What the run last said of itself, None where that says nothing."""
    try:
        written = store.read_status()
        return None if written is None else Snapshot.of_json(written)
    except ValueError as error:
        tell(f"{error}; the rows are counted instead")
        return None
