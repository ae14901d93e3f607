"""What `babelscope bench` and `babelscope sites` print, and that their figures mean something."""

import json
import math
from collections.abc import Iterator

import pytest
import torch

from actors.families.site_map import site_map
from actors.speed import bench, shapes
from actors.speed.bench import Ceiling, count_weights
from actors.speed.tasks import TASKS
from tests.makers import tiny
from tests.makers.world import run


@pytest.fixture(scope="module", autouse=True)
def _small_ceilings() -> Iterator[None]:
    """No test asks how fast this machine is, so little is multiplied and copied to find out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bench, "SECONDS", 0.02)
        patch.setitem(bench.SIDE, "cpu", 128)
        patch.setitem(bench.COPIED_BYTES, "cpu", 1 << 20)
        yield


@pytest.fixture(scope="module")
def measured() -> dict[str, bench.Measurement]:
    loaded = tiny.loaded("llama")
    return {row.task: row for row in bench.bench(loaded, rounds=1)}


def test_every_task_is_measured_against_its_ceiling(measured: dict[str, bench.Measurement]):
    assert list(measured) == list(TASKS)
    for row in measured.values():
        assert row.fraction == pytest.approx(row.achieved / row.ceiling)
        assert row.seconds > 0
        assert row.passes > 0
        assert row.naive_ratio is None or row.naive_ratio > 0


def test_sweeps_compute_no_block_that_can_be_avoided(measured: dict[str, bench.Measurement]):
    assert measured["sweep-all"].blocks == pytest.approx(1)
    assert measured["sweep-last-third"].blocks == pytest.approx(1)
    assert measured["sweep-last"].blocks == pytest.approx(1)
    assert measured["letters"].blocks == pytest.approx(1)
    assert measured["options"].blocks == pytest.approx(1)


def test_an_unknown_task_is_refused_before_anything_is_measured():
    with pytest.raises(ValueError, match="unknown task 'nap': expected one of extract, letters"):
        bench.bench(tiny.loaded("llama"), only=["nap"])


def test_the_ceiling_is_the_smaller_of_rate_and_bandwidth():
    limit = Ceiling(operations=1000, bytes=100)
    assert limit.tokens(weights=10, weight_bytes=20, tokens_per_pass=1) == 5
    assert limit.tokens(weights=10, weight_bytes=20, tokens_per_pass=100) == 50


def test_shapes_have_the_sizes_of_their_names(monkeypatch: pytest.MonkeyPatch):
    counts = {}
    for name, config in shapes.SHAPES.items():
        settings = config()
        with torch.device("meta"):
            model = shapes.AutoModelForCausalLM.from_config(settings)
        counts[name] = sum(weight.numel() for weight in model.parameters())
    assert counts["llama-3.1-8b"] == pytest.approx(8.03e9, rel=0.01)
    assert counts["gemma-2-9b"] == pytest.approx(9.24e9, rel=0.01)
    assert counts["llama-68m"] == pytest.approx(68e6, rel=0.05)
    small = shapes.SHAPES["llama-68m"]()
    small.num_hidden_layers, small.vocab_size = 2, 100
    monkeypatch.setattr(shapes, "SHAPES", {"small": lambda: small})
    loaded = shapes.build("small", device=torch.device("cpu"), dtype="bfloat16")
    assert count_weights(loaded.sites.blocks) == 2 * (4 * 512**2 + 3 * 512 * 1376 + 2 * 512)
    with pytest.raises(ValueError, match="unknown shape 'large': expected one of small"):
        shapes.build("large", device=torch.device("cpu"), dtype="float32")


def test_bench_prints_one_json_object_per_row(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    arguments = ["--model", tiny.make("llama").folder, "--rounds", "1", "--json"]
    assert (
        run("bench", *arguments, "--task", "letters", "--task", "lens", monkeypatch=monkeypatch)
        == 0
    )
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["task"] for row in rows] == ["letters", "lens"]
    for row in rows:
        wanted = {"task", "achieved", "ceiling", "fraction", "naive_ratio", "passes", "device"}
        assert row.keys() >= wanted
        assert all(math.isfinite(row[name]) for name in ("achieved", "fraction", "passes"))


def test_check_compares_and_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    folder = tiny.make("gemma2").folder
    assert run("bench", "--check", "--json", "--model", folder, monkeypatch=monkeypatch) == 0
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(rows) >= 8
    assert all(row["holds"] for row in rows)
    assert run("bench", "--check", "--model", folder, monkeypatch=monkeypatch) == 0
    assert "coefficient 0 equals the plain run" in capsys.readouterr().out


@pytest.mark.parametrize("family", tiny.FAMILIES)
def test_the_map_names_every_site(family: str):
    loaded = tiny.loaded(family)
    rows = {row.site: row for row in site_map(loaded)}
    assert len(rows) == 9
    modules = dict(loaded.model.named_modules())
    for row in rows.values():
        if row.site == "mlp_gate" and family in tiny.UNGATED:
            assert not row.layers
            assert "no gate" in row.where
            continue
        assert row.layers
        assert all(claim.holds for claim in row.evidence)
        side, _, path = row.where.partition(" of ")
        if side in ("input", "output"):
            path = path.partition(",")[0].replace("{k-1}", "0")
            assert path in modules


def test_sites_shows_map_and_proof(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture):
    assert run("sites", tiny.make("gpt2").folder, monkeypatch=monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "transformer.h.{k-1}.mlp.c_proj" in shown
    assert "its MLP has no gate" in shown
    assert "attn_out and mlp_out add up" in shown
    assert run("sites", "no/such/folder/here", monkeypatch=monkeypatch) == 2
