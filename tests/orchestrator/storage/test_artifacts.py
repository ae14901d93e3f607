"""What a cell makes for others reaches them: from worker to store to another worker, once."""

import os
import signal
from collections.abc import Collection
from pathlib import Path

import pandas as pd
import pytest
from safetensors.torch import load

from actors.kinds import alignment
from analysis import read
from orchestrator import cluster as clusters
from orchestrator import launch
from orchestrator.loop import Loop
from orchestrator.plan import Plan
from orchestrator.scheduling.cost import Cost
from orchestrator.showing.snapshot import Outcome
from orchestrator.showing.viewers import FileViewer
from orchestrator.signals import Wish
from orchestrator.storage import artifacts
from orchestrator.storage.store import Store
from orchestrator.workers.events import Cluster
from studies.models.facts import facts
from studies.spec import Model
from studies.study import Study
from studies.unit import Unit
from tests.makers import made_up_kind

MODEL = facts(Model(id="miniworld-llama"))
LANGUAGES = ("deu_Latn", "fra_Latn", "spa_Latn", "swh_Latn")
UNITS = made_up_kind.units(MODEL, *LANGUAGES)


def plan(done: Collection[str] = frozenset()) -> Plan:
    """The units whose cells are not done."""
    missing = tuple(unit for unit in UNITS if unit.cells[0].key not in done)
    return Plan(
        study=Study(name="made-up", models=(), grids=()),
        models=(MODEL,),
        units=missing,
        totals={MODEL.label: len(UNITS)},
        done=len(UNITS) - len(missing),
        failed=0,
        rows=len(missing),
        characters=sum(unit.characters for unit in missing),
        notes=(),
        pins={},
        commits={},
        there=frozenset(need for unit in missing for need in unit.needs if need in done),
    )


def compute(planned: Plan, store: Store, cluster: Cluster) -> Outcome:
    """One run; the cluster is closed after it."""
    try:
        with store.lock():
            launch.prepare(planned, store=store)
            return Loop(
                planned,
                store=store,
                cluster=cluster,
                viewer=FileViewer(store),
                wish=Wish(),
                cost=Cost(device="cpu"),
                workers=2,
            ).run()
    finally:
        cluster.close()


def complete(store: Store) -> tuple[Plan, list[str]]:
    """What is left to do in a store, and what is said of it."""
    said: list[str] = []
    return launch.complete(plan, done=store.keys(), store=store, tell=said.append), said


def check(store: Store) -> None:
    """Every taker's number is twice its maker's, and the vector's length is the maker's."""
    table = read.table([store.files.where], name="alignment").set_index("key")
    assert set(table.index) == {unit.cells[0].key for unit in UNITS}
    for unit in UNITS:
        for key in unit.needs:
            vector = load(store.artifacts([key])[key])["mean"]
            assert table.value[key] == float(vector.norm())
            assert table.value[unit.cells[0].key] == 2 * table.value[key]


class Recording(clusters.InlineCluster):
    """Remembers what was begun; may break off before a taker."""

    def __init__(self, *, breaks: bool = False) -> None:
        super().__init__(device="cpu")
        self.begun: list[Unit] = []
        self._breaks = breaks

    def submit(self, worker: int, unit: Unit, artifacts) -> None:
        if self._breaks and unit.needs:
            raise KeyboardInterrupt
        assert artifacts.keys() == set(unit.needs)
        self.begun.append(unit)
        super().submit(worker, unit, artifacts)


def kept(folder: Path) -> set[str]:
    """The keys of all artifacts that lie in a store."""
    return {path.stem for path in folder.glob("artifacts/*.safetensors")}


@pytest.fixture(autouse=True)
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(alignment, "answer", made_up_kind.answer)


def test_a_taker_gets_what_its_maker_made(tmp_path: Path):
    store, cluster = Store(tmp_path), Recording()
    assert compute(plan(), store, cluster).failed == 0
    made: set[str] = set()
    for unit in cluster.begun:
        assert set(unit.needs) <= made, "makers come first"
        made.add(unit.cells[0].key)
    check(store)


def test_broken_off_between_makers_and_takers_the_same_command_continues(tmp_path: Path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        compute(plan(), store, Recording(breaks=True))
    made = store.keys()
    assert made and made == kept(tmp_path)
    planned, said = complete(Store(tmp_path))
    assert not said and planned.there
    again = Recording()
    assert compute(planned, Store(tmp_path), again).failed == 0
    assert not made & {unit.cells[0].key for unit in again.begun}
    check(store)


def test_an_artifact_that_is_gone_is_made_again_for_those_that_take_it(tmp_path: Path):
    store = Store(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        compute(plan(), store, Recording(breaks=True))
    (lost, *_) = store.keys()
    (tmp_path / "artifacts" / f"{lost}.safetensors").unlink()
    planned, said = complete(Store(tmp_path))
    assert said == [
        f"1 artifacts that other cells take are missing or damaged in {tmp_path}: the cells that "
        "make them are computed again"
    ]
    assert lost in {unit.cells[0].key for unit in planned.units}
    assert compute(planned, Store(tmp_path), Recording()).failed == 0
    check(store)
    for path in (tmp_path / "artifacts").iterdir():
        path.unlink()
    assert not complete(store)[0].units, "what nobody takes any more is not missed"


def test_a_unit_whose_artifact_vanishes_under_way_fails_in_one_sentence(tmp_path: Path):
    taker = UNITS[0]
    cluster = clusters.InlineCluster(device="cpu")
    cluster.open(0, MODEL, node="", gpus=0)
    cluster.submit(0, taker, {})
    assert (opened := cluster.wait(seconds=0)) and opened.kind == "open"
    event = cluster.wait(seconds=0)
    assert event is not None and event.kind == "unit_failed"
    assert f"needs the artifacts of 1 cells and 1 are missing, that of cell {taker.needs[0]}" in (
        event.error
    )


def test_artifacts_in_memory_are_bounded_and_never_stale(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(artifacts, "HELD_BYTES", 10)
    store = Store(tmp_path)
    for number in range(4):
        store.write_artifact(f"k{number}", bytes([number]) * 4)
    keys = [f"k{number}" for number in range(4)]
    assert store.artifacts(["k3", "k0", "k9"]) == {"k3": b"\3" * 4, "k0": bytes(4)}
    assert kept(tmp_path) == set(keys)
    store.write_artifact("k3", b"new")
    assert store.artifacts(keys)["k3"] == b"new" == Store(tmp_path).artifacts(keys)["k3"]
    (tmp_path / "artifacts" / "k1.safetensors").unlink()
    assert "k1" not in Store(tmp_path).artifacts(keys)


@pytest.mark.ray
def test_two_real_processes_share_artifacts_though_one_dies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Each vector is handed over once; a worker dies with a taker, another takes it up."""
    handed: list[bytes] = []
    processes: dict[int, int] = {}
    takers: list[int] = []

    class Watched(clusters.RayCluster):
        def submit(self, worker: int, unit: Unit, artifacts) -> None:
            processes[worker] = self.process(worker)
            super().submit(worker, unit, artifacts)
            if unit.needs:
                takers.append(worker)
                if len(takers) == 1:
                    os.kill(processes[worker], signal.SIGKILL)

    put = clusters.RaySession.put

    def counted(self: clusters.RaySession, value: bytes):
        handed.append(value)
        return put(self, value)

    monkeypatch.setattr(clusters.RaySession, "put", counted)
    store = Store(tmp_path)
    outcome = compute(
        plan(), store, Watched("local", device="cpu", worker=made_up_kind.MakingWorker)
    )
    assert (outcome.cells, outcome.failed) == (len(UNITS), 0)
    assert len(takers) == len(LANGUAGES) + 1
    assert len(handed) == len(LANGUAGES)
    assert len(set(processes.values())) > 1
    check(store)
    pd.testing.assert_frame_equal(values(store), values(_inline(tmp_path)), check_exact=True)


def _inline(folder: Path) -> Store:
    store = Store(folder / "inline")
    compute(plan(), store, Recording())
    return store


def values(store: Store) -> pd.DataFrame:
    return (
        read.table([store.files.where], name="alignment").sort_values("key").reset_index(drop=True)
    )
