"""Where a command runs: hostile working directories, folders that will not do, signals."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import pytest

from orchestrator import launch
from orchestrator.workers import code, head, private
from orchestrator.workers.session import LostError
from tests.makers import world
from tests.makers.world import ROOT, run, same

EVIL = "raise SystemExit('imported from the working directory')\n"
OURS = ("studies", "actors", "orchestrator", "analysis")
# Standard library, heavy packages, and what Ray and the packages import late.
OTHERS = ("torch", "numpy", "json", "ray", "transformers", "statistics", "queue", "tokenizers")


def hostile(folder: Path, *, names: tuple[str, ...] = OURS + OTHERS) -> Path:
    """A working directory in which the names of packages are taken."""
    for name in names:
        if name in OURS:
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").write_text(EVIL)
        else:
            (folder / f"{name}.py").write_text(EVIL)
    return folder


def python(
    *arguments: str, cwd: Path, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        capture_output=True,
        text=True,
        env={**os.environ, **(environment or {})},
    )


SETTLED = f"""
import importlib.util, json, sys
spec = importlib.util.spec_from_file_location("code_of_ours", {str(Path(code.__file__))!r})
code = importlib.util.module_from_spec(spec)
spec.loader.exec_module(code)
code.apply(json.loads(sys.argv[1]))
import actors, orchestrator.plan, studies, studies.spec
print(json.dumps([studies.__path__, actors.__path__, orchestrator.__path__]))
"""


def test_packages_are_taken_by_their_hash_and_not_by_the_order_of_a_path(tmp_path: Path):
    """As in a worker: the working directory is first on its path, the right code is last."""
    evil = hostile(tmp_path / "evil", names=OURS)
    settings = code.import_settings(same_machine=False) | {"folder": str(evil)}
    path = {"PYTHONPATH": os.pathsep.join([str(evil), str(ROOT)])}
    done = python("-c", SETTLED, json.dumps(settings), cwd=evil, environment=path)
    assert done.returncode == 0, done.stderr
    wanted = [[str(ROOT / name)] for name in ("studies", "actors", "orchestrator")]
    assert json.loads(done.stdout) == wanted
    settings["hashes"] = {**code.hashes_here(), "actors": "0" * 64}
    done = python("-c", SETTLED, json.dumps(settings), cwd=evil, environment=path)
    assert "package 'actors' is not there as this command has it (000000000000)" in done.stderr


def test_the_hash_is_of_every_source_file_and_its_place(tmp_path: Path):
    package = tmp_path / "package"
    package.mkdir()
    (package / "one.py").write_text("1")
    seen = {code.hashed(package)}
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "one.pyc").write_text("compiled")
    assert code.hashed(package) in seen
    for path, text in (("two.py", ""), ("codes.csv", "a,b"), ("one.py", "2")):
        (package / path).write_text(text)
        assert code.hashed(package) not in seen
        seen.add(code.hashed(package))
    (package / "one.py").rename(package / "three.py")
    assert code.hashed(package) not in seen


@pytest.mark.parametrize(
    ("way", "path"),
    [("-m", ""), ("-m", "/nowhere:"), ("script", ""), ("script", "/nowhere:"), ("script", "EVIL")],
)
def test_a_command_is_not_led_astray_by_its_working_directory(way: str, path: str, tmp_path: Path):
    """`python -m` finds `orchestrator` in the working directory before we can say a word, so there
    the directory has the other names alone; so has a PYTHONPATH of the user's own.
    """
    ours = tuple(name for name in OURS if name != "orchestrator")
    evil = hostile(tmp_path / "evil", names=ours + (OTHERS if path != "EVIL" else ()))
    script = tmp_path / "babelscope"
    script.write_text("from orchestrator.__main__ import main\nmain()\n")
    began = ["-m", "orchestrator"] if way == "-m" else [str(script)]
    command = [*began, "plan", "demo", "--cluster", "inline"]
    done = python(*command, cwd=evil, environment={"PYTHONPATH": path.replace("EVIL", str(evil))})
    assert done.returncode == 0, done.stderr
    assert "cells" in done.stdout


def test_a_package_that_is_imported_from_elsewhere_already_is_named(tmp_path: Path):
    (tmp_path / "studies").mkdir()
    (tmp_path / "studies" / "__init__.py").touch()
    lines = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import studies"
    done = python("-c", f"{lines}\nimport orchestrator.entry", cwd=tmp_path)
    assert f"package 'studies' is imported from {tmp_path / 'studies'}, not from" in done.stderr


def usable(folder: Path) -> bool:
    return folder.is_dir() and len(str(folder)) + 1 + len(private.RAY_SOCKET) <= 107


@pytest.mark.parametrize("kind", ["long", "missing", "file", "full", "unwritable"])
def test_ray_gets_a_short_folder_where_there_is_one(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    place = tmp_path / ("x" * 60)
    if kind == "file":
        place.touch()
    elif kind != "missing":
        place.mkdir()
    if kind == "full":
        monkeypatch.setattr(private, "ROOM_BYTES", 1 << 60)
    if kind in ("full", "unwritable"):
        monkeypatch.setattr(private, "_longest", lambda: 1000)
    if kind == "unwritable":
        place.chmod(0)
        monkeypatch.setattr(os, "access", lambda path, _: str(path) != str(place))
    for name in ("RAY_TMPDIR", "TMPDIR", "TEMP", "TMP"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TMPDIR", str(place))
    if kind != "full":
        folder = private.short_folder()
        assert usable(folder) and not folder.is_relative_to(place)
        folder.rmdir()
    monkeypatch.setattr(private, "_places", lambda: iter([str(place)]))
    with pytest.raises(ValueError, match="Ray needs a folder for its sockets and logs") as refused:
        private.short_folder()
    wrong = {
        "long": "the path is longer than 31 bytes",
        "missing": "does not exist",
        "file": "is no folder",
        "full": "MB free",
        "unwritable": "cannot be written",
    }
    assert wrong[kind] in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        ("Traceback:\n  a line\nOSError: [Errno 28] No space left on device\n", 1, "disk that it"),
        ("OSError: [Errno 24] Too many open files: 'x'", 1, "too few files may be open"),
        ("RuntimeError: can't start new thread", 1, "too few processes or threads are allowed"),
        (
            "a line\nray.exceptions.SomeError: what it was\nanother",
            1,
            "ray.exceptions.SomeError",
        ),
        ("", -11, "its process ended by SIGSEGV"),
        ("", 1, "it did not say why"),
    ],
)
def test_the_last_words_of_ray_become_a_cause(words: str, status: int, said: str):
    cause = private._cause(words, status=status)
    assert said in cause
    assert "\n" not in cause


def test_a_machine_that_cannot_reach_itself_is_a_sentence(monkeypatch: pytest.MonkeyPatch):
    def unreachable(*_: object, **__: object) -> None:
        raise OSError(101, "Network is unreachable")

    monkeypatch.setattr("socket.create_connection", unreachable)
    with pytest.raises(ValueError, match=r"cannot reach itself at 127.0.0.1 .*unreachable"):
        private.PrivateRay(cpu_only=True)


def test_a_lost_cluster_ends_with_1(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    def lost(*_: object) -> None:
        raise LostError("the Ray cluster at head:6379 is lost")

    monkeypatch.setattr("orchestrator.recipe.Recipe.study", lost)
    assert run("plan", "demo", monkeypatch=monkeypatch) == 1
    assert capsys.readouterr().err == "error: the Ray cluster at head:6379 is lost\n"


def test_what_is_refused_elsewhere_is_not_laid_on_the_run_s_folder(tmp_path: Path):
    for path, said in (
        (tmp_path / "run" / "tables", f"cannot write {tmp_path / 'run'}: the file system is read"),
        (tmp_path, f"cannot write {tmp_path / 'run'}: the file system is read-only: choose"),
        (None, f"cannot write {tmp_path / 'run'}: the file system"),
        ("/home/x/.ray/token", "cannot use /home/x/.ray/token, which is no part of "),
    ):
        with pytest.raises(ValueError, match=f"^{said}"), launch.writing(tmp_path / "run"):
            raise OSError(30, "Read-only file system", path)


def test_an_unreachable_cluster_leaves_nothing_behind(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    arguments = world.arguments(root, tmp_path / "run", models=world.models()[:1])
    arguments[arguments.index("inline")] = "127.0.0.1:1"
    assert run(*arguments, monkeypatch=monkeypatch) == 2
    assert "nothing answers at 127.0.0.1:1" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_where_no_unit_runs_ends_the_command_with_130(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    def struck(*_: object) -> None:
        os.kill(os.getpid(), number)
        time.sleep(10)

    monkeypatch.setattr("orchestrator.recipe.Recipe.study", struck)
    assert run("plan", "demo", "--cluster", "inline", monkeypatch=monkeypatch) == 130
    assert capsys.readouterr().err == "interrupted: the same command continues\n"


def processes(session: Path) -> list[int]:
    """All processes of a private Ray, workers too: those of the session of the one that is told
    the folder in which it works.
    """
    found, sessions = [], set()
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            line, number = path.read_bytes(), os.getsid(int(path.parent.name))
        except OSError:
            continue
        found.append((int(path.parent.name), number))
        if os.fsencode(session) in line:
            sessions.add(number)
    return [process for process, number in found if number in sessions]


@pytest.mark.ray
def test_a_study_on_real_ray_in_the_worst_of_places(root: Path, undisturbed: Path, tmp_path: Path):
    """Every name is taken in the working directory and on PYTHONPATH, TMPDIR is too long and HOME
    missing; SIGTERM comes to all processes, and the same command again ends as if nothing were.
    """
    evil = hostile(tmp_path / "evil")
    mine = hostile(tmp_path / "mine", names=("studies", "actors", "analysis"))
    long = tmp_path / ("x" * 90)
    long.mkdir()
    script = tmp_path / "babelscope"
    script.write_text(
        "import orchestrator.entry\n"
        "import orchestrator.plan as plan; plan.UNIT_CHARACTERS = 1\n"
        "from orchestrator.__main__ import main; main()\n"
    )
    out = tmp_path / "run"
    arguments = world.arguments(root, out, "--workers", "2", models=world.models())
    arguments[arguments.index("inline")] = "local"
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as session:
        environment = {
            **os.environ,
            "PYTHONPATH": str(mine),
            "HOME": str(tmp_path / "nowhere"),
            "TMPDIR": str(long),
            "RAY_TMPDIR": session,
        }

        def begun() -> "subprocess.Popen[str]":
            return subprocess.Popen(
                [sys.executable, str(script), *arguments],
                cwd=evil,
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

        first = begun()
        deadline = time.monotonic() + 120
        while not list(out.glob("tables/*/*.parquet")):
            assert time.monotonic() < deadline
            assert first.poll() is None, first.communicate()
            time.sleep(0.002)
        rays = processes(Path(session))
        assert len(rays) > 2, "Ray's processes are recognised while they live"
        for process in rays:
            os.kill(process, signal.SIGTERM)
        os.killpg(first.pid, signal.SIGTERM)
        said, errors = first.communicate(timeout=60)
        assert first.returncode == 130, said + errors
        assert "interrupted: what was computed is kept" in said
        assert errors == ""
        left = len(list(out.glob("tables/*/*.parquet")))
        assert not processes(Path(session)) and not list(Path(session).iterdir())
        again = begun()
        said, errors = again.communicate(timeout=120)
        assert again.returncode == 0, said + errors
        assert not list(Path(session).iterdir()), "Ray's folder goes with it"
    assert len(list(out.glob("tables/*/*.parquet"))) >= left
    assert not (out / "errors.parquet").exists(), "no unit was abandoned"
    same(out, undisturbed)
    manifest = json.loads((out / "run.json").read_text())
    about = code.about(code.hashes_here())
    assert manifest["provenance"]["code"] == about
    assert {running["code"] for running in manifest["running"].values()} == {about["folder"]}


@pytest.mark.ray
def test_why_ray_does_not_start_is_one_sentence_and_nothing_is_written(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    arguments = world.arguments(root, tmp_path / "run", models=world.models()[:1])
    arguments[arguments.index("inline")] = "local"
    with tempfile.TemporaryDirectory(prefix="r", dir="/tmp") as session:
        monkeypatch.setenv("RAY_TMPDIR", session)
        monkeypatch.setenv("RAY_health_check_period_ms", "nonsense")
        assert run(*arguments, monkeypatch=monkeypatch) == 2
        said = capsys.readouterr().err
        assert said.startswith("error: Ray did not start: ")
        assert "the environment sets RAY_health_check_period_ms" in said
        assert said.count("\n") == 1
        assert not list(Path(session).iterdir())
    assert not list(tmp_path.iterdir())


def test_a_session_ends_with_all_its_groups_and_no_other(tmp_path: Path):
    """As Ray's workers do, a child leaves its parent's process group; a stranger is not touched."""
    child = "import os, time; os.setpgrp(); open('up', 'w').close(); time.sleep(60)"
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    folder = tmp_path / "folder"
    folder.mkdir()
    mine = subprocess.Popen([sys.executable, "-c", parent], cwd=folder, start_new_session=True)
    stranger = subprocess.Popen(["sleep", "60"], start_new_session=True)
    deadline = time.monotonic() + 60
    while not (folder / "up").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert len(head._others(mine.pid)) == 2
    head.end(mine.pid, folder=str(folder))
    assert not head._others(mine.pid) and not folder.exists()
    assert mine.wait() == -signal.SIGKILL and stranger.poll() is None
    stranger.kill()
    stranger.wait()
