"""A checkpoint that is half written is told from a whole one, wherever its writer stands."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.watching.complete import lacking, seen
from tests.makers import folders as files
from tests.makers.watched import checkpoint


def lacks(folder: Path, *, code: bool = False) -> str:
    return lacking(folder, [file.name for file in seen(folder, code=code).files], code=code)


@pytest.mark.parametrize("make", files.MAKERS)
def test_whole_models_of_all_kinds_are_whole(make: Callable[[Path], Path], tmp_path: Path):
    assert lacks(make(tmp_path / "model"), code=make in files.TRUSTED) == ""


def test_no_state_of_a_writer_is_taken_for_a_whole_model(tmp_path: Path):
    """Files come one after the other, each byte by byte: whole only once the last byte is there."""
    for make in (checkpoint, files.sharded):
        whole = make(tmp_path / f"whole-{make.__name__}")
        named = json.loads((whole / files_index).read_text()) if make is files.sharded else {}
        wanted = {"config.json", "tokenizer.json", "tokenizer_config.json", *named}
        names = [path.name for path in sorted(whole.iterdir()) if path.name != "2.safetensors"]
        needed = [name for name in names if name in wanted or name.endswith(".safetensors")]
        needed += [files_index] if make is files.sharded else []
        for last in dict.fromkeys(needed):
            growing = tmp_path / "growing"
            shutil.rmtree(growing, ignore_errors=True)
            shutil.copytree(whole, growing)
            content = (growing / last).read_bytes()
            (growing / last).unlink()
            if last != "tokenizer_config.json":
                assert lacks(growing), last
            for part in (0, 1, 7, 8, 100, len(content) // 2, len(content.rstrip()) - 1):
                (growing / last).write_bytes(content[:part])
                assert lacks(growing), (last, part)
            (growing / last).write_bytes(content)
            assert lacks(growing) == "", last


files_index = "model.safetensors.index.json"


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda at: (at / "config.json").unlink(), "no config.json yet"),
        (lambda at: (at / "model.safetensors").unlink(), "no model.safetensors and no model.safe"),
        (lambda at: (at / "model.safetensors").rename(at / "pytorch_model.bin"),
         r"found pytorch_model.bin, which is not read: see --convert"),
        (lambda at: (at / "model.safetensors").write_bytes(b"version https://git-lfs.github.com"),
         "only a pointer of git-lfs"),
        (lambda at: (at / "tokenizer.json").unlink(), "no tokenizer yet"),
        (lambda at: [(at / "config.json").unlink(), (at / "adapter_config.json").write_text("{}")],
         "an adapter and no model: merge it first, by --convert"),
    ],
)  # fmt: skip
def test_what_is_lacking_is_said(spoil: Callable[[Path], object], said: str, tmp_path: Path):
    folder = checkpoint(tmp_path / "c")
    spoil(folder)
    assert said in lacks(folder)


def test_a_missing_shard_is_named(tmp_path: Path):
    folder = files.sharded(tmp_path / "c")
    (folder / "1.safetensors").unlink()
    assert lacks(folder) == "1.safetensors is missing (1 of 2 files)"


def test_the_fingerprint_is_of_what_bears_on_the_model(tmp_path: Path):
    folder = checkpoint(tmp_path / "c")
    before = seen(folder)
    for name in ("optimizer.pt", "trainer_state.json", "rng_state.pth", "training_args.bin"):
        (folder / name).write_text("x")
    (folder / "global_step5").mkdir()
    assert seen(folder) == before
    assert seen(folder, everything=True) != before
    os.utime(folder / "model.safetensors", (1, 1))
    touched = seen(folder)
    assert touched.fingerprint != before.fingerprint and touched.modified == 1
    files.add(folder, "additional_chat_templates/tools.jinja", "{{ messages }}")
    assert seen(folder).fingerprint != touched.fingerprint
