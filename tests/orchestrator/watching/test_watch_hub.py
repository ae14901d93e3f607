"""Branches and tags of the hub as checkpoints, on a hub of this machine."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestrator.watching import disk
from orchestrator.watching.discover import Discovery, Look
from orchestrator.watching.options import Watching
from studies.models.facts import facts
from studies.models.folder import fetched
from studies.spec import Model
from tests.makers import folders as files
from tests.makers.hub_server import Hub, served
from tests.makers.watched import World, checkpoint

HOUR = 3600.0


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Three steps, of which the last is `main` too, and a tag on the first."""
    with served(tmp_path / "hub") as found:
        found.patch(monkeypatch, tmp_path / "cache")
        for step in (1, 2):
            push(found, tmp_path, branch=f"step{step}", seed=step, tag="v1" if step == 1 else None)
        found.models["org/tiny"].branches["main"] = push(found, tmp_path, branch="step3", seed=3)
        yield found


def push(hub: Hub, folder: Path, *, branch: str, seed: int, tag: str | None = None) -> str:
    made = checkpoint(folder / "made" / str(len(hub.asked)) / f"{branch}-{seed}", seed=seed)
    return hub.push("org/tiny", made, branch=branch, tag=tag)


def look(*sources: str, **asked: object) -> Look:
    found = Watching(once=True, **asked)  # type: ignore[arg-type]
    return Discovery(found, sources=sources, code=False).look({})


def test_all_branches_but_main_are_checkpoints_each_commit_once(hub: Hub):
    found = look("org/tiny").found
    assert list(found) == ["org/tiny@step1", "org/tiny@step2", "org/tiny@step3"]
    assert [one.step for one in found.values()] == [1, 2, 3]
    assert [one.date for one in found.values()] == [
        f"2026-11-0{day}T10:00:00+00:00" for day in (1, 2, 3)
    ]
    assert all(one.settled and not one.lacks for one in found.values())
    assert found["org/tiny@step1"].commit == hub.models["org/tiny"].branches["step1"]


@pytest.mark.parametrize(
    ("source", "pattern", "names"),
    [
        ("org/tiny", "*", ["@step1", "@step2", "@step3"]),
        ("org/tiny", "step[12]", ["@step1", "@step2"]),
        ("org/tiny", "v*", ["@v1"]),
        ("org/tiny", "main", [""]),
        ("org/tiny@main", None, [""]),
        ("org/tiny@step*", "v*", ["@step1", "@step2", "@step3"]),
        ("org/t*@step1", None, ["@step1"]),
    ],
)
def test_revisions_are_named_by_patterns(
    source: str, pattern: str | None, names: list[str], hub: Hub
):
    assert list(look(source, revisions=pattern).found) == [f"org/tiny{name}" for name in names]


def test_a_pattern_of_ids_and_a_step_in_an_id(hub: Hub, tmp_path: Path):
    model = checkpoint(tmp_path / "model", seed=7)
    for name in ("org/run-step5", "org/run-step10", "org/other", "away/run-step5"):
        hub.push(name, model)
    found = look("org/run-*").found
    assert {name: one.step for name, one in found.items()} == {
        "org/run-step5": 5, "org/run-step10": 10,
    }  # fmt: skip
    assert not look("org/nothing-*").found
    assert look("org/other", revisions="v*").said == (
        "org/other: nothing there yet, no branch or tag such as v*",
    )


def test_a_model_that_is_not_there_yet_is_waited_for(hub: Hub, tmp_path: Path):
    found = look("org/later", str(tmp_path / "none" / "at" / "all"))
    assert not found.found and not found.unknown
    assert found.said[0] == (
        "org/later is neither a folder here nor a model that the hub shows: nothing there yet"
    )


def test_a_hub_that_does_not_answer_loses_nothing_and_hides_its_address(hub: Hub):
    hub.broken = True
    found = look("org/tiny", "org/t*")
    assert found.unknown == {"org/tiny", "org/t*"} and not found.found
    assert all("cannot be looked at now" in sentence for sentence in found.said)


def test_a_push_in_several_commits_is_whole_with_the_last(hub: Hub, tmp_path: Path):
    whole = files.sharded(tmp_path / "sharded")
    (whole / "2.safetensors").unlink()
    hidden = {name: whole / name for name in ("config.json", "tokenizer.json", "1.safetensors")}
    aside = tmp_path / "aside"
    aside.mkdir()
    for name, path in hidden.items():
        path.rename(aside / name)
    said = []
    for name, path in hidden.items():
        hub.push("org/big", whole)
        (one,) = look("org/big").found.values()
        said.append(one.lacks)
        (aside / name).rename(path)
    assert said == [
        "no config.json yet", "no tokenizer yet", "1.safetensors is missing (1 of 2 files)",
    ]  # fmt: skip
    hub.push("org/big", whole)
    (one,) = look("org/big").found.values()
    assert one.lacks == "" and one.date == "2026-11-04T10:00:00+00:00"
    (one,) = look("org/big", marker="ready").found.values()
    assert one.lacks == "no ready yet"


def test_a_branch_that_moves_on_is_evaluated_by_its_commit(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The rows under its name stay those of the commit that it stood for then."""
    world = World(tmp_path, monkeypatch)
    commits: list[str] = []

    def again() -> None:
        commits.append(push(hub, tmp_path, branch="step2", seed=20 + len(commits)))

    world.clock.plan(0.5 * HOUR, again)
    world.clock.plan(3.5 * HOUR, again)
    world.until(6 * HOUR, "--model", "org/tiny", "--every", "1h")
    assert world.evaluated == ["step3", "step2", "step1", *commits]
    record = world.records["step2"]
    assert record.state == "rewritten"
    assert record.identity == facts(Model(id="org/tiny", revision=_first(hub))).identity
    assert {world.records[commit].state for commit in commits} == {"done"}
    assert [world.records[commit].step for commit in commits] == [2, 2]
    said = [one for one in world.said if "org/tiny@step2 was written anew" in one]
    assert commits[0] in said[0]


def _first(hub: Hub) -> str:
    return list(hub.models["org/tiny"].commits)[1]


def test_a_look_at_what_is_known_asks_only_for_the_refs(hub: Hub, tmp_path: Path):
    found = Watching(once=True)
    watch = Discovery(found, sources=["org/tiny"], code=False)
    watch.look({})
    before = len(hub.asked)
    watch.look({})
    assert hub.asked[before:] == ["/api/models/org/tiny/refs"]


def test_nothing_is_asked_about_steps_that_are_passed_over(hub: Hub):
    """A look with --nth 1000 over a thousand branches would be a thousand questions each time."""
    before = len(hub.asked)
    found = look("org/tiny", nth=2, until=2).found
    assert list(found) == ["org/tiny@step1", "org/tiny@step2", "org/tiny@step3"]
    commit = found["org/tiny@step2"].commit
    asked = [one for one in hub.asked[before:] if "/refs" not in one]
    assert asked and all(commit in one for one in asked), asked


def test_downloads_are_deleted_where_they_came_for_the_watch(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    world = World(tmp_path, monkeypatch)
    commits = hub.models["org/tiny"].branches
    fetched(facts(Model(id="org/tiny", revision="step1")))
    assert disk.is_downloaded("org/tiny", commits["step1"])
    plainly = world.outcomes

    def outcome(name: str):
        fetched(facts(Model(id="org/tiny", revision=name.partition("@")[2])))
        return plainly(name)

    world.outcomes = outcome
    world.run("--model", "org/tiny", "--once", "--keep", "downloads=1", "--order", "oldest")
    there = {name for name in commits if disk.is_downloaded("org/tiny", commits[name])}
    assert there == {"main", "step3", "step1"}, "the last one, and what was there before"
    assert {name: one.downloaded for name, one in world.records.items()} == {
        "step1": False, "step2": False, "step3": True,
    }  # fmt: skip
