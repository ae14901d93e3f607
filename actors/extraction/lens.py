"""Logit lens: what every layer's residual stream would predict, read by the model's own head.

For each option of a question, the log-probability of its tokens if the stream after block l went
straight to the final norm and the head (arXiv 2505.13141,
Eq. 7, with past answer tokens in the context). The stream is read at the token before the one
that is predicted. At the last layer this is the model's own answer. Options share their question.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal, get_args

import torch
from torch import Tensor

from actors.batching import Batch
from actors.branches import attention, pack, size
from actors.extraction.observe import Watcher, observe
from actors.model import LoadedModel
from actors.prediction.predict import Question, group, lay_out, log_softmax_at, take_apart, want
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
    if not loaded.shares:
        return _apart(loaded, questions, chosen, norm=norm, head=head, softcap=softcap)
    layouts = [lay_out(question) for question in questions]
    found: list[Latent] = [{} for _ in questions]

    def read_out(normed_ND: Tensor) -> Tensor:
        return _logits(loaded.sites, normed_ND, norm=norm, head=head, softcap=softcap)

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
            observe(loaded.sites, packed.inputs, [watcher(layer) for layer in chosen])
        values = torch.stack([logs[layer].to(loaded.device) for layer in chosen])
        if not values.isfinite().all():
            raise ValueError(
                "a latent probability is not finite: the model overflows in this dtype; use "
                "--dtype bfloat16 or float32"
            )
        by_row = [wanted.by_row(layer_values) for layer_values in values.tolist()]
        for line, (row, layout) in enumerate(zip(batch.rows, own, strict=True)):
            options = len(questions[row].options)
            found[row] = {
                layer: group(by_row[turn][line], layout.reads, options=options)
                for turn, layer in enumerate(chosen)
            }

    loaded.budget.run([size(layout.row) for layout in layouts], compute)
    return found


def _apart(
    loaded: LoadedModel,
    questions: Sequence[Question],
    layers: Sequence[int],
    *,
    norm: LensNorm,
    head: LensHead,
    softcap: bool,
) -> list[Latent]:
    """The same for a model whose texts cannot share a row: one row for every option."""
    apart = take_apart(questions)
    shared = replace(loaded, shares=True)
    latent = lens(shared, apart.questions, layers=layers, norm=norm, head=head, softcap=softcap)
    by_layer = {
        layer: apart.join([own[layer] for own in latent], questions=len(questions))
        for layer in layers
    }
    return [{layer: by_layer[layer][place] for layer in layers} for place in range(len(questions))]


def _logits(
    sites: Sites, stream_ND: Tensor, *, norm: LensNorm, head: LensHead, softcap: bool
) -> Tensor:
    """Logits [N, V] straight from the stream."""
    if norm == "final_norm":
        stream_ND = sites.final_norm(stream_ND)
    if head == "lm_head":
        logits_NV: Tensor = sites.head(stream_ND)
    else:
        weight_VD = sites.embedding.weight
        assert isinstance(weight_VD, Tensor)
        logits_NV = stream_ND.to(weight_VD.device) @ weight_VD.T
    return sites.cap(logits_NV) if softcap else logits_NV
