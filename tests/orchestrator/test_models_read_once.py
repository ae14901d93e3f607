"""A command reads the facts of each model once, however many parts of it need them."""

from pathlib import Path

import pytest

from studies.models import facts
from studies.spec import Model, ModelFacts
from tests.makers import tiny, world


def test_a_plan_reads_every_model_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = world.data_root(tmp_path / "data")
    folders = [str(tiny.make(family).folder) for family in ("llama", "qwen2")]
    read: list[str] = []
    usual = facts._facts

    def counted(model: Model) -> ModelFacts:
        read.append(model.id)
        return usual(model)

    monkeypatch.setattr(facts, "_facts", counted)
    command = world.arguments(root, tmp_path / "run", models=folders)
    assert world.run("plan", *command[1:-1], monkeypatch=monkeypatch) == 0
    assert sorted(read) == sorted(folders)
