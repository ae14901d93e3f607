"""Others are told what became of a checkpoint; what cannot be told is counted and harms nothing."""

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from orchestrator.storage.files import Files
from orchestrator.watching import messages, notify, state
from orchestrator.watching.evaluate import Outcome
from orchestrator.watching.state import Record
from tests.makers.watched import World, checkpoint


@dataclass
class Heard:
    """A web address that takes messages; `status` is what it answers."""

    address: str = ""
    status: int = 200
    messages: list[dict[str, Any]] = field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Heard]:
    heard = Heard()

    class Hook(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            content = self.rfile.read(int(self.headers["Content-Length"]))
            heard.messages.append(json.loads(content))
            self.send_response(heard.status)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        heard.address = f"http://127.0.0.1:{server.server_port}/services/T0/PLANTEDsecret"
        yield heard
        server.shutdown()


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    return World(tmp_path, monkeypatch)


@pytest.fixture
def training(tmp_path: Path) -> str:
    for step in (1, 2):
        checkpoint(tmp_path / "run" / f"step-{step}", seed=step)
    return str(tmp_path / "run")


def test_commands_get_the_facts_in_their_environment(world: World, training: str, tmp_path: Path):
    out = shlex.quote(str(tmp_path / "told"))
    line = f'echo "$BABELSCOPE_EVENT $BABELSCOPE_STEP $BABELSCOPE_ERROR" >> {out}'
    world.outcomes = lambda name: Outcome(error="no luck") if name.endswith("1") else Outcome()
    world.run("--model", training, "--once", "--on-done", line, "--on-fail", line)
    assert (tmp_path / "told").read_text().splitlines() == ["done 2 ", "fail 1 no luck"]
    assert all(one.told == "" for one in world.records.values())


def test_commands_that_fail_or_hang_are_said_and_harm_nothing(
    world: World, training: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(notify, "COMMAND_SECONDS", 0.3)
    command = '[ "$BABELSCOPE_STEP" = 2 ] && exec sleep 60; echo tough luck >&2; exit 4'
    world.run("--model", training, "--once", "--on-done", command)
    assert set(world.states().values()) == {"done"}
    assert "--on-done took more than 0 s: ended" in world.said
    assert "--on-done failed: it ended with status 4: tough luck" in world.said


def test_the_webhook_is_told_without_secrets(
    world: World, training: str, web: Heard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MY_TOKEN", "PLANTEDtoken")
    world.outcomes = lambda name: (
        Outcome(error="refused PLANTEDtoken") if name.endswith("1") else Outcome()
    )
    world.run("--model", training, "--once", "--webhook", web.address)
    assert [one["event"] for one in web.messages] == ["done", "fail"]
    first, second = web.messages
    assert first["text"].endswith("run@step-2 is evaluated") and first["step"] == 2
    assert second["error"] == "refused ***" and second["text"].endswith("failed: refused ***")
    assert "PLANTED" not in json.dumps(web.messages)


def test_new_weights_under_an_old_name_are_told_once(
    world: World, training: str, web: Heard, tmp_path: Path
):
    out = shlex.quote(str(tmp_path / "told"))
    line = f'echo "$BABELSCOPE_EVENT $BABELSCOPE_STEP $BABELSCOPE_STATE" >> {out}; exit 3'
    world.run("--model", training, "--once")
    checkpoint(Path(training) / "step-1", seed=7)
    for _ in range(2):
        world.run("--model", training, "--once", "--on-fail", line, "--webhook", web.address)
    assert (tmp_path / "told").read_text() == "rewrite 1 rewritten\n"
    (told,) = web.messages
    assert told["error"] == world.records["step-1"].reason and "rename the folder" in told["error"]
    assert "step-1 has other weights: written anew after it was evaluated" in told["text"]
    assert "--on-fail failed: it ended with status 3: it said nothing" in world.said
    assert world.records["step-1"].told == ""


@pytest.mark.parametrize("broken", ["status", "nobody"])
def test_a_webhook_that_fails_is_counted_and_its_address_is_not_shown(
    broken: str, world: World, training: str, web: Heard
):
    web.status = 500
    address = web.address if broken == "status" else "http://127.0.0.1:9/PLANTEDsecret"
    assert world.run("--model", training, "--once", "--webhook", address) == 0
    watched = state.read(Files(world.store.files.where))
    assert (watched.webhook.sent, watched.webhook.failed) == (0, 2)
    why = "it answered 500" if broken == "status" else "could not be reached: Connection refused"
    assert why in watched.webhook.error
    kept = (world.store.files.local / "watch.json").read_text()
    assert "PLANTED" not in kept + "".join(world.said)
    assert sum("took no message" in one for one in world.said) == 2


def test_what_a_killed_watch_did_not_come_to_tell_is_told(world: World, training: str, web: Heard):
    world.run("--model", training, "--once")
    files = Files(world.store.files.where)
    watched = state.read(files)
    name = next(iter(watched.records))
    watched.change(name, told="done")
    state.write(files, watched)
    world.run("--model", training, "--once", "--webhook", web.address)
    assert [one["checkpoint"] for one in web.messages] == [name]
    world.run("--model", training, "--once", "--webhook", web.address)
    assert len(web.messages) == 1


def test_a_measure_that_moved_is_told(
    world: World, training: str, web: Heard, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[tuple[str, str]] = []

    def crossed(_where: str, *, model: str, revision: str, thresholds: Any, wish: Any) -> Any:
        asked.append((model, revision))
        if revision == "step-1":
            raise ValueError("--cross: nothing here is called so")
        change = {"measure": "nasca", "of": "miniworld", "conditions": "", "other": "step-1"}
        numbers = {"before": 0.5, "after": 0.25, "change": -0.25, "p_corrected": 0.01}
        found = {**change, **numbers, "threshold": thresholds[0]}
        return [found, {**found, "conditions": "weighted"}]

    monkeypatch.setattr(messages, "crossed", crossed)
    out = shlex.quote(str(tmp_path / "told"))
    world.run(
        *("--model", training, "--once", "--webhook", web.address, "--cross", "nasca -0.05"),
        *("--on-cross", f'echo "$BABELSCOPE_MEASURE $BABELSCOPE_CHANGE" > {out}'),
    )
    assert asked == [("run", "step-2"), ("run", "step-1")]
    told, other = (one for one in web.messages if one["event"] == "cross")
    assert "nasca on miniworld (weighted) went from 0.5 to 0.25" in other["text"]
    assert told["change"] == -0.25 and "nasca on miniworld went from 0.5 to 0.25" in told["text"]
    assert (tmp_path / "told").read_text() == "nasca -0.25\n"
    assert "--cross: nothing here is called so" in world.said


def test_an_interrupted_watch_leaves_messages_for_the_next(world: World, training: str, web: Heard):
    def outcome(_: str) -> Outcome:
        world.wish.ask()
        return Outcome()

    world.outcomes = outcome
    world.run("--model", training, "--once", "--webhook", web.address)
    assert not web.messages and world.records["step-2"].told == "done"
    world.wish.asked, world.outcomes = False, lambda _: Outcome()
    world.run("--model", training, "--once", "--webhook", web.address)
    assert {one["step"] for one in web.messages} == {1, 2}


def test_records_know_the_messages_they_have_yet_to_send():
    assert Record(name="a", source="b").told == ""
