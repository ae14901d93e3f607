"""Find the sites of a decoder by its structure: a list with one block per layer, an MLP in each
block, a norm beside the list.

Class names say nothing here, so a new family usually needs nothing. Where structure cannot tell
(what a block adds to the residual stream, before or after a norm), arithmetic on a short random
input decides. Such a search can be wrong: `proof.py` checks its result.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from itertools import combinations, product
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from actors.errors import OVERFLOW
from actors.structure.probe import PROBE_TOKENS, probe_ids, refusing
from actors.structure.readout import measure
from actors.structure.sites import MLP, NEURONS, Port, SiteName, Sites, first_tensor, watch_input

# Shapes: B rows, T tokens, D width

# Largest share of a block's update that may be left unexplained.
UNEXPLAINED = {torch.float32: 1e-4, torch.bfloat16: 0.02, torch.float16: 0.02}


class Pattern(NamedTuple):
    """Names of an MLP's parts; without `up` there is no gate, unless both are fused in one."""

    gate: str
    up: str | None
    down: str
    activation: str
    fused: bool = False


PATTERNS = (
    Pattern("gate_proj", "up_proj", "down_proj", "act_fn"),
    Pattern("gate_proj", "up_proj", "down_proj", "activation_fn"),
    Pattern("gate_up_proj", None, "down_proj", "activation_fn", fused=True),
    Pattern("dense_h_to_4h", None, "dense_4h_to_h", "act"),
    Pattern("dense_h_to_4h", None, "dense_4h_to_h", "gelu_impl"),
    Pattern("up_proj", None, "down_proj", "act_fn"),
    Pattern("up_proj", None, "down_proj", "act"),
    Pattern("c_fc", None, "c_proj", "act"),
    Pattern("fc_in", None, "fc_out", "act"),
    Pattern("fc1", None, "fc2", "activation_fn"),
)


def find(model: PreTrainedModel, *, layers: int) -> Sites:
    """Map the site names to modules of `model`, which has `layers` blocks.

    Raises:
        ValueError: a part that every decoder has is not where structure says it should be.
    """
    with refusing(model):
        return _find(model, layers=layers)


def _find(model: PreTrainedModel, *, layers: int) -> Sites:
    """The map, with whatever error a model of another structure ends in."""
    head, embedding = model.get_output_embeddings(), model.get_input_embeddings()
    base = _find_base(model, embedding)
    blocks = _find_blocks(base, layers=layers)
    if head is None:
        raise ValueError(
            f"{type(model).__name__} has no head (get_output_embeddings gives none): expected a "
            "decoder whose output layer gives a logit for every token; choose such a model"
        )
    weight_VD = embedding.weight
    assert isinstance(weight_VD, Tensor)
    ids_BT = probe_ids(weight_VD, tokens=PROBE_TOKENS)
    final_norm = _find_norm(model, blocks, head, ids_BT)
    mlps, no_mlp = _find_mlps(blocks)
    entering = Port(module=blocks[0], side="input")
    ports: dict[SiteName, tuple[Port, ...]] = {
        "embed": (entering,),
        "resid_post": (entering, *(Port(module=block, side="output") for block in blocks)),
        "final_norm": (Port(module=final_norm, side="output"),),
    }
    missing: dict[SiteName, str] = {}
    if mlps:
        ports["mlp_act"] = tuple(Port(module=mlp.activation, side="output") for mlp in mlps)
        ports["mlp_hidden"] = tuple(Port(module=mlp.down, side="input") for mlp in mlps)
    else:
        missing = dict.fromkeys(NEURONS, no_mlp)
    if mlps and mlps[0].up is not None:
        ports["mlp_gate"] = tuple(mlp.gate for mlp in mlps)
    elif mlps:
        missing["mlp_gate"] = "its MLP has no gate, only an activation (site mlp_act)"
    found = Sites(
        base=base,
        embedding=embedding,
        blocks=blocks,
        mlps=mlps,
        ports=ports,
        missing=missing,
        final_norm=final_norm,
        head=head,
        keeps_sign=all(_keeps_sign(mlp.activation, weight_VD) for mlp in mlps),
    )
    return measure(model, _find_updates(model, found), ids_BT)


def unexplained(added_BTD: Tensor, *, entering: Tensor, leaving: Tensor) -> float:
    """The share of a block's update that `added_BTD` is not, beyond what rounding explains.

    Medians, as a few huge coordinates would hide everything else. The stream is rounded with every
    addition, and late blocks add little to much: half a step of its dtype is rounding's.
    """
    rounding = torch.finfo(leaving.dtype).eps / 2 * leaving.float().abs().median()
    update_BTD = leaving.float() - entering.float()
    left = (update_BTD - added_BTD.float()).abs().median()
    scale = update_BTD.abs().median().clamp_min(torch.finfo().tiny)  # a pruned block adds nothing
    return float((left - rounding).clamp_min(0) / scale)


def _find_base(model: PreTrainedModel, embedding: nn.Module) -> nn.Module:
    """The model without its head: the part that it names so, or that holds the embedding."""
    named = getattr(model, model.base_model_prefix, None)
    if isinstance(named, nn.Module):
        return named
    child: nn.Module
    for child in model.children():
        if embedding in set(child.modules()) and child is not embedding:
            return child
    raise ValueError(
        f"{type(model).__name__} has no part that holds its embedding and its blocks beside the "
        "head; expected a base model such as `model` or `transformer`; choose such a model"
    )


def _find_blocks(base: nn.Module, *, layers: int) -> tuple[nn.Module, ...]:
    lists = [
        (path, module)
        for path, module in base.named_modules()
        if isinstance(module, nn.ModuleList) and len(module) == layers
    ]
    if not lists:
        raise ValueError(
            f"{type(base).__name__} has no list of {layers} blocks, the number its config states; "
            "expected a decoder with one module per layer"
        )
    _, blocks = min(lists, key=lambda entry: entry[0].count("."))
    return tuple(blocks)


@torch.inference_mode()
def _find_norm(
    model: PreTrainedModel, blocks: tuple[nn.Module, ...], head: nn.Module, ids_BT: Tensor
) -> nn.Module:
    """The first module that takes what leaves the last block: a norm may have no weights (OLMo)."""
    inside = {part for block in blocks for part in block.modules()}
    leaving: list[Tensor] = []
    taking: list[nn.Module] = []

    def take(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        given = [value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)]
        if leaving and any(
            torch.equal(value.to(leaving[-1].device), leaving[-1]) for value in given
        ):
            taking.append(module)

    def leave(_module: nn.Module, _args: object, output: object) -> None:
        leaving.append(first_tensor(output))

    with ExitStack() as stack:
        for module in model.modules():
            if module not in inside:
                stack.enter_context(module.register_forward_pre_hook(take, with_kwargs=True))
        stack.enter_context(blocks[-1].register_forward_hook(leave))
        model(input_ids=ids_BT, use_cache=False)
    if leaving and not leaving[-1].isfinite().all():
        raise ValueError(
            f"what leaves the last block of {type(model).__name__} is not finite on a short text: "
            f"{OVERFLOW}, and check the weights for values that are no numbers"
        )
    if not taking or taking[0] is head:
        raise ValueError(
            f"{type(model).__name__} has no final norm: {'its head' if taking else 'no module'} "
            "takes what leaves the last block; expected a decoder with a norm between the two, "
            "such as Llama or Gemma2; choose such a model"
        )
    return taking[0]


@torch.inference_mode()
def _keeps_sign(activation: nn.Module, weight_VD: Tensor) -> bool:
    """Whether an activation is never positive at or below zero, nor negative above it.

    It is asked on its own device and in its dtype; without weights, in those of `weight_VD`.
    """
    like: Tensor = next(activation.parameters(), weight_VD)
    points_N = torch.linspace(-64, 64, 1025, dtype=like.dtype, device=like.device)
    found_N = activation(points_N)
    return not bool((((points_N > 0) & (found_N < 0)) | ((points_N <= 0) & (found_N > 0))).any())


def _find_mlps(blocks: tuple[nn.Module, ...]) -> tuple[tuple[MLP, ...], str]:
    """The MLP of every block, or none and the reason."""
    for layer, block in enumerate(blocks, start=1):
        names = [(path, path.rpartition(".")[2]) for path, _ in block.named_modules()]
        experts = [path for path, name in names if "expert" in name or "moe" in name]
        if experts:
            return (), (
                f"block {layer} is a mixture of experts ({experts[0]}): a router chooses each "
                "token's neurons, so that none has a value at every token"
            )
    mlps = []
    for layer, block in enumerate(blocks, start=1):
        found = [
            mlp
            for module in block.modules()
            for mlp in [_match(module, whole=module is not block)]
            if mlp is not None
        ]
        if len(found) != 1:
            known = "; ".join(
                ", ".join(name for name in pattern[:4] if name) for pattern in PATTERNS
            )
            return (), f"block {layer} holds {len(found)} MLPs, not 1 (modules with {known})"
        mlps += found
    return tuple(mlps), ""


def _match(module: nn.Module, *, whole: bool) -> MLP | None:
    """The MLP whose parts are this module's own children, if there is one.

    Where the MLP is the `whole` module, nothing else in it has weights.
    """
    children = dict(module.named_children())
    for pattern in PATTERNS:
        names = [pattern.gate, pattern.down, pattern.activation, pattern.up or pattern.gate]
        if not all(name in children for name in names):
            continue
        others = [child for name, child in children.items() if name not in names]
        if whole and any(True for child in others for _ in child.parameters()):
            continue
        gate = children[pattern.gate]
        first = second = Port(module=gate, side="output")
        if pattern.fused:
            width = _width_in(children[pattern.down])
            first = Port(module=gate, side="output", part=slice(0, width))
            second = Port(module=gate, side="output", part=slice(width, 2 * width))
        elif pattern.up is not None:
            second = Port(module=children[pattern.up], side="output")
        return MLP(
            gate=first,
            up=second if pattern.fused or pattern.up else None,
            activation=children[pattern.activation],
            down=children[pattern.down],
        )
    return None


def _width_in(projection: nn.Module) -> int:
    """How many columns a projection takes."""
    if isinstance(projection, nn.Linear):
        return projection.in_features
    raise ValueError(
        f"a fused MLP projects down by {type(projection).__name__}; expected a linear layer whose "
        "input width is known"
    )


@torch.inference_mode()
def _find_updates(model: PreTrainedModel, sites: Sites) -> Sites:
    """Add the sites attn_out and mlp_out, the two tensors a block adds to what enters it.

    A post-norm stands between the attention and the stream in some families (Gemma2, OLMo2), and
    BLOOM's attention adds the stream by itself; so every module of a block is a candidate, and
    the pair that adds up is chosen, the outermost modules where several hold the same tensor. Where
    none does, blocks may multiply both by a number that they keep (Granite).
    """
    blocks = [_Block(block) for block in sites.blocks]
    with ExitStack() as stack:
        for block in blocks:
            stack.enter_context(block.watching())
        model(input_ids=probe_ids(sites.embedding_weight, tokens=PROBE_TOKENS), use_cache=False)
    pairs = list(combinations(blocks[0].candidates(), 2))
    for name, pair in product((None, *blocks[0].numbers()), pairs):
        if all(block.adds_up(pair, name) for block in blocks):
            down = _path_of(blocks[0].module, sites.mlps[0].down if sites.mlps else None)
            attention, mlp = blocks[0].sorted_pair(pair, down=down)
            ports: dict[SiteName, tuple[Port, ...]] = {
                "attn_out": tuple(block.port(attention, name) for block in blocks),
                "mlp_out": tuple(block.port(mlp, name) for block in blocks),
            }
            return replace(sites, ports={**sites.ports, **ports}, tuples=blocks[0].returns_tuple)
    reason = "no two tensors inside a block add up to what it adds to the residual stream"
    missing: dict[SiteName, str] = {"attn_out": reason, "mlp_out": reason}
    return replace(sites, missing={**sites.missing, **missing}, tuples=blocks[0].returns_tuple)


class _Block:
    """One block and every tensor of the stream's shape that its modules returned on the probe."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.returns_tuple = False
        self._entering = torch.empty(0)
        self._leaving = torch.empty(0)
        self._inside: dict[str, Tensor] = {}  # in the order in which they were done

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Note what passes while the context is open."""
        with ExitStack() as stack:
            for path, part in self.module.named_modules():
                if not isinstance(part, nn.Dropout | nn.Identity):
                    stack.enter_context(part.register_forward_hook(self._note(path)))
            stack.enter_context(watch_input(self.module, self._enter))
            yield

    def _enter(self, value: Tensor) -> None:
        self._entering = value.clone()

    def _note(self, path: str) -> Callable[[nn.Module, object, object], None]:
        def hook(_module: nn.Module, _args: object, output: object) -> None:
            if not path:
                self.returns_tuple = isinstance(output, tuple)
                self._leaving = first_tensor(output).clone()
            elif isinstance(output, Tensor | tuple):
                value = first_tensor(output)
                shape = self._entering.shape
                if value.numel() == shape.numel():
                    self._inside[path] = value.to(torch.float32, copy=True).reshape(shape)

        return hook

    def candidates(self) -> list[str]:
        """Paths of the modules noted, outer ones before those they contain."""
        return [path for path, _ in self.module.named_modules() if path in self._inside]

    def numbers(self) -> list[str]:
        """Names of the numbers that the block keeps and may multiply by."""
        return [name for name, value in vars(self.module).items() if type(value) in (int, float)]

    def adds_up(self, pair: Sequence[str], name: str | None) -> bool:
        """Whether the two, times a number of the block's, are together what the block adds."""
        if not all(path in self._inside for path in pair):
            return False
        added_BTD = (self._inside[pair[0]] + self._inside[pair[1]]) * self._factor(name)
        share = unexplained(added_BTD, entering=self._entering, leaving=self._leaving)
        return share <= UNEXPLAINED[self._leaving.dtype]

    def sorted_pair(self, pair: Sequence[str], *, down: str) -> tuple[str, str]:
        """The attention's part and the MLP's: the one that holds `down`, or is done later."""
        first, second = sorted(pair, key=list(self._inside).index)
        return (second, first) if f"{down}.".startswith(f"{first}.") else (first, second)

    def port(self, path: str, name: str | None) -> Port:
        """Where the tensor of this path is, which the block multiplies by the number `name`."""
        module = self.module.get_submodule(path)
        return Port(module=module, side="output", factor=self._factor(name))

    def _factor(self, name: str | None) -> float:
        """The number called `name`; 0, which nothing is explained by, where the block has none."""
        return 1.0 if name is None else float(vars(self.module).get(name, 0))


def _path_of(block: nn.Module, wanted: nn.Module | None) -> str:
    """The path of a module inside a block; empty where there is none."""
    return next((path for path, module in block.named_modules() if module is wanted), "")
