"""The demo's study on the embedded models, small: what a newcomer meets first."""

import json
from pathlib import Path

import pytest

from tests.makers.world import run, table


def test_the_demo_needs_nothing_and_says_what_miniworld_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    out = tmp_path / "run"
    small = ["--limit", "6", "--pairs", "10", "--cluster", "inline", "--out", str(out)]
    assert run("demo", *small, "--dry-run", monkeypatch=monkeypatch) == 0
    assert not out.exists()
    planned = capsys.readouterr().out
    assert "of one " in planned
    for model in ("miniworld-llama", "miniworld-qwen2", "miniworld-gemma2"):
        assert model in planned
    chosen = ["--model", "miniworld-llama,miniworld-llama@step-1000", "--measure", "mexa"]
    assert run("demo", *small, *chosen, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "miniworld is embedded" in shown
    items = table(out, "items")
    assert set(items.benchmark) == {"mini_belebele", "mini_mmlu"}
    assert set(zip(items.model, items.revision, strict=True)) == {
        ("miniworld-llama", "main"),
        ("miniworld-llama", "step-1000"),
    }
    assert items.groupby(["revision", "benchmark", "language"]).size().unique().tolist() == [6]
    assert json.loads((out / "run.json").read_text())["study"] == "demo"
    page = (out / "report" / "index.html").read_text(encoding="utf-8")
    assert "miniworld is embedded and made up" in page
    assert "miniworld-llama@step-1000" in page
