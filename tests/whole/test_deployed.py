"""The files that run a watch for weeks, and the commands of docs/watch.md, as they are read."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
import yaml

from orchestrator.__main__ import app
from orchestrator.flags import Request, recorded
from orchestrator.options import Where
from orchestrator.signals import GRACE_SECONDS
from orchestrator.watching.options import Watching
from orchestrator.watching.processes import LATE_SECONDS
from orchestrator.watching.timing import cron_read
from studies.flags import by_flag
from tests.makers.world import ROOT

PAGE = (ROOT / "docs" / "watch.md").read_text(encoding="utf-8")
DEPLOY = ROOT / "docs" / "deploy"
SERVICE, TIMER = DEPLOY / "babelscope-watch.service", DEPLOY / "babelscope-watch.timer"
ALLOWED = 60


def tool(name: str) -> str:
    """A program of the development environment or of the machine."""
    path = shutil.which(name, path=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    if path is None:
        pytest.skip(f"{name} is not installed")
    return path


def unit(path: Path) -> ConfigParser:
    """A unit file as systemd reads it, for keys that stand once."""
    parser = ConfigParser(interpolation=None, comment_prefixes=("#",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string(re.sub(r"\\\n\s*", " ", path.read_text(encoding="utf-8")))
    return parser


def document(name: str) -> Any:
    return yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))


def pod() -> dict[str, Any]:
    """What the CronJob runs."""
    found: dict[str, Any] = document("cronjob.yaml")["spec"]["jobTemplate"]["spec"]["template"][
        "spec"
    ]
    return found


def cron_line() -> str:
    (line,) = re.findall(
        r"^[0-9*].*$", (DEPLOY / "crontab").read_text(encoding="utf-8"), re.MULTILINE
    )
    return str(line)


def shell_commands(text: str) -> Iterator[list[str]]:
    """What a shell is given in indented lines, each continued one joined, without remarks."""
    lines = re.findall(r"^    (?! )((?:.*\\\n)*.*)$", text, re.MULTILINE)
    for line in lines:
        yield shlex.split(line.replace("\\\n", " "), comments=True)


def watches(words: list[str]) -> list[str]:
    """From the `watch` of a command on, up to what a shell takes for itself; empty without one."""
    if "watch" not in words or not {"babelscope", "babelscope:cuda"} & set(words):
        return []
    words = words[words.index("watch") :]
    ends = [place for place, word in enumerate(words) if word in (">>", "&", "|")]
    return words[: min(ends, default=len(words))]


def asked() -> dict[str, list[str]]:
    """Every watch in the page and the files, by where it stands."""
    found = {
        f"watch.md {number}": words
        for number, words in enumerate(map(watches, shell_commands(PAGE)))
        if words and "--list" not in words
    }
    script = re.sub(r"\\\n\s*", " ", (DEPLOY / "watch.sbatch").read_text(encoding="utf-8"))
    (batch,) = re.findall(r"^babelscope .*$", script, re.MULTILINE)
    return {
        **found,
        "systemd": watches(["babelscope", *unit(SERVICE)["Service"]["ExecStart"].split()[1:]]),
        "crontab": watches(["babelscope", *cron_line().split()[6:]]),
        "sbatch": watches(shlex.split(batch)),
        "cronjob": pod()["containers"][0]["args"],
        "rayjob": watches(document("rayjob.yaml")["spec"]["entrypoint"].split()),
    }


@pytest.mark.parametrize(("where", "words"), asked().items(), ids=lambda value: str(value)[:12])
def test_every_watch_that_is_shown_can_be_asked(where: str, words: list[str]):
    found = recorded(words, app=app)
    assert isinstance(found, Request)
    watching = found.where
    assert isinstance(watching, Watching)
    assert watching.out is not None, "the default is no place for weeks"
    if where in ("systemd", "crontab", "sbatch", "cronjob"):
        assert watching.once, "a clock of its own begins each look"
    if where == "rayjob":
        assert watching.cluster == "auto"


def test_the_page_shows_enough_of_them():
    assert len(asked()) >= 12


def test_the_page_has_every_flag():
    table = PAGE[PAGE.index("| flag | meaning |") : PAGE.index("Commands get the facts")]
    named = set(re.findall(r"`(--[a-z][a-z -]*)", table.replace(" `", "`")))
    words = {word for cell in named for word in cell.split()}
    own = set(by_flag(Watching)) - set(by_flag(Where))
    assert {word for word in words if word.startswith("--")} == own - {"--report"} | {"--no-report"}


def test_everybody_waits_longer_than_a_watch_takes_to_end():
    waits = {
        "systemd": int(unit(SERVICE)["Service"]["TimeoutStopSec"]),
        "kubernetes": pod()["terminationGracePeriodSeconds"],
        "ray": int(
            yaml.safe_load(document("rayjob.yaml")["spec"]["runtimeEnvYAML"])["env_vars"][
                "RAY_JOB_STOP_WAIT_TIME_S"
            ]
        ),
        "slurm": int(
            re.search(r"--signal=B:TERM@(\d+)", (DEPLOY / "watch.sbatch").read_text())[1]  # type: ignore[index]
        ),
        **{f"page {wait}": int(wait) for wait in re.findall(r"TIME_S\": \"(\d+)\"", PAGE)},
        **{f"page {wait}": int(wait) for wait in re.findall(r"--stop-timeout (\d+)", PAGE)},
    }
    assert set(waits.values()) == {ALLOWED}, waits
    assert ALLOWED >= 2 * LATE_SECONDS
    units = f"SIGTERM gives running units {GRACE_SECONDS:.0f} seconds"
    end = f"then the watch ends, after at most {LATE_SECONDS:.0f}"
    assert f"{units}; {end}. So everything here allows {ALLOWED}." in PAGE


def test_systemd_takes_the_units(tmp_path: Path):
    """As they are, but for the command, which is not installed here."""
    verify = tool("systemd-analyze")
    here = tmp_path / "babelscope"
    here.write_text("#!/bin/sh\n")
    here.chmod(0o755)
    for path in (SERVICE, TIMER):
        text = path.read_text(encoding="utf-8")
        (tmp_path / path.name).write_text(text.replace("/opt/babelscope/bin/babelscope", str(here)))
    names = [str(tmp_path / path.name) for path in (SERVICE, TIMER)]
    ended = subprocess.run([verify, "verify", *names], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr) == (0, "")
    calendar = [verify, "calendar", "--iterations=4", unit(TIMER)["Timer"]["OnCalendar"]]
    times = subprocess.run(calendar, capture_output=True, text=True, check=True).stdout
    assert len(set(re.findall(r"\d\d:17:00", times))) == 4, times
    service = unit(SERVICE)["Service"]
    assert service["KillMode"] == "mixed", "the watch tells its own processes"
    assert service["Type"] == "oneshot" and service["TimeoutStartSec"] == "infinity"


def test_cron_takes_the_line():
    line = cron_line()
    moment, command = " ".join(line.split()[:5]), line.split(maxsplit=5)[5]
    assert cron_read([moment], "--cron") == moment == document("cronjob.yaml")["spec"]["schedule"]
    assert "%" not in command, "to cron a line break"
    assert subprocess.run(["sh", "-n", "-c", command], check=False).returncode == 0
    others = (DEPLOY / "crontab").read_text(encoding="utf-8").splitlines()
    for other in others:
        assert other == line or re.fullmatch(r"#.*|[A-Z_]+=\S+", other)


def test_kubernetes_takes_the_job():
    """By the schema of its own API, with no field that it does not know."""
    validate = pytest.importorskip("kubernetes_validate").validate
    job = document("cronjob.yaml")
    assert validate(job, "1.30", strict=True) == "1.30"
    with pytest.raises(Exception, match="concurrencyPolicies"):
        validate({**job, "spec": {**job["spec"], "concurrencyPolicies": "x"}}, "1.30", strict=True)
    assert job["spec"]["concurrencyPolicy"] == "Forbid"
    (container,) = pod()["containers"]
    mounted = {one["name"] for one in container["volumeMounts"]}
    assert mounted == {one["name"] for one in pod()["volumes"]}
    user = re.search(
        r"^USER (\d+)$", (ROOT / "Dockerfile").read_text().split("FROM base")[-1], re.M
    )
    assert user and int(user[1]) == pod()["securityContext"]["runAsUser"]


def test_kuberay_finds_the_cluster_of_the_other_page():
    """No schema of KubeRay is at hand: its fields are those of its Go types, by their names."""
    job = document("rayjob.yaml")
    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert set(job["spec"]) <= {"clusterSelector", "submissionMode", "entrypoint", "runtimeEnvYAML"}
    other = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    cluster = yaml.safe_load(re.findall(r"```yaml\n(.*?)```", other, re.DOTALL)[0])
    assert job["spec"]["clusterSelector"] == {"ray.io/cluster": cluster["metadata"]["name"]}
    assert cluster["apiVersion"] == job["apiVersion"]
