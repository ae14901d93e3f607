"""A plan and a worker fetch the same files of the hub, and no others are read."""

import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import huggingface_hub
import pytest

from actors.model import load
from orchestrator.workers.prefetch import prefetch
from orchestrator.workers.worker import studies_folder
from studies.models import hashing
from studies.models.facts import facts
from studies.models.folder import fetched, opened
from studies.models.hashing import IN_FULL
from studies.models.tokenizer import count_tokens, may_chat
from studies.prompt_options import Chat
from studies.spec import Model
from tests.makers import folders as files
from tests.makers import tiny


def commit(name: str) -> str:
    """The one commit of a repository."""
    return hashlib.sha1(name.encode()).hexdigest()


def git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


class Hub(BaseHTTPRequestHandler):
    """A hub whose repositories `org/NAME` are the folders `root`/NAME."""

    root: Path

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        name, _, rest = path.removeprefix("/api/models").removeprefix("/org/").partition("/")
        folder = self.root / name
        if path.startswith("/api/"):
            content = json.dumps(self._listing(folder) if rest.startswith("tree") else
                                 {"id": f"org/{name}", "sha": commit(name)}).encode()  # fmt: skip
            tag = "none"
        elif (file := folder / rest.removeprefix(f"resolve/{commit(name)}/")).is_file():
            content = file.read_bytes()
            weights = file.suffix == ".safetensors"
            tag = hashlib.sha256(content).hexdigest() if weights else git_hash(content)
        else:
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{tag}"')
        self.send_header("X-Repo-Commit", commit(name))
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _listing(self, folder: Path) -> list[dict[str, object]]:
        there = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return [
            {
                "type": "file",
                "oid": "0",
                "path": path.relative_to(folder).as_posix(),
                "size": path.stat().st_size,
            }
            for path in there
        ]


class Here:
    """The hub's folders, and the local cache."""

    def __init__(self, root: Path, patch: pytest.MonkeyPatch) -> None:
        self.root, self.cache, self._patch = root, root / "cache", patch

    def new_machine(self) -> None:
        """An empty cache."""
        shutil.rmtree(self.cache, ignore_errors=True)

    def offline(self) -> None:
        self._patch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)

    def snapshot(self, name: str = "tiny") -> Path:
        return self.cache / f"models--org--{name}" / "snapshots" / commit(name)

    def cached(self, name: str = "tiny") -> set[str]:
        """The files of a model in the cache."""
        folder = self.snapshot(name)
        return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Here]:
    Hub.root = tmp_path
    with ThreadingHTTPServer(("127.0.0.1", 0), Hub) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        constants = huggingface_hub.constants
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        yield Here(tmp_path, monkeypatch)
        server.shutdown()


@pytest.mark.parametrize("make", files.MAKERS)
def test_a_plan_fetches_all_but_weights_and_a_worker_the_chosen_weights(make: Any, hub: Here):
    folder, trust = make(hub.root / "tiny"), make in files.TRUSTED
    expected = set(files.IN_EVERY_KEY[make])
    weights = {name for name in expected if name.endswith(".safetensors")}
    found = facts(Model(id="org/tiny", trust_remote_code=trust))
    local = facts(Model(id=str(folder), trust_remote_code=trust))
    assert (found.ends, bool(found.code)) == (local.ends, bool(local.code))
    assert not weights & hub.cached()
    assert expected - weights - {"model.safetensors.index.json"} <= hub.cached()
    hub.new_machine()
    sizes = [(folder / name).stat().st_size for name in weights]
    assert prefetch(found, studies_folder()) == sum(sizes)
    assert {name for name in hub.cached() if name.endswith(".safetensors")} == weights
    hub.offline()
    view = opened(found)
    assert {p.relative_to(view).as_posix() for p in view.rglob("*") if p.is_file()} == expected
    load(found, device="cpu")


def test_a_cache_that_lacks_a_file_is_refused_without_a_network(hub: Here):
    files.crammed(hub.root / "tiny")
    found = facts(Model(id="org/tiny"))
    hub.offline()
    assert facts(Model(id="org/tiny")) == found
    with pytest.raises(
        ValueError, match=r"'org/tiny' is neither .* cache with all the files that are"
    ):
        fetched(found)
    (hub.snapshot() / "merges.txt").unlink()
    with pytest.raises(
        ValueError, match=r"'org/tiny' is neither .* cache with all the files that are"
    ):
        facts(Model(id="org/tiny"))


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "merges.txt"])
def test_a_file_that_was_changed_in_the_cache_is_refused(name: str, hub: Here):
    files.add(files.plain(hub.root / "tiny"), "merges.txt", "#version: 0.2")
    facts(Model(id="org/tiny"))
    files.touch(hub.snapshot() / name)
    with pytest.raises(ValueError, match=rf"{name} in the local hub cache is not what model 'org"):
        facts(Model(id="org/tiny"))
    (hub.snapshot() / name).resolve().unlink()
    hub.offline()
    with pytest.raises(ValueError, match="local hub cache"):
        facts(Model(id="org/tiny"))


def test_weights_that_were_changed_in_the_cache_are_found_in_full(
    hub: Here, monkeypatch: pytest.MonkeyPatch
):
    files.plain(hub.root / "tiny")
    found = facts(Model(id="org/tiny"))
    files.touch(fetched(found) / "model.safetensors")
    opened(found)
    monkeypatch.setenv(IN_FULL, "1")
    with pytest.raises(ValueError, match=r"model\.safetensors in the local hub cache is not what"):
        opened(found)


def test_an_adapters_tokenizer_on_the_hub_is_fetched_used_and_in_the_key(hub: Here):
    base = files.plain(hub.root / "tiny")
    same = files.lora(hub.root / "bare", base).rename(hub.root / "same")
    shutil.copytree(same, hub.root / "bare")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, same / name)
    own = Path(shutil.copytree(same, hub.root / "own"))
    files.add(own, "chat_template.jinja", "adapter's {{ messages[0]['content'] }}")
    bare, same_facts, found = (
        facts(Model(id="org/tiny", adapter=f"org/{name}")) for name in ("bare", "same", "own")
    )
    assert same_facts.tokenizer == bare.tokenizer, "it is the same tokenizer"
    assert not same_facts.adapter_tokenizer
    assert found.tokenizer != bare.tokenizer
    assert may_chat(found) and not may_chat(bare)
    assert count_tokens(found, ["aaa"]) == [4]
    assert "adapter_model.safetensors" not in hub.cached("own")
    mixed = facts(Model(id=str(base), adapter="org/own"))
    assert mixed.adapter_tokenizer
    assert replace(mixed, weights="w").identity == replace(found, weights="w").identity
    hub.new_machine()
    prefetch(found, studies_folder())
    hub.offline()
    assert load(found, device="cpu").in_chat(["hello"], chat=Chat()) == ["adapter's hello"]


def test_the_weights_of_a_fetch_are_those_of_the_folder(hub: Here):
    files.sharded(hub.root / "tiny")
    expected = tiny.loaded("llama").model.state_dict()
    loaded = load(facts(Model(id="org/tiny")), device="cpu").model.state_dict()
    assert all(value.equal(expected[name]) for name, value in loaded.items())


def test_a_process_asks_the_hub_once_for_the_same_files(hub: Here, monkeypatch: pytest.MonkeyPatch):
    """A plan looks at a model several times, and counts tokens of some texts at a time."""
    monkeypatch.setattr(hashing, "SETTLED_SECONDS", -1e9)
    files.plain(hub.root / "tiny")
    asked: list[object] = []
    plainly = huggingface_hub.snapshot_download

    def download(*given: Any, **named: Any) -> str:
        asked.append((given, named))
        return plainly(*given, **named)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    found = facts(Model(id="org/tiny"))
    assert facts(Model(id="org/tiny")) == found
    for _ in range(5):
        assert count_tokens(found, ["aaa"]) == [4]
    assert len(asked) == 1
    touched = hub.snapshot() / "tokenizer.json"
    files.touch(touched)
    with pytest.raises(ValueError, match=r"tokenizer\.json in the local hub cache is not what"):
        count_tokens(found, ["aaa"])
    touched.resolve().unlink()
    touched.unlink()
    assert count_tokens(found, ["aaa"]) == [4], "what is gone is fetched again"
