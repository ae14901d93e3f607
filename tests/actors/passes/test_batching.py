"""Batches cover every row once, stay under the budget, and shrink when memory runs out."""

import random

import pytest
import torch

from actors.passes.batching import Batch, TokenBudget, distinct, pad, plan


@pytest.mark.parametrize("budget", [1, 40, 300, 5000])
def test_batches_cover_every_row_once_within_the_budget(budget: int) -> None:
    lengths = [*random.Random(0).choices(range(1, 91), k=200), 90, 1]
    batches = plan(lengths, budget=budget)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(lengths)))
    for batch in batches:
        assert batch.width == max(lengths[row] for row in batch.rows)
        assert batch.width * len(batch.rows) <= budget or len(batch.rows) == 1
    widths = [batch.width for batch in batches]
    assert widths == sorted(widths, reverse=True)
    assert plan(lengths, budget=budget) == batches


def test_little_of_a_large_plan_is_padding() -> None:
    lengths = random.Random(1).choices(range(5, 201), k=400)
    batches = plan(lengths, budget=100_000)
    padded = sum(batch.width * len(batch.rows) for batch in batches)
    assert padded < 1.2 * sum(lengths)


def test_few_texts_of_mixed_lengths_are_hardly_padded_on_a_cpu() -> None:
    lengths = random.Random(2).choices(range(10, 400), k=60)
    batches = plan(lengths, budget=2048)
    padded = sum(batch.width * len(batch.rows) for batch in batches)
    assert padded < 1.06 * sum(lengths)


@pytest.mark.parametrize("budget", [1, 40, 300])
def test_only_rows_of_one_group_run_together(budget: int) -> None:
    lengths = random.Random(3).choices(range(1, 41), k=80)
    groups = [length > 20 for length in lengths]
    batches = plan(lengths, budget=budget, groups=groups)
    assert sorted(row for batch in batches for row in batch.rows) == list(range(len(lengths)))
    assert all(len({groups[row] for row in batch.rows}) == 1 for batch in batches)
    widths = [batch.width for batch in batches]
    assert widths == sorted(widths, reverse=True)


def test_groups_stay_apart_when_memory_runs_out() -> None:
    groups = [0, 1] * 20
    seen: list[Batch] = []

    def compute(batch: Batch) -> None:
        if len(batch.rows) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        seen.append(batch)

    TokenBudget(4096).run([10] * 40, compute, groups=groups)
    assert sorted(row for batch in seen for row in batch.rows) == list(range(40))
    assert all(len({groups[row] for row in batch.rows}) == 1 for batch in seen)


def test_nothing_to_do_is_no_batch() -> None:
    assert plan([], budget=10) == []


def test_padding_stands_to_the_right() -> None:
    ids_BT = pad([[5, 6, 7], [9], [8, 8]], Batch(rows=(0, 2), width=3))
    assert ids_BT.tolist() == [[5, 6, 7], [8, 8, 0]]


def test_repeated_sequences_share_a_place() -> None:
    unique = distinct([[1, 2], [3], [1, 2]])
    assert unique.sequences == [(1, 2), (3,)]
    assert unique.twins == [0, 1, 0]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory. Tried to allocate"),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    ],
)
def test_out_of_memory_halves_the_budget_and_loses_no_row(error: RuntimeError) -> None:
    budget = TokenBudget(4096)
    done: list[int] = []

    def compute(batch: Batch) -> None:
        if batch.width * len(batch.rows) > 100:
            raise error
        done.extend(batch.rows)

    lengths = random.Random(2).choices(range(1, 51), k=60)
    budget.run(lengths, compute)
    assert sorted(done) == list(range(60))
    remembered = budget.tokens
    assert remembered < 4096
    budget.run(lengths, compute)
    assert budget.tokens == remembered


def test_a_single_text_that_does_not_fit_is_an_error() -> None:
    def compute(_batch: Batch) -> None:
        raise torch.OutOfMemoryError("out of memory")

    with pytest.raises(ValueError, match="single text of 9 tokens"):
        TokenBudget(100).run([9, 3], compute)


def test_other_errors_pass_through() -> None:
    def compute(_batch: Batch) -> None:
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        TokenBudget(100).run([9], compute)
