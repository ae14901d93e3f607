"""What a worker loads is what the plan was made from, also where it is written at that moment."""

import shutil
from pathlib import Path

import pytest

from orchestrator.workers import worker
from studies.models.facts import facts
from studies.spec import Model
from tests.makers import folders, tiny


def test_a_model_that_is_written_anew_while_it_is_loaded_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    folder = tmp_path / "model"
    shutil.copytree(tiny.make("llama").folder, folder)
    model = facts(Model(id=str(folder)))
    read: list[str] = []

    def actor(*_: object, **__: object) -> object:
        if read:
            folders.touch(folder / "model.safetensors")
        read.append("weights")
        return object()

    monkeypatch.setattr("actors.model_actor.ModelActor", actor)
    assert worker.load(model, device="cpu", threads=1)
    with pytest.raises(ValueError, match="are not those that the plan was made from"):
        worker.load(model, device="cpu", threads=1)
    assert len(read) == 2
