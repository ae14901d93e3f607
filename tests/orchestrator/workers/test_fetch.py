"""A model's files are brought to a machine ahead of its load, and nothing hangs on it."""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from orchestrator import cluster as clusters
from orchestrator.workers import prefetch
from orchestrator.workers.prefetch import Prefetches
from orchestrator.workers.worker import studies_folder
from studies.models.facts import facts
from studies.spec import Model, ModelFacts
from tests.makers import tiny
from tests.makers.world import one_local_ray

COMMIT = "0123456789abcdef0123456789abcdef01234567"
MODEL = facts(Model(id="miniworld-llama"))


class Noted:
    """A session whose tasks are only noted."""

    def __init__(self) -> None:
        self.begun: list[tuple[str, str]] = []
        self.cancelled: list[Any] = []

    def task(self, _function: Any, machine: str, model: ModelFacts, _origin: str) -> Any:
        self.begun.append((machine, model.name))
        return len(self.begun)

    def cancel(self, call: Any) -> None:
        self.cancelled.append(call)


def test_a_machine_fetches_one_model_at_a_time():
    session = Noted()
    fetches = Prefetches(session)  # type: ignore[arg-type]
    models = [replace(MODEL, name=name) for name in "abc"]
    for model in (*models, models[1]):
        fetches.ask(model, "one")
    fetches.ask(models[0], "two")
    assert session.begun == [("one", "a"), ("two", "a")]
    fetches.answered(1)
    assert session.begun[2:] == [("one", "b")]
    fetches.answered(2)
    fetches.answered(3)
    assert session.begun[3:] == [("one", "c")], "asked for twice, fetched once"
    fetches.end()
    assert session.cancelled == [4] and not list(fetches.calls)


def test_weights_are_read_where_memory_allows(monkeypatch: pytest.MonkeyPatch):
    size = sum(path.stat().st_size for path in Path(MODEL.folder).glob("*.safetensors"))
    assert prefetch.prefetch(MODEL, studies_folder()) == size
    monkeypatch.setattr(prefetch, "_available", lambda: 2 * size - 1)
    assert prefetch.prefetch(MODEL, studies_folder()) == 0


class Hub(BaseHTTPRequestHandler):
    """What the hub answers about one model, whose files lie in `folder`."""

    folder: Path
    silent = Event()

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        self.silent.wait()
        path = self.path.partition("?")[0]
        if path.startswith("/api/models/org/tiny"):
            sizes = {file.name: file.stat().st_size for file in self.folder.iterdir()}
            if "/tree/" in path:
                entry = {"type": "file", "oid": "0"}
                told: Any = [{**entry, "path": n, "size": size} for n, size in sizes.items()]
            else:
                told = {"id": "org/tiny", "sha": COMMIT}
                told["siblings"] = [{"rfilename": name} for name in sizes]
            content = json.dumps(told).encode()
        elif (file := self.folder / path.rpartition("/")[2]).is_file():
            content = file.read_bytes()
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A hub on this machine, and a Ray whose processes have an empty cache; the cache's folder."""
    folder = tmp_path_factory.mktemp("hub")
    Hub.folder, Hub.silent = folder / "files", Event()
    Hub.silent.set()
    shutil.copytree(tiny.make("llama").folder, Hub.folder)
    (Hub.folder / "pytorch_model.bin").write_bytes(b"never read")
    with (
        pytest.MonkeyPatch.context() as patch,
        ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server,
    ):
        Thread(target=server.serve_forever, daemon=True).start()
        patch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        patch.setenv("HF_HUB_CACHE", str(folder / "cache"))
        patch.delenv("HF_HUB_OFFLINE", raising=False)
        with one_local_ray():
            yield folder / "cache"
        server.shutdown()


def files_in(cache: Path, model: str) -> Path:
    """Where the cache keeps the files of a model of the hub."""
    return cache / f"models--{model.replace('/', '--')}" / "snapshots" / COMMIT


@pytest.mark.ray
def test_a_node_downloads_ahead_and_a_fetch_that_fails_is_not_heard_of(downloads: Path):
    """On real Ray: the first model exists nowhere, and the load of the second finds its files."""
    model = replace(tiny.make("llama"), folder="org/tiny", commit=COMMIT, weights="w")
    hub = files_in(downloads, "org/tiny")
    cluster = clusters.RayCluster("local", device="cpu")
    try:
        (node,) = cluster.nodes()
        cluster.prefetch(replace(model, folder=str(hub / "nowhere"), commit=""), node=node.name)
        cluster.prefetch(model, node=node.name)
        cluster.prefetch(model, node="no such node")
        wait_for(cluster, [hub / "model.safetensors"])
        assert (hub / "tokenizer.json").is_file()
        assert not (hub / "pytorch_model.bin").exists(), "what is never read is not downloaded"
        Hub.folder = hub / "gone"
        cluster.open(0, model, node=node.name, gpus=0)
        while (event := cluster.wait(seconds=1)) is None:
            pass
        assert event.kind == "open", event.error
    finally:
        cluster.close()


def wait_for(cluster: clusters.Cluster, files: Sequence[Path]) -> None:
    """Nothing is to be heard while the files come."""
    deadline = time.monotonic() + 120
    while not all(file.is_file() for file in files):
        assert time.monotonic() < deadline
        assert cluster.wait(seconds=0.2) is None


@pytest.mark.ray
def test_closing_breaks_a_fetch_off(downloads: Path):
    """The hub never answers; another user of this process's Ray stays."""
    import ray
    import ray.exceptions as broken

    model = replace(MODEL, folder="org/silent", commit=COMMIT)
    Hub.silent = Event()
    one, other = (clusters.RayCluster("local", device="cpu") for _ in range(2))
    try:
        one.prefetch(model, node=one.nodes()[0].name)
        (call,) = one._prefetches.calls
        assert one.wait(seconds=1) is None
        one.close()
        with pytest.raises((broken.TaskCancelledError, broken.WorkerCrashedError)):
            ray.get(call, timeout=60)
        assert other.nodes()
    finally:
        other.close()
        Hub.silent.set()
    assert not files_in(downloads, "org/silent").exists()
