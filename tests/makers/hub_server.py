"""A hub on this machine, as far as `huggingface_hub` asks for models: refs, commits, files.

Weights are redirected to another path, as large files are on the real one, and are known by their
sha256; small files by git's hash of them.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import huggingface_hub
import pytest

DATE = "2026-11-{day:02}T10:00:00.000Z"


@dataclass
class Repository:
    """What a model has: branches and tags at commits, and each commit's files."""

    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Path] = field(default_factory=dict)
    dates: dict[str, str] = field(default_factory=dict)

    def commit(self, revision: str) -> str | None:
        found = self.branches.get(revision) or self.tags.get(revision) or revision
        return found if found in self.commits else None


class Hub:
    """The models, and what was asked of them; `broken` makes every answer an error."""

    def __init__(self, root: Path) -> None:
        self.root, self.address = root, ""
        self.models: dict[str, Repository] = {}
        self.asked: list[str] = []
        self.broken = False

    def push(self, name: str, files: Path, *, branch: str = "main", tag: str | None = None) -> str:
        """Put the files of a folder as a new commit on a branch; returns the commit."""
        model = self.models.setdefault(name, Repository())
        number = len(model.commits) + 1
        commit = hashlib.sha1(f"{name} {number}".encode()).hexdigest()
        shutil.copytree(files, self.root / commit)
        model.commits[commit] = self.root / commit
        model.dates[commit] = DATE.format(day=number)
        model.branches[branch] = commit
        if tag is not None:
            model.tags[tag] = commit
        return commit

    def environment(self, cache: Path) -> dict[str, str]:
        """What a user sets to use this hub."""
        return {"HF_ENDPOINT": self.address, "HF_HUB_CACHE": str(cache), "HF_HUB_OFFLINE": "0"}

    def patch(self, patch: pytest.MonkeyPatch, cache: Path) -> None:
        """The same in this process, which read its environment long ago."""
        constants = huggingface_hub.constants
        patch.setattr(constants, "ENDPOINT", self.address)
        patch.setattr(constants, "HF_HUB_CACHE", str(cache))
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        template = self.address + "/{repo_id}/resolve/{revision}/{filename}"
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


@contextmanager
def served(root: Path) -> Iterator[Hub]:
    """A hub whose files lie in a folder, for as long as the context is open."""
    hub = Hub(root)

    class Handler(_Handler):
        pass

    Handler.hub = hub
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        hub.address = f"http://127.0.0.1:{server.server_port}"
        yield hub
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    """Answers for a hub."""

    hub: Hub

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", 0))).decode())

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: str = "") -> None:
        found = urlsplit(self.path)
        self.hub.asked.append(found.path)
        if self.hub.broken:
            self._send(b"{}", status=501)
            return
        path = unquote(found.path)
        if path == "/api/models":
            self._list(parse_qs(found.query))
        elif path.startswith("/api/models/"):
            self._about(path.removeprefix("/api/models/"), body)
        elif path.startswith("/large/"):
            self._file(self.hub.root / path.removeprefix("/large/"))
        else:
            self._resolve(path.removeprefix("/"))

    def _list(self, asked: dict[str, list[str]]) -> None:
        author, search = asked["author"][0], asked.get("search", [""])[0]
        names = [name for name in self.hub.models if name.startswith(f"{author}/")]
        self._send_json([{"id": name} for name in names if search in name])

    def _about(self, rest: str, body: str) -> None:
        owner, name, *more = rest.split("/", 3)
        model = self.hub.models.get(f"{owner}/{name}")
        if model is None:
            self._missing("RepoNotFound")
            return
        if more == ["refs"]:
            self._send_json({
                kind: [
                    {"name": one, "ref": f"refs/{place}/{one}", "targetCommit": commit}
                    for one, commit in refs.items()
                ]
                for kind, place, refs in (
                    ("branches", "heads", model.branches), ("tags", "tags", model.tags),
                    ("converts", "convert", {}),
                )
            })  # fmt: skip
            return
        commit = model.commit(more[1] if len(more) > 1 else "main")
        if commit is None:
            self._missing("RevisionNotFound")
            return
        there = sorted(path for path in model.commits[commit].rglob("*") if path.is_file())
        files = {path.relative_to(model.commits[commit]).as_posix(): path for path in there}
        made = {"id": commit, "title": "saved", "date": model.dates[commit]}
        entries = [
            {"type": "file", "oid": _git_hash(path.read_bytes()), "path": one,
             "size": path.stat().st_size, "lastCommit": made}
            for one, path in files.items()
        ]  # fmt: skip
        if more and more[0] == "tree":
            self._send_json(entries)
        elif more and more[0] == "paths-info":
            wanted = parse_qs(body)["paths"]
            self._send_json([one for one in entries if one["path"] in wanted])
        else:
            told = {"id": f"{owner}/{name}", "sha": commit}
            self._send_json({**told, "siblings": [{"rfilename": one} for one in files]})

    def _resolve(self, rest: str) -> None:
        owner, name, _, revision, file = rest.split("/", 4)
        model = self.hub.models.get(f"{owner}/{name}")
        commit = model.commit(revision) if model else None
        if model is None or commit is None:
            self._missing("RevisionNotFound" if model else "RepoNotFound")
            return
        path = model.commits[commit] / file
        if not path.is_file():
            self._missing("EntryNotFound", {"X-Repo-Commit": commit})
        elif path.suffix == ".safetensors":
            told = {"X-Linked-ETag": f'"{hashlib.sha256(path.read_bytes()).hexdigest()}"',
                    "X-Linked-Size": str(path.stat().st_size), "X-Repo-Commit": commit}  # fmt: skip
            # Another name of this machine: within its own, the client follows to the very end.
            elsewhere = self.hub.address.replace("127.0.0.1", "localhost")
            place = f"{elsewhere}/large/{path.relative_to(self.hub.root).as_posix()}"
            self._send(b"", status=302, headers={**told, "Location": place})
        else:
            self._file(path, {"ETag": f'"{_git_hash(path.read_bytes())}"', "X-Repo-Commit": commit})

    def _file(self, path: Path, headers: dict[str, str] | None = None) -> None:
        self._send(path.read_bytes(), headers=headers)

    def _missing(self, code: str, headers: dict[str, str] | None = None) -> None:
        self._send(b"", status=404, headers={"X-Error-Code": code, **(headers or {})})

    def _send_json(self, content: Any) -> None:
        self._send(json.dumps(content).encode())

    def _send(
        self, content: bytes, *, status: int = 200, headers: dict[str, str] | None = None
    ) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
