"""Whatever fails while a command starts or joins Ray, nothing of it is left; no real Ray here."""

import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from orchestrator import cluster as clusters
from orchestrator import provenance
from orchestrator.workers import code, remote
from orchestrator.workers.worker import Worker


class FakePrivateRay:
    """A private Ray that counts how often it was started and closed."""

    token = "token"
    ended = False

    def __init__(self, counts: dict[str, int]) -> None:
        self._counts = counts
        counts["started"] += 1

    def address(self) -> str:
        return "here:1"

    def close(self) -> None:
        self._counts["closed"] += 1


@pytest.fixture
def counts(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """A Ray that does nothing in place of the real one, and what became of it."""
    counts = dict.fromkeys(("started", "closed", "joined", "left"), 0)

    def counted(what: str) -> Callable[..., None]:
        def count(*_: object, **__: object) -> None:
            counts[what] += 1

        return count

    nothing = types.SimpleNamespace()
    ray: Any = types.ModuleType("ray")
    ray.init, ray.shutdown, ray.is_initialized = counted("joined"), counted("left"), lambda: False
    ray.nodes = list
    ray.remote = lambda _: nothing
    ray.cloudpickle = types.SimpleNamespace(
        register_pickle_by_value=lambda _: None, dumps=lambda _: b""
    )
    ray.get_runtime_context = lambda: types.SimpleNamespace(
        gcs_address="here:1", get_node_id=lambda: "head"
    )
    ray.util = types.SimpleNamespace(
        client=types.SimpleNamespace(ray=types.SimpleNamespace(is_connected=lambda: False))
    )
    ray._private = types.SimpleNamespace(utils=nothing)
    monkeypatch.setitem(sys.modules, "ray", ray)
    monkeypatch.setattr(clusters, "PrivateRay", lambda **_: FakePrivateRay(counts))
    monkeypatch.setattr(clusters.RaySession, "_show_token", lambda *_: None)
    monkeypatch.setattr(clusters.RaySession, "_sharing", [])
    for name, value in (("_own", None), ("_foreign", False)):
        monkeypatch.setattr(clusters.RaySession, name, value)
    yield counts
    assert not clusters.RaySession._sharing and clusters.RaySession._own is None


def failing(*_: object, **__: object) -> None:
    raise RuntimeError("planted")


def no_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)


def at(where: str) -> Callable[[pytest.MonkeyPatch], None]:
    """A fault in some step: a name of this project's, or of the package ray."""

    def spoil(patch: pytest.MonkeyPatch) -> None:
        name, _, rest = where.partition(":")
        target: Any = {"ray": sys.modules["ray"], "code": code, "own": FakePrivateRay}.get(name)
        *path, last = rest.split(".")
        for part in path:
            target = getattr(target, part)
        patch.setattr(target, last, failing)

    return spoil


def no_listing(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remote, "Listing", failing)


def no_look(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remote.RemoteCluster, "_first_look", failing)


FAULTS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], bool]] = {
    "ray cannot be imported": (no_ray, False),
    "the source cannot be hashed": (at("code:hashed"), False),
    "it does not come up": (at("own:address"), False),
    "it cannot be joined": (at("ray:init"), False),
    "workers cannot be made": (at("ray:remote"), True),
    "a worker cannot be sent": (at("ray:cloudpickle.dumps"), True),
    "the head does not answer": (at("ray:get_runtime_context"), True),
    "its machines cannot be listed": (no_listing, True),
    "its machines cannot be looked at": (no_look, True),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_private_ray_ends_where_a_later_step_fails(
    fault: str, counts: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    spoil, joined = FAULTS[fault]
    code.hashes_here.cache_clear()
    with monkeypatch.context() as patch:
        spoil(patch)
        with pytest.raises((RuntimeError, ImportError, ValueError)):
            clusters.RayCluster("local", device="cpu", worker=Worker)
    assert counts["started"] == 1 and counts["closed"] >= 1
    assert counts["joined"] == int(joined)
    assert counts["left"] == int(joined or fault == "it cannot be joined")


def test_a_second_cluster_that_fails_leaves_the_first(
    counts: dict[str, int], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(remote.RemoteCluster, "_first_look", lambda _: None)
    first = clusters.RayCluster("local", device="cpu", worker=Worker)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["ray"], "remote", failing)
        with pytest.raises(RuntimeError, match="planted"):
            clusters.RayCluster("local", device="cpu", worker=Worker)
    assert counts == {"started": 1, "closed": 0, "joined": 1, "left": 0}
    first.close()
    assert counts["left"] == 1 and counts["closed"] >= 1


def no_thread(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(clusters.threading.Thread, "join", interrupted)


def no_kill(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(remote.RemoteCluster, "kill", interrupted)


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize("spoil", [no_thread, no_kill])
def test_a_private_ray_ends_though_its_closing_is_broken_off(
    spoil: Callable[[pytest.MonkeyPatch], None],
    counts: dict[str, int],
    monkeypatch: pytest.MonkeyPatch,
):
    """As by a second Ctrl-C, while workers are ended or Ray's own shutdown takes its time."""
    monkeypatch.setattr(remote.RemoteCluster, "_first_look", lambda _: None)
    cluster = clusters.RayCluster("local", device="cpu", worker=Worker)
    cluster._listing.stop()
    monkeypatch.setattr(cluster._listing, "stop", lambda: None)
    cluster._processes[0] = remote._Process(None, "node", {})
    monkeypatch.setattr(clusters.RaySession, "end", lambda *_: None)
    with monkeypatch.context() as patch:
        spoil(patch)
        with pytest.raises(KeyboardInterrupt):
            cluster.close()
    assert counts["closed"] == 1


def test_a_command_hashes_its_source_once(monkeypatch: pytest.MonkeyPatch):
    hashed: list[Path] = []
    whole = code.hashed

    def counted(folder: Path) -> str:
        hashed.append(folder)
        return whole(folder)

    code.hashes_here.cache_clear()
    monkeypatch.setattr(code, "hashed", counted)
    about = provenance.capture([])["code"]
    settings = code.import_settings(same_machine=True)
    assert sorted(folder.name for folder in hashed) == sorted(code.PACKAGES)
    assert about == code.about(settings["hashes"])
