"""Logit lens: the prediction of every layer's residual stream, read out by the model's own head.

For each option of a question, the log-probability of its tokens if the stream after block l went
straight to the final norm and the head (arXiv 2505.13141, Eq. 7, with past answer tokens in the
context). The stream is read at the token before the one that is predicted. At the last layer this
is the model's own answer. Options share their question.
"""

from collections.abc import Mapping, Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from actors.errors import OVERFLOW
from actors.model import LoadedModel
from actors.passes.batching import Batch
from actors.passes.observe import Watcher, observe
from actors.passes.tree_attention import attention, pack, size
from actors.prediction.predict import Head, Question, lay_out, log_softmax_at, take_apart, want
from actors.structure.sites import Sites

# Shapes: N nodes that are read, D width, V vocabulary, K reads

LensNorm = Literal["final_norm", "none"]
LensHead = Literal["lm_head", "input_embedding"]
NORMS: tuple[LensNorm, ...] = get_args(LensNorm)
HEADS: tuple[LensHead, ...] = get_args(LensHead)

# Log-probabilities [option][token] of one question, by layer.
Latent = Mapping[int, list[list[float]]]


@torch.inference_mode()
def lens(
    loaded: LoadedModel,
    questions: Sequence[Question],
    *,
    layers: Sequence[int] | None = None,
    norm: LensNorm = "final_norm",
    head: LensHead = "lm_head",
    softcap: bool = True,
) -> list[Latent]:
    """Log-probabilities of every option's tokens at every layer, for every question.

    Args:
        loaded: the model.
        questions: prompts and the options that may continue them, as `score.ask` makes them.
        layers: 0 (embeddings) to L; None means 1 to L.
        norm: put the stream through the final norm, whose statistics are the layer's own, or not.
        head: the model's output layer, or its input embedding.
        softcap: cap logits as the model does (Gemma2), if it does.

    Raises:
        ValueError: a layer or a switch does not exist, or a value is not finite.
    """
    chosen = tuple(range(1, len(loaded.sites.blocks) + 1) if layers is None else layers)
    if not chosen:
        raise ValueError("no layer to read: expected at least one")
    if norm not in NORMS:
        raise ValueError(f"unknown norm {norm!r}: expected {', '.join(NORMS)}")
    if head not in HEADS:
        raise ValueError(f"unknown head {head!r}: expected {', '.join(HEADS)}")
    for layer in chosen:
        loaded.sites.check("resid_post", layer=layer)

    def read_out(stream_ND: Tensor) -> Tensor:
        return _logits(loaded.sites, stream_ND, norm=norm, head=head, softcap=softcap)

    apart = take_apart(loaded, questions)
    if apart is None:
        return _read(loaded, questions, chosen, read_out)
    latent = _read(loaded, apart.questions, chosen, read_out)
    joined = [
        apart.join([own[layer] for own in latent], questions=len(questions)) for layer in chosen
    ]
    return [dict(zip(chosen, own, strict=True)) for own in zip(*joined, strict=True)]


def _read(
    loaded: LoadedModel, questions: Sequence[Question], layers: Sequence[int], read_out: Head
) -> list[Latent]:
    """What `read_out` makes of the stream at these layers, for every question, each in a row."""
    layouts = [lay_out(question) for question in questions]
    found: list[Latent] = [{} for _ in questions]

    def compute(batch: Batch) -> None:
        own = [layouts[row] for row in batch.rows]
        packed = pack([layout.row for layout in own], device=loaded.device)
        wanted = want([layout.reads for layout in own], device=loaded.device)
        logs: dict[int, Tensor] = {}

        def watcher(layer: int) -> Watcher:
            def look(stream_BTD: Tensor) -> None:
                stream_ND = wanted.take(stream_BTD)
                logs[layer] = log_softmax_at(read_out, stream_ND, wanted.reads_K2)

            return Watcher("resid_post", layer, look)

        with attention(loaded.sites, packed):
            observe(loaded.sites, packed.inputs, [watcher(layer) for layer in layers])
        values = torch.stack([logs[layer].to(loaded.device) for layer in layers])
        if not values.isfinite().all():
            raise ValueError(f"a latent probability is not finite: {OVERFLOW}")
        by_layer = [wanted.by_row(layer_values) for layer_values in values.tolist()]
        for line, (row, layout) in enumerate(zip(batch.rows, own, strict=True)):
            found[row] = {
                layer: layout.by_option(own_logs[line])
                for layer, own_logs in zip(layers, by_layer, strict=True)
            }

    rows = [layout.row for layout in layouts]
    loaded.budget.run([size(row) for row in rows], compute, groups=loaded.groups(rows))
    return found


def _logits(
    sites: Sites, stream_ND: Tensor, *, norm: LensNorm, head: LensHead, softcap: bool
) -> Tensor:
    """Logits [N, V] straight from the stream."""
    if norm == "final_norm":
        stream_ND = sites.final_norm(stream_ND)
    weight_VD = None if head == "lm_head" else sites.embedding_weight
    return sites.logits(stream_ND, weight_VD=weight_VD, softcap=softcap)
