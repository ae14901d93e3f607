"""What plan, status and report say to scripts: JSON objects, whose keys docs/scripts.md lists."""

from collections import Counter

from analysis.storage.redact import redact
from orchestrator import launch, run_status
from orchestrator.plan import Plan
from orchestrator.reporting import PAGE, Written
from orchestrator.scheduling.cost import Cost
from orchestrator.storage.store import Store
from studies.texts import CHARACTERS_PER_TOKEN


def plan(planned: Plan, *, cost: Cost) -> dict[str, object]:
    """What a run would do."""
    units = Counter(unit.model.label for unit in planned.units)
    missing, failed = planned.missing_by_model, Counter(planned.failed_by_model)
    models = []
    for model in planned.models:
        label = model.label
        done = planned.totals[label] - missing[label] - failed[label]
        own = {"layers": model.layers, "bytes": model.bytes, "dtype": model.dtype}
        counts = _counts(planned.totals[label], done, failed[label])
        models.append({"model": label, **own, **counts, "units": units[label]})
    return {
        "study": planned.study.name,
        **_counts(planned.cells, planned.done, planned.failed),
        "units": len(planned.units),
        "tokens": planned.characters // CHARACTERS_PER_TOKEN,
        "bytes": launch.result_bytes(planned),
        "device": cost.device,
        "seconds": round(3600 * cost.hours(planned.units), 1) if planned.units else 0.0,
        "models": models,
        "notes": [redact(note) for note in planned.notes],
        "too_long": [one._asdict() for one in planned.too_long],
    }


def status(store: Store) -> dict[str, object]:
    """How far a run is.

    Raises:
        ValueError: there is no run.
    """
    manifest = store.recorded()
    notes = launch.notes(manifest)
    run_status.tell_aside(store, tell=notes.append)
    holder = store.holder()
    snapshot = None if holder is None else run_status.said(store, tell=notes.append)
    if snapshot is not None:
        rows = [(one.model, one.cells, one.done, one.failed) for one in snapshot.models]
        notes += snapshot.notes
    else:
        rows = run_status.counts(store, manifest, tell=notes.append)
    models = [{"model": label, **_counts(total, there, lost)} for label, total, there, lost in rows]
    cells = sum(row[1] for row in rows)
    done, failed = sum(row[2] for row in rows), sum(row[3] for row in rows)
    return {
        "run": store.address,
        "study": manifest["study"],
        "running": holder is not None,
        "held_by": holder,
        **_counts(cells, done, failed),
        "seconds_left": None if snapshot is None else snapshot.seconds_left,
        "models": models,
        "notes": [redact(note) for note in notes],
    }


def report(written: Written) -> dict[str, object]:
    """Which files a report has, by their names in its folder."""
    return {
        "folder": written.folder,
        "page": PAGE,
        "tables": [name for name in written.files if name.endswith(".csv")],
        "figures": [name for name in written.files if name.endswith((".svg", ".pdf", ".png"))],
    }


def _counts(cells: int, done: int, failed: int) -> dict[str, int]:
    return {"cells": cells, "done": done, "failed": failed, "to_do": cells - done - failed}
