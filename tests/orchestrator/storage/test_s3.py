"""The store in an object store: moto's S3 server on loopback, spoken to as any other."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyarrow import fs

from analysis import read
from analysis.storage.folder import Folder, StorageError
from orchestrator.results import keep
from orchestrator.storage import compaction
from orchestrator.storage import lease as leases
from orchestrator.storage.lease import Lease, LeaseLostError
from orchestrator.storage.store import Store
from tests.makers.stored import choice_unit, error, fill, rows, unit
from tests.orchestrator.storage.test_lease import race, start

SERVER = """
import logging, sys
from moto.moto_server.threaded_moto_server import ThreadedMotoServer
logging.getLogger('werkzeug').setLevel(logging.ERROR)
server = ThreadedMotoServer(ip_address='127.0.0.1', port=0, verbose=False)
server.start()
print('http://%s:%s' % server.get_host_and_port(), flush=True)
sys.stdin.read()
server.stop()
"""
KILLED = """
import sys, time
from orchestrator.storage import lease
from orchestrator.storage.store import Store
lease.BEAT_SECONDS, lease.READ_BACK_SECONDS = 0.5, 0.1
with Store(sys.argv[1]).lock():
    print('held', flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of an S3 server that lives as long as these tests.

    It is a process of its own: where its web framework is imported, vLLM does not open.
    """
    running = subprocess.Popen(
        [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert running.stdin is not None and running.stdout is not None
    yield running.stdout.readline().strip()
    running.stdin.close()
    running.wait()


@pytest.fixture
def bucket(server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """A new bucket, found by the usual variables."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_ENDPOINT_URL": server,
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(leases, "READ_BACK_SECONDS", 0.05)
    monkeypatch.setattr(compaction, "SETTLE_SECONDS", 0.0)
    name = f"b{time.time_ns()}"
    scheme, _, host = server.partition("://")
    system = fs.S3FileSystem(
        region="us-east-1", scheme=scheme, endpoint_override=host, allow_bucket_creation=True
    )
    system.create_dir(name)
    return f"s3://{name}"


def names(store: Store) -> set[str]:
    return {entry.name for entry in store.files.entries("")}


def test_a_store_there_is_a_store_here(bucket: str, tmp_path: Path):
    """The same calls give the same rows, counts and report in both."""
    one, items = unit("deu_Latn", "fra_Latn"), choice_unit("deu_Latn")
    failed = unit("swh_Latn").cells[0]
    stores = [Store(f"{bucket}/runs/first"), Store(tmp_path / "first")]
    for store in stores:
        assert store.manifest() is None and store.keys() == store.failed() == set()
        store.files.check_room(10)
        assert names(store) == set()
        with store.lock():
            store.write_manifest({"study": "test", "settings": {}, "pins": {}, "cells": {}})
            for each in (one, items):
                keep(store, each, rows(each))
            keys = fill(store, 3)
            store.write_errors([error(failed)])
            store.write_artifact("ab", b"tensors")
            store.write_status({"done": 3})
            assert str(store.holder()).startswith(f"{leases.here().user} on ")
            store.compact(min_shards=2)
            fill(store, 1, start=9)
    there, here = stores
    assert there.keys() == here.keys() > keys
    assert there.failed() == here.failed() == {failed.key}
    assert there.count_by_model() == here.count_by_model() == ({"a": 13}, {"a": 1})
    assert there.manifest() == here.manifest()
    assert there.read_status() == {"done": 3}
    assert there.artifacts(["ab", "cd"]) == {"ab": b"tensors"}
    there.admit("test", settings={}, pins={})
    with pytest.raises(ValueError, match=rf"^{bucket}/runs/first holds the study 'test'"):
        there.admit("other", settings={}, pins={})
    ours, theirs = (read.rows([place]) for place in (here.address, there.address))
    for name in ("alignment", "items", "errors"):
        left, right = getattr(ours, name), getattr(theirs, name)
        assert left.sort_values(list(left)[:12]).values.tolist()
        assert set(left["key"]) == set(right["key"]) and left.shape == right.shape
    assert theirs.runs[0] == ours.runs[0] == {"run": "first", **(here.manifest() or {})}
    assert {name for name in names(there) if not name.startswith("tables")} == {
        "artifacts/ab.safetensors",
        "artifacts/ab.safetensors.sha256",
        "errors.parquet",
        "run.json",
        "status.json",
    }


def test_the_address_says_where_or_the_environment_does(
    bucket: str, server: str, monkeypatch: pytest.MonkeyPatch
):
    fill(Store(f"{bucket}/run"), 1)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    host = server.partition("://")[2]
    full = f"{bucket.replace('s3://', 's3://key:secret@')}/run"
    for option in (f"endpoint_override={host}&scheme=http", f"endpoint_override={server}"):
        for address in (f"{full}?{option}", Path(f"{full}?{option}"), f"{full}/?{option}"):
            store = Store(address)
            assert len(store.keys()) == 2
            assert len(read.table([address], name="alignment")) == 2
            assert len(read.table([store.files.where], name="alignment")) == 2
            assert store.address == f"{bucket}/run", "no secret in what people read"


def test_a_place_that_does_not_answer_is_one_sentence(bucket: str):
    with pytest.raises(StorageError) as refused, Store("s3://no-such-bucket/run").lock():
        pass
    text = str(refused.value)
    assert "s3://no-such-bucket/run cannot be used" in text and "bucket does not exist" in text
    assert "\n" not in text and "Request ID" not in text
    with pytest.raises(StorageError, match="check the address"):
        Store("s3://no-such-bucket/run").files.check_room(1)
    with pytest.raises(ValueError, match=r"no run at s3://no-such-bucket/run: expected run.json"):
        read.rows(["s3://no-such-bucket/run"])
    with pytest.raises(ValueError, match="names no bucket"):
        Store("s3:///run").keys()


def test_a_damaged_shard_there_is_set_aside(bucket: str):
    store = Store(f"{bucket}/run")
    keys = fill(store, 3)
    victim = min(entry.name for entry in store.files.entries("tables"))
    whole = store.files.read(victim)
    store.files.put(victim, whole[:50])
    assert len(store.keys()) == len(keys) - 2
    assert victim in names(store)
    with pytest.raises(ValueError, match=rf"{bucket}/run/{victim} is damaged"):
        read.rows([store.address])
    with store.lock():
        assert len(store.keys()) == len(keys) - 2
        assert victim not in names(store)
    (kept,) = (name for name in names(store) if name.startswith("quarantine/alignment/"))
    assert store.files.read(kept) == whole[:50]


def test_what_vanishes_while_it_is_read_is_found_in_its_new_place(
    bucket: str, monkeypatch: pytest.MonkeyPatch
):
    store = Store(f"{bucket}/run")
    keys = fill(store, 6)
    original, done = Folder.read, []

    def late(self: Folder, name: str) -> bytes:
        if not done:
            done.append(name)
            store.compact(min_shards=2)
        return original(self, name)

    monkeypatch.setattr(Folder, "read", late)
    assert Store(store.address).keys() == keys and done
    # Large files are read in pieces: one that goes between two of them is gone, not damaged.
    monkeypatch.setattr("analysis.storage.folder.WHOLE_BYTES", 0)
    (entry,) = store.files.entries("tables")
    with pytest.raises(FileNotFoundError), store.files.opened(entry) as source:  # noqa: PT012
        store.files.delete(entry.name)
        source.read()


def test_of_processes_that_race_for_a_bucket_one_wins(bucket: str):
    race([f"{bucket}/run{number}" for number in range(3)], flock=False)


def test_a_killed_holder_of_this_machine_is_watched_for_a_heartbeat(
    bucket: str, monkeypatch: pytest.MonkeyPatch
):
    """What seems gone may live on in another copy of this machine."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 0.5)
    store = Store(f"{bucket}/run")
    other = start(KILLED, store.address)
    assert other.stdout and other.stdout.readline() == "held\n"
    with pytest.raises(ValueError, match=f"process {other.pid}, since"), store.lock():
        pass
    other.send_signal(signal.SIGKILL)
    other.wait()
    began = time.monotonic()
    with store.lock():
        assert 0.5 < time.monotonic() - began < leases.STALE_SECONDS
        fill(store, 1)
    assert not store.files.entries("leases")


def test_a_copy_of_this_machine_that_lives_keeps_its_store(
    bucket: str, monkeypatch: pytest.MonkeyPatch
):
    """Both machines have one name and one boot; only this one has no such process."""
    monkeypatch.setattr(leases, "BEAT_SECONDS", 1.0)
    store = Store(f"{bucket}/run")
    alive = Lease(store.files)
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    alive._process = leases.Process(
        **{**{n: getattr(alive._process, n) for n in alive._process.__slots__}, "number": gone.pid}
    )
    alive.acquire()
    with pytest.raises(ValueError, match=f"process {gone.pid}"), Store(store.address).lock():
        pass
    alive.check()
    alive.release()


def test_a_lost_lease_there_stops_the_writes(bucket: str):
    store = Store(f"{bucket}/run")
    with pytest.raises(LeaseLostError, match="was taken over"), store.lock():  # noqa: PT012
        (entry,) = store.files.entries("leases")
        store.files.delete(entry.name)
        assert store._lease
        store._lease._beat()
        fill(store, 1)
    assert names(store) == set()


def test_the_report_is_put_beside_the_rows(bucket: str, tmp_path: Path):
    (tmp_path / "report" / "tables").mkdir(parents=True)
    (tmp_path / "report" / "index.html").write_text("<html>")
    (tmp_path / "report" / "tables" / "a.csv").write_text("a")
    store = Store(f"{bucket}/run")
    store.files.copy_in(tmp_path / "report", to="report")
    assert names(store) == {"report/index.html", "report/tables/a.csv"}
    assert json.loads(json.dumps(store.read_status())) is None
    assert os.environ["AWS_ENDPOINT_URL"]
