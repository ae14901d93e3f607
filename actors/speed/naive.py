"""The obvious way to do what this package does fast: one prompt and one setting per pass.

Fast ways are measured against it and must equal it on any real model. It uses the model's own
forward with its head, and copies what it needs to the CPU as scripts do.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from actors.intervention.intervene import armed, gather, places_of
from actors.intervention.setting import Setting
from actors.model import LoadedModel
from actors.prediction.predict import Question

# Shapes: T tokens, D width, V vocabulary


@torch.inference_mode()
def answer(
    loaded: LoadedModel, question: Question, setting: Setting = (), *, prompt: int = 0
) -> list[list[float]]:
    """Log-probabilities [option][token], with one hooked pass for every option.

    `prompt` is the question's place among those that a setting has a vector or coefficient for.
    """
    length = len(question.prompt)
    answers = []
    for option in question.options:
        ids = [*question.prompt, *option]
        places = places_of(setting, prompt=prompt, row=0, length=length, end=len(ids))
        with armed(loaded.sites, gather(places, device=loaded.device), rows=1):
            ids_1T = torch.tensor([ids], device=loaded.device)
            logits_TV = loaded.model(input_ids=ids_1T, use_cache=False).logits[0]
        logs_TV = logits_TV.float().log_softmax(dim=-1)
        first = max(length, 1)
        answers.append([float(logs_TV[at - 1, ids[at]]) for at in range(first, len(ids))])
    return answers


@torch.inference_mode()
def hooked(loaded: LoadedModel, ids_BT: Tensor, setting: Setting) -> Tensor:
    """Log-probabilities [B, V] after prompts of one length: a whole pass, all logits computed."""
    rows, length = ids_BT.shape
    places = [
        place
        for row in range(rows)
        for place in places_of(setting, prompt=row, row=row, length=length, end=length)
    ]
    with armed(loaded.sites, gather(places, device=loaded.device), rows=rows):
        logits_BTV = loaded.model(input_ids=ids_BT, use_cache=False).logits
    logs_BV: Tensor = logits_BTV[:, -1].float().log_softmax(dim=-1).cpu()
    return logs_BV


@torch.inference_mode()
def latent(loaded: LoadedModel, question: Question) -> list[list[Tensor]]:
    """For every option and layer, log-probabilities [T] of its tokens from `output_hidden_states`.

    The last layer comes after the final norm, as transformers gives it, and is not normed again.
    """
    answers = []
    for option in question.options:
        ids = [*question.prompt, *option]
        ids_1T = torch.tensor([ids], device=loaded.device)
        states = loaded.model(
            input_ids=ids_1T, use_cache=False, output_hidden_states=True
        ).hidden_states
        own = []
        for layer, state_1TD in enumerate(states[1:], start=1):
            last = layer == len(loaded.sites.blocks)
            normed_1TD = state_1TD if last else loaded.sites.final_norm(state_1TD)
            logs_TV = loaded.sites.logits(normed_1TD[0]).float().log_softmax(dim=-1).cpu()
            places = torch.arange(len(question.prompt) - 1, len(ids) - 1)
            own.append(logs_TV[places, torch.tensor(option)])
        answers.append(own)
    return answers


@torch.inference_mode()
def vectors(loaded: LoadedModel, ids: Sequence[int]) -> list[Tensor]:
    """Position-weighted mean states [D] of layers 0 to L from `output_hidden_states`.

    The last is after the final norm, as transformers gives it.
    """
    ids_1T = torch.tensor([list(ids)], device=loaded.device)
    output = loaded.model(input_ids=ids_1T, use_cache=False, output_hidden_states=True)
    weights_T = torch.arange(1, len(ids) + 1, dtype=torch.float32)
    weights_T = weights_T / weights_T.sum()
    return [weights_T @ state[0].float().cpu() for state in output.hidden_states]
