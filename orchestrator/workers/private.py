"""A Ray for one command alone: a short folder, a process of its own, and its end.

What is started is the script head.py. What keeps it from starting is said in one sentence, from
what this machine shows and from the script's last words.
"""

import contextlib
import json
import os
import re
import resource
import secrets
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from orchestrator.workers import head

# A socket's path may have 107 bytes on Linux, 103 elsewhere; this is the longest that Ray makes.
SOCKET_BYTES = 107 if sys.platform == "linux" else 103
RAY_SOCKET = "/session_2026-11-28_09-27-42_123456_1234567/sockets/plasma_store"
FOLDER = "bs-"
# Logs of a long run, and what shared memory has no room for.
ROOM_BYTES = 100 << 20
# Ray's servers open some hundreds of files each, and take no more than this themselves.
FILES = 65_536
START_SECONDS = 120.0
REACH_SECONDS = 5.0
CAUSES = {
    r"No space left on device|Errno 28": "a disk that it needs is full",
    r"Too many open files|Errno 24": "too few files may be open (`ulimit -n`)",
    r"Resource temporarily unavailable|can't start new thread|Errno 11\b|pthread_create": (
        "too few processes or threads are allowed (`ulimit -u`, or the limit of a container)"
    ),
    r"No module named 'ray'": "the package ray cannot be imported: install babelscope again",
    r"Cannot allocate memory|MemoryError|bad_alloc|Errno 12\b": "memory is short",
}
INSTEAD = "--cluster inline needs no Ray"


class PrivateRay:
    """Ray's servers in a process of their own, which ends with this one or with `close`."""

    def __init__(self, *, cpu_only: bool) -> None:
        """Begin to start them.

        Raises:
            ValueError: they cannot be started here; the sentence says why.
        """
        with contextlib.suppress(OSError, ValueError):
            now, most = resource.getrlimit(resource.RLIMIT_NOFILE)
            wanted = FILES if most == resource.RLIM_INFINITY else min(FILES, most)
            if now != resource.RLIM_INFINITY and now < wanted:
                resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
        _refuse_without_loopback()
        self.folder = short_folder()
        self.token = secrets.token_hex(32)
        self._heard = b""
        try:
            self._process = self._started(cpu_only=cpu_only)
            # A setting in the environment can end whatever imports Ray: better that than us.
            self._line()
        except BaseException:
            self.close()
            raise

    def address(self) -> str:
        """Where they listen, once all are up.

        Raises:
            ValueError: they do not come up; the sentence says why.
        """
        return str(json.loads(self._line())["address"])

    @property
    def ended(self) -> bool:
        """Whether it is no more, without having been closed."""
        return self._process.poll() is not None

    def close(self) -> None:
        """End every process of it at once, and remove its folder."""
        process = getattr(self, "_process", None)
        if process is None:
            shutil.rmtree(self.folder, ignore_errors=True)
            return
        head.end(process.pid, folder=str(self.folder))
        process.wait()
        for stream in (process.stdin, process.stdout):
            stream.close()

    def _started(self, *, cpu_only: bool) -> "subprocess.Popen[bytes]":
        """The script, begun."""
        settings: dict[str, object] = {
            "include_dashboard": False,
            "include_log_monitor": False,
            "no_monitor": True,
        }
        if cpu_only:
            settings["num_gpus"] = 0
        command = [sys.executable, head.__file__, str(self.folder), json.dumps(settings)]
        try:
            with self._words.open("w") as words:
                return subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=words,
                    cwd=self.folder,
                    env=self._environment(),
                    start_new_session=True,
                )
        except OSError as error:
            raise ValueError(f"Ray did not start: {_cause(str(error))}; {INSTEAD}") from error

    def _environment(self) -> dict[str, str]:
        """The command's, with what is this Ray's own; nothing of it needs a home directory."""
        taken = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS",)}
        if given := taken.get("PYTHONPATH"):
            places = (os.path.abspath(place) for place in given.split(os.pathsep) if place)
            taken["PYTHONPATH"] = os.pathsep.join(places)
        own = {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": self.token,
            "RAY_TMPDIR": str(self.folder),
            "RAY_USAGE_STATS_ENABLED": "0",
            "PYTHONSAFEPATH": "1",
        }
        return taken | own

    def _line(self) -> bytes:
        """The next line that the script prints."""
        assert self._process.stdout is not None
        pipe, until = self._process.stdout.fileno(), time.monotonic() + START_SECONDS
        ready = True
        while ready and b"\n" not in self._heard:
            left = max(0.0, until - time.monotonic())
            ready = bool(select.select([pipe], [], [], left)[0])
            if ready and not (more := os.read(pipe, 4096)):
                break
            self._heard += more if ready else b""
        line, end, rest = self._heard.partition(b"\n")
        if end:
            self._heard = rest
            return line
        if ready:
            words = self._words.read_text(errors="replace") + self._logs()
            why = _cause(words, status=self._process.wait())
        else:
            why = f"it was not up within {START_SECONDS:.0f} s"
        raise ValueError(f"Ray did not start: {why}{_settings()}; {INSTEAD}")

    @property
    def _words(self) -> Path:
        """What the script has to say."""
        return self.folder / "head.log"

    def _logs(self) -> str:
        """The last words of Ray's servers, where the script has none of their own."""
        logs = sorted(self.folder.glob("session_2*/logs/*.err"))
        logs += sorted(self.folder.glob("session_2*/logs/*.out"))
        return "".join(log.read_text(errors="replace")[-4000:] for log in logs)


def _refuse_without_loopback() -> None:
    """Ray's processes speak with each other by sockets: without, each waits for minutes.

    Raises:
        ValueError: this machine has no port, or cannot reach its own.
    """
    try:
        with socket.create_server(("127.0.0.1", 0)) as server:
            socket.create_connection(server.getsockname(), timeout=REACH_SECONDS).close()
    except OSError as error:
        raise ValueError(
            f"Ray did not start: this machine cannot reach itself at 127.0.0.1 ({error}): see that "
            f"its loopback network is up and has free ports; {INSTEAD}"
        ) from error


def short_folder() -> Path:
    """A new folder for Ray's sockets and logs, in the first place that will do.

    Raises:
        ValueError: none will; the sentence says what is wrong with each.
    """
    refused = []
    for place in _places():
        wrong = _wrong_with(place)
        if not wrong:
            try:
                return Path(tempfile.mkdtemp(prefix=FOLDER, dir=place))
            except OSError as error:
                wrong = (error.strerror or str(error)).lower()
        refused.append(f"{place}: {wrong}")
    raise ValueError(
        f"Ray needs a folder for its sockets and logs ({'; '.join(refused)}): set RAY_TMPDIR to a "
        f"folder with {ROOM_BYTES >> 20} MB and a path of at most {_longest()} bytes; {INSTEAD}"
    )


def _places() -> Iterator[str]:
    """Where temporary files may go, each once: as asked for, then as usual."""
    asked = [os.environ.get(name, "") for name in ("RAY_TMPDIR", "TMPDIR", "TEMP", "TMP")]
    yield from dict.fromkeys(
        os.path.abspath(place) for place in (*asked, "/tmp", "/var/tmp", "/dev/shm") if place
    )


def _wrong_with(place: str) -> str:
    """What speaks against a folder, if anything."""
    if not os.path.exists(place):
        return "does not exist"
    if not os.path.isdir(place):
        return "is no folder"
    if len(os.fsencode(os.path.realpath(place))) > _longest():
        return f"the path is longer than {_longest()} bytes"
    if not os.access(place, os.W_OK | os.X_OK):
        return "cannot be written"
    free = shutil.disk_usage(place).free
    return f"has {free / 1e6:.0f} MB free" if free < ROOM_BYTES else ""


def _longest() -> int:
    """How many bytes the path of a folder may have in which Ray's is made."""
    return SOCKET_BYTES - len(RAY_SOCKET) - len(f"/{FOLDER}12345678")


def _cause(words: str, *, status: int | None = None) -> str:
    """Why it ended, from its last words."""
    for pattern, cause in CAUSES.items():
        if re.search(pattern, words):
            return cause
    lines = [line.strip() for line in words.splitlines() if line.strip()]
    said = next(
        (line for line in reversed(lines) if re.match(r"[\w.]+(Error|Exception)\b", line)), ""
    )
    said = said or (lines[-1] if lines else "")
    if status is not None and status < 0:
        name = signal.Signals(-status).name
        return f"its process ended by {name}" + (f" ({said[:300]})" if said else "")
    return said[:300] or "it did not say why"


def _settings() -> str:
    """The settings for Ray that the environment has: one of them may be the cause."""
    found = sorted(
        name
        for name in os.environ
        if name.startswith("RAY_") and name not in ("RAY_TMPDIR", "RAY_ADDRESS", "RAY_CLIENT_MODE")
    )
    return f" (the environment sets {', '.join(found)}: try without)" if found else ""
