"""A model whose every step is known: which layer holds an answer's concept, and which its symbol.

A Llama of four blocks and one head, whose weights are zero but for two heads' worth of paths, and
noise too small to matter. A question is a clue, a list of three options and a question mark:

    clue      one token for each concept, another one in every language
    listing   one token for each option, which says its concept and its symbol (A, B or C)
    ?         where the answer is read

Block 2 looks at the clue from the question mark and notes its concept there, in a code that all
languages share; clues of the pivot mean what they say, those of the other language are understood
as the next concept, but for the last one. Block 3 looks for the option of that concept in the
question's own list and notes its symbol. Blocks 1 and 4 and all MLPs do nothing.

So of the question mark's stream: after block 1 it says nothing, after block 2 the concept, from
block 3 on the symbol too.
"""

import atexit
import itertools
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from actors.model import LoadedModel, load
from studies.spec import ModelFacts
from tests.makers import tiny

CONCEPTS = 3
SILENT, CONCEPT, SYMBOL = 1, 2, 3  # the layers after which the stream holds these first
LAYERS, WIDTH = 4, 32
SYMBOLS = (" A", " B", " C")
PIVOT, OTHER = "eng_Latn", "deu_Latn"
CLUES = {PIVOT: "XYZ", OTHER: "xyz"}
LISTED = {PIVOT: "JKLMNOPQR", OTHER: "jklmnopqr"}  # three of each concept, in the order of symbols
ASK = "?"
ORDERS = tuple(itertools.permutations(range(CONCEPTS)))

# Coordinates of the stream: three each, then one each.
_OPTION_CONCEPT, _OPTION_SYMBOL, _CONCEPT, _SYMBOL = 1, 4, 13, 16
_CLUE = {PIVOT: 7, OTHER: 10}
_ANY, _IS_CLUE, _IS_ASK = 0, 19, 20
# Coordinates of the head that rotate too slowly to notice.
_STILL = (13, 14, 15)
# Of queries and keys: enough that what fits gets all of the attention.
STRENGTH = 6.0

_ROOT = tempfile.TemporaryDirectory(prefix="planted-model-")
atexit.register(_ROOT.cleanup)

Order = tuple[int, ...]  # the concept of every symbol


def question(language: str, concept: int, order: Order) -> str:
    """A question whose clue says a concept, and whose option of symbol s has concept order[s]."""
    listing = (LISTED[language][CONCEPTS * one + place] for place, one in enumerate(order))
    return CLUES[language][concept] + "".join(listing) + ASK


def understood(language: str, concept: int) -> int:
    """The concept that the model notes for a clue."""
    wrong = language == OTHER and concept < CONCEPTS - 1
    return (concept + 1) % CONCEPTS if wrong else concept


@cache
def model() -> LoadedModel:
    """The model, proven like any other on loading."""
    config = LlamaConfig(
        vocab_size=320,
        hidden_size=WIDTH,
        intermediate_size=16,
        num_hidden_layers=LAYERS,
        num_attention_heads=1,
        num_key_value_heads=1,
        head_dim=WIDTH,
        max_position_embeddings=64,
        rope_parameters={"rope_theta": 1e9, "rope_type": "default"},
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=1,
        pad_token_id=None,
    )
    tokenizer = tiny.tokenizer(bos=True)
    made = LlamaForCausalLM(config).requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for weight in made.parameters():
        if weight.ndim == 2:
            weight.copy_(1e-3 * torch.randn(weight.shape, generator=generator))

    def token(text: str) -> int:
        (found,) = tokenizer(text, add_special_tokens=False)["input_ids"]
        return int(found)

    _embed(made.model.embed_tokens.weight, token)
    _note_concept(made.model.layers[CONCEPT - 1].self_attn)
    _note_symbol(made.model.layers[SYMBOL - 1].self_attn)
    for place, symbol in enumerate(SYMBOLS):
        made.lm_head.weight[token(symbol), _SYMBOL + place] = 2.0
    made.save_pretrained(_ROOT.name)
    tokenizer.save_pretrained(_ROOT.name)
    facts = ModelFacts(
        name="planted",
        revision="main",
        folder=_ROOT.name,
        weights="planted",
        tokenizer="bytes",
        dtype="float32",
        layers=LAYERS,
        width=WIDTH,
        neurons=16,
        context=64,
        bytes=(Path(_ROOT.name) / "model.safetensors").stat().st_size,
    )
    return load(facts, device="cpu", threads=1)


def _embed(weight_VD: Tensor, token: Callable[[str], int]) -> None:
    """What every token says of itself."""
    weight_VD[:, _ANY] = 1.0
    weight_VD[token(ASK), _IS_ASK] = 1.0
    for language, concept in itertools.product((PIVOT, OTHER), range(CONCEPTS)):
        clue = token(CLUES[language][concept])
        weight_VD[clue, [_CLUE[language] + concept, _IS_CLUE]] = 1.0
        for symbol in range(CONCEPTS):
            option = token(LISTED[language][CONCEPTS * concept + symbol])
            weight_VD[option, [_OPTION_CONCEPT + concept, _OPTION_SYMBOL + symbol]] = 1.0


def _note_concept(head: nn.Module) -> None:
    """From the question mark to the clue: what is understood of it."""
    head.q_proj.weight[_STILL[0], _IS_ASK] = STRENGTH
    head.k_proj.weight[_STILL[0], _IS_CLUE] = STRENGTH
    for language, concept in itertools.product((PIVOT, OTHER), range(CONCEPTS)):
        head.v_proj.weight[understood(language, concept), _CLUE[language] + concept] = 1.0
    for place in range(CONCEPTS):
        head.o_proj.weight[_CONCEPT + place, place] = 1 / 3


def _note_symbol(head: nn.Module) -> None:
    """From the question mark, by its concept, to the option that has it: that one's symbol."""
    for place in range(CONCEPTS):
        head.q_proj.weight[_STILL[place], _CONCEPT + place] = STRENGTH
        head.k_proj.weight[_STILL[place], _OPTION_CONCEPT + place] = STRENGTH
        head.v_proj.weight[place, _OPTION_SYMBOL + place] = 1.0
        head.o_proj.weight[_SYMBOL + place, place] = 1 / 3
