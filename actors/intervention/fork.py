"""Run settings that act on the last prompt token as branches of the prompt's row.

Earlier tokens cannot see the last one, so a setting changes nothing but one token: a copy of it
that follows the token before, is changed on its way, and is continued by the options. The prompt
runs once for all settings. Which settings may run so is for `sweep.py` to say.
"""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import NamedTuple

import torch

from actors.batching import Batch
from actors.branches import Row, Segment, attention, pack, size
from actors.intervention.grid import Grid
from actors.intervention.intervene import Place, armed, gather, places_of
from actors.prediction.predict import Layout, Question, Read, lay_out, log_probabilities

# Nodes of a row with many branches, in prompts or in all: each row runs the prompt once more, and
# what its attention costs grows with the square of its nodes.
ROW_PROMPTS, ROW_NODES = 4, 1024


class _Fork(NamedTuple):
    """One question's row; `last` has the node of each setting's own last token.

    `reads` come in the order of `answers`: for which places, and in which layout.
    """

    row: Row
    last: Mapping[int, int]
    reads: Sequence[Read]
    answers: Sequence[tuple[Sequence[int], Layout]]


@torch.inference_mode()
def fork(grid: Grid) -> None:
    """Answer every question under every setting; all of them act at the last prompt token."""
    loaded, questions = grid.loaded, grid.questions
    for first, chunk in enumerate(_chunks(questions, list(grid.settings))):
        plain = () if first else grid.plain
        forks = [_lay_out(question, chunk, plain=plain) for question in questions]

        def compute(batch: Batch, chunk: Sequence[int] = chunk, forks: list[_Fork] = forks) -> None:
            own = [forks[row] for row in batch.rows]
            packed = pack([entry.row for entry in own], device=loaded.device)
            places: list[Place] = []
            for line, (prompt, entry) in enumerate(zip(batch.rows, own, strict=True)):
                for place in chunk:
                    setting, start = grid.settings[place], entry.last[place]
                    places += places_of(
                        setting, prompt=prompt, row=line, length=1, end=1, start=start
                    )
            edits = gather(places, device=loaded.device)
            with attention(loaded.sites, packed), armed(loaded.sites, edits, rows=len(own)):
                output = loaded.sites.base(**packed.inputs, use_cache=False)
            reads = [entry.reads for entry in own]
            logs = log_probabilities(loaded.sites.logits, output.last_hidden_state, reads)
            for prompt, entry, row_logs in zip(batch.rows, own, logs, strict=True):
                values = iter(row_logs)
                for targets, part in entry.answers:
                    grid.keep(targets, prompt, part, list(islice(values, len(part.reads))))

        loaded.budget.run([size(entry.row) for entry in forks], compute)


def _chunks(questions: Sequence[Question], places: Sequence[int]) -> Iterator[Sequence[int]]:
    """The settings in groups that share a row."""
    longest = max(len(question.prompt) for question in questions)
    branch = max(size(lay_out(question).row) - len(question.prompt) for question in questions) + 1
    most = max(1, (max(ROW_NODES, ROW_PROMPTS * longest) - longest) // branch)
    for start in range(0, len(places), most):
        yield places[start : start + most]


def _lay_out(question: Question, chunk: Sequence[int], *, plain: Sequence[int]) -> _Fork:
    """The row of one question: its prompt, its options, and one more last token per setting."""
    prompt = question.prompt
    own = lay_out(question if plain else Question(prompt, ()))
    row, end = list(own.row), size(own.row)
    reads = list(own.reads)
    answers: list[tuple[Sequence[int], Layout]] = [(plain, own)] if plain else []
    last: dict[int, int] = {}
    branch = lay_out(Question(prompt[-1:], question.options))
    for place in chunk:
        last[place] = end
        for after, tokens in branch.row:
            # The branch's own first token follows the prompt's last but one.
            row.append(Segment(len(prompt) - 2 if after < 0 else end + after, tokens))
        reads += [read._replace(node=read.node + end) for read in branch.reads]
        answers.append(((place,), branch))
        end += size(branch.row)
    return _Fork(tuple(row), last, reads, answers)
