"""Run settings that act on the last prompt token as branches of the prompt's row.

Earlier tokens cannot see the last one, so a setting changes nothing but one token: a copy of it
that follows the token before, is changed on its way, and is continued by the options. The prompt
runs once for all settings. Which settings may run so is for `sweep.py` to say.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import torch

from actors.batching import Batch
from actors.branches import Row, Segment, attention, pack, size
from actors.intervention.intervene import Place, Setting, armed, gather
from actors.model import LoadedModel
from actors.prediction.predict import Question, Read, group, lay_out, log_probabilities

# Nodes of a row with many branches, in prompts or in all: each row runs the prompt once more, and
# what its attention costs grows with the square of its nodes.
ROW_PROMPTS, ROW_NODES = 4, 1024

# Takes the settings' places, the question's, and the log-probabilities of its options' tokens.
Keep = Callable[[Sequence[int], int, list[list[float]]], None]


class _Fork(NamedTuple):
    """One question's row; `last` has the node of each setting's own last token."""

    row: Row
    last: Mapping[int, int]
    reads: tuple[tuple[Sequence[int], tuple[Read, ...]], ...]


@torch.inference_mode()
def fork(
    loaded: LoadedModel,
    questions: Sequence[Question],
    settings: Mapping[int, Setting],
    *,
    plain: Sequence[int],
    keep: Keep,
) -> None:
    """Answer every question under every setting, each known by its place.

    Args:
        loaded: the model.
        questions: what to answer.
        settings: what to change, always at the last prompt token.
        plain: places that the plain model's answers are for.
        keep: takes the answers.
    """
    for first, chunk in enumerate(_chunks(questions, list(settings))):
        forks = [_lay_out(question, chunk, plain=() if first else plain) for question in questions]

        def compute(batch: Batch, chunk: Sequence[int] = chunk, forks: list[_Fork] = forks) -> None:
            own = [forks[row] for row in batch.rows]
            packed = pack([entry.row for entry in own], device=loaded.device)
            places = [
                Place(one, prompt, line, (entry.last[place],), order)
                for line, (prompt, entry) in enumerate(zip(batch.rows, own, strict=True))
                for place in chunk
                for order, one in enumerate(settings[place])
            ]
            edits = gather(places, device=loaded.device)
            with attention(loaded.sites, packed), armed(loaded.sites, edits, rows=len(own)):
                output = loaded.sites.base(**packed.inputs, use_cache=False)
            reads = [[read for _, wanted in entry.reads for read in wanted] for entry in own]
            logs = log_probabilities(loaded.sites, output.last_hidden_state, reads)
            for prompt, entry, values in zip(batch.rows, own, logs, strict=True):
                start = 0
                for targets, wanted in entry.reads:
                    part = values[start : start + len(wanted)]
                    start += len(wanted)
                    options = len(questions[prompt].options)
                    keep(targets, prompt, group(part, wanted, options=options))

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
    reads: list[tuple[Sequence[int], tuple[Read, ...]]] = [(plain, own.reads)] if plain else []
    last: dict[int, int] = {}
    branch = lay_out(Question(prompt[-1:], question.options))
    for place in chunk:
        last[place] = end
        for after, tokens in branch.row:
            # The branch's own first token follows the prompt's last but one.
            row.append(Segment(len(prompt) - 2 if after < 0 else end + after, tokens))
        wanted = tuple(read._replace(node=read.node + end) for read in branch.reads)
        reads.append(((place,), wanted))
        end += size(branch.row)
    return _Fork(tuple(row), last, tuple(reads))
