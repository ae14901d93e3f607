"""Log-probabilities of chosen tokens after chosen nodes: logits exist only where they are read.

A question is a trunk and options that continue it; `lay_out` gives the row in which it runs and the
nodes after which its options' tokens are predicted.
"""

from collections.abc import Callable, Hashable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from actors.model import LoadedModel
from actors.passes.tree_attention import Row, Segment

# Shapes: B rows, T nodes, D width, V vocabulary, N nodes where something is read, K reads

# Logits of this many nodes exist at a time: 256 x 256,000 in fp32 is 262 MB.
NODES_AT_ONCE = 256

# Turns states [N, D] into logits [N, V].
Head = Callable[[Tensor], Tensor]


class Question(NamedTuple):
    """A prompt's tokens (prefix included) and those of every option that may continue it."""

    prompt: tuple[int, ...]
    options: tuple[tuple[int, ...], ...]


class Read(NamedTuple):
    """The token of an option whose log-probability is read after node `node`."""

    node: int
    token: int
    option: int


class Layout(NamedTuple):
    """One row and what is read from it, for so many options."""

    row: Row
    reads: tuple[Read, ...]
    options: int

    def by_option(self, values: Sequence[float]) -> list[list[float]]:
        """The log-probabilities read, as those of every option's tokens, in their order."""
        grouped: list[list[float]] = [[] for _ in range(self.options)]
        for value, read in zip(values, self.reads, strict=True):
            grouped[read.option].append(value)
        return grouped


def lay_out(question: Question) -> Layout:
    """One row for a question: its options are branches, and a last token needs no node.

    Equal options share their branch, so that they tie exactly. The first token of a text cannot
    be predicted, so without a prompt it is not read.
    """
    prompt, options = question
    row = [Segment(-1, prompt)] if prompt else []
    reads: list[Read] = []
    starts: dict[tuple[int, ...], int] = {}
    end = len(prompt)
    for place, option in enumerate(options):
        inner = option[:-1]
        if inner and inner not in starts:
            starts[inner] = end
            row.append(Segment(len(prompt) - 1, inner))
            end += len(inner)
        if prompt:
            reads.append(Read(len(prompt) - 1, option[0], place))
        reads += [Read(starts[inner] + step, token, place) for step, token in enumerate(option[1:])]
    return Layout(tuple(row), tuple(reads), len(options))


class Apart(NamedTuple):
    """Questions with some of another question's options each, as not all can share a row.

    `owners` are the questions that they were, `places` those of their options there.
    """

    questions: list[Question]
    owners: list[int]
    places: list[list[int]]

    def add(self, question: Question, *, owner: int, places: list[int]) -> None:
        """One more question, with the options that its owner has at these places."""
        self.questions.append(question)
        self.owners.append(owner)
        self.places.append(places)

    def join(
        self, answers: Sequence[list[list[float]]], *, questions: int
    ) -> list[list[list[float]]]:
        """The answers of the questions that these were, [question][option][token]."""
        joined: list[dict[int, list[float]]] = [{} for _ in range(questions)]
        for owner, places, answer in zip(self.owners, self.places, answers, strict=True):
            joined[owner].update(zip(places, answer, strict=True))
        return [[own[place] for place in sorted(own)] for own in joined]


def take_apart(loaded: LoadedModel, questions: Sequence[Question]) -> Apart | None:
    """One question for all options that may share a row, or for every option where none may.

    None where all questions may stay as they are, as in nearly all models.
    """
    side = loaded.side
    if side is not None and not loaded.budget.positions.tables:
        return None
    apart = Apart([], [], [])
    for owner, question in enumerate(questions):
        groups: dict[Hashable, list[int]] = {}
        for place, option in enumerate(question.options):
            run = len(question.prompt) + len(option) - 1  # the last token is only predicted
            groups.setdefault(side(run) if side else place, []).append(place)
        for places in groups.values():
            options = tuple(question.options[place] for place in places)
            apart.add(Question(question.prompt, options), owner=owner, places=places)
    return None if apart.questions == list(questions) else apart


class Wanted(NamedTuple):
    """What is read from a batch: nodes as (row, node), and reads as (place among them, token)."""

    nodes_N2: Tensor
    reads_K2: Tensor
    counts: tuple[int, ...]

    def take(self, state_BTD: Tensor) -> Tensor:
        """The states [N, D] of the nodes where something is read."""
        nodes_N2 = self.nodes_N2.to(state_BTD.device)
        return state_BTD[nodes_N2[:, 0], nodes_N2[:, 1]]

    def by_row(self, logs: Sequence[float]) -> list[list[float]]:
        """One list of values [K] as a list for every row."""
        values = iter(logs)
        return [[next(values) for _ in range(count)] for count in self.counts]


def want(reads: Sequence[Sequence[Read]], *, device: torch.device) -> Wanted:
    """Prepare the reads of a batch's rows; a node is looked up once, however many reads it has."""
    nodes = sorted({(row, read.node) for row, own in enumerate(reads) for read in own})
    place_of = {node: place for place, node in enumerate(nodes)}
    flat = [(place_of[row, read.node], read.token) for row, own in enumerate(reads) for read in own]
    return Wanted(
        torch.tensor(nodes, dtype=torch.long, device=device).view(-1, 2),
        torch.tensor(flat, dtype=torch.long, device=device).view(-1, 2),
        tuple(len(own) for own in reads),
    )


@torch.inference_mode()
def log_probabilities(
    head: Head, state_BTD: Tensor, reads: Sequence[Sequence[Read]]
) -> list[list[float]]:
    """For every row, the log-probability of each read, from the states that `head` takes."""
    wanted = want(reads, device=state_BTD.device)
    logs_K = log_softmax_at(head, wanted.take(state_BTD), wanted.reads_K2)
    return wanted.by_row(logs_K.tolist())


def log_softmax_at(head: Head, state_ND: Tensor, reads_K2: Tensor) -> Tensor:
    """Log-softmax [K] in fp32 of the logits at (place in N, token), a few places at a time."""
    logs_K = torch.empty(len(reads_K2), dtype=torch.float32, device=state_ND.device)
    reads_K2 = reads_K2.to(state_ND.device)
    for start in range(0, len(state_ND), NODES_AT_ONCE):
        logits_NV = head(state_ND[start : start + NODES_AT_ONCE]).float().to(state_ND.device)
        total_N = logits_NV.logsumexp(dim=1)
        here_K = (reads_K2[:, 0] >= start) & (reads_K2[:, 0] < start + NODES_AT_ONCE)
        place_K, token_K = reads_K2[here_K].T
        logs_K[here_K] = logits_NV[place_K - start, token_K] - total_N[place_K - start]
    return logs_K
