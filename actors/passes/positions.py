"""Find which texts get the same position tables, and put the tables back as they were loaded.

A rotary embedding may depend on length: longrope has one table for short texts and one for long
ones, dynamic NTK has one for every length beyond that of the training. transformers chooses by the
longest text of a batch, and some keep the choice for the next batch. So texts run together only
where each of them alone gets the same table, and every batch begins with the tables as loaded.
Such models are found by asking their modules, not by name.
"""

from collections.abc import Hashable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from inspect import BoundArguments, signature
from typing import NamedTuple

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from actors.structure.probe import PROBE_TOKENS, probe_ids, refusing

# Shapes: B rows, T tokens, D width of a table

POSITIONS = "position_ids"


class _State(NamedTuple):
    """What a module holds besides weights: tensors, and other values that its pass may change."""

    buffers: Mapping[str, Tensor]
    values: Mapping[str, object]

    @classmethod
    def of(cls, module: nn.Module) -> "_State":
        buffers = {name: value.clone() for name, value in module.named_buffers(recurse=False)}
        return cls(buffers, _values(module))

    def restore(self, module: nn.Module) -> None:
        for name, value in self.buffers.items():
            setattr(module, name, value.clone())
        for added in _values(module).keys() - self.values.keys():
            delattr(module, added)
        vars(module).update(self.values)


def _values(module: nn.Module) -> dict[str, object]:
    kept = (bool, int, float, Tensor)
    return {name: held for name, held in vars(module).items() if isinstance(held, kept)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Table:
    """A module that turns positions into a table, how it was called, and its state as loaded."""

    module: nn.Module
    call: BoundArguments
    state: _State

    def reset(self) -> None:
        """Forget what earlier texts have left behind."""
        self.state.restore(self.module)

    def entry(self, length: int) -> tuple[bytes, ...]:
        """What the module gives at position 1 of a text of `length` tokens, in fp32."""
        self.reset()
        given = dict(self.call.arguments)
        positions_BT = torch.zeros_like(given[POSITIONS])
        positions_BT[..., 1] = 1
        positions_BT[..., -1] = max(length - 1, 1)
        for name, value in given.items():
            if isinstance(value, Tensor) and value.is_floating_point():
                given[name] = value.float()  # half precision would hide small differences
        given[POSITIONS] = positions_BT
        bound = BoundArguments(self.call.signature, given)
        found = self.module(*bound.args, **bound.kwargs)
        self.reset()
        parts = found if isinstance(found, tuple) else (found,)
        return tuple(_bytes(part[..., 1, :]) for part in parts)


def _bytes(entry: Tensor) -> bytes:
    real = torch.view_as_real(entry) if entry.is_complex() else entry
    return real.float().cpu().numpy().tobytes()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Positions:
    """The position tables of one model that depend on length; of most models there are none.

    `counted` is the position from which attention itself scales by the place in a padded row
    instead of the text's own position (Llama4's temperature), None where it does not.
    """

    tables: tuple[_Table, ...] = ()
    counted: int | None = None
    _sides: dict[int, Hashable] = field(default_factory=dict)

    def side(self, length: int) -> Hashable:
        """Equal for two lengths if texts of both get the same tables when they run alone."""
        if not self.tables:
            return None
        if length not in self._sides:
            self._sides[length] = tuple(table.entry(length) for table in self.tables)
        return self._sides[length]

    def growing(self, length: int, *, most: int) -> Hashable:
        """As `side`, for texts that begin with `length` tokens and grow to `most` at most.

        Where a table or a scale may change on the way, they change at once only in texts of equal
        length.
        """
        if self.counted is not None and most > self.counted:
            return length
        side = self.side(length)
        return side if side == self.side(most) else length

    def reset(self) -> None:
        """Put the tables back as they were loaded."""
        for table in self.tables:
            table.reset()


@torch.inference_mode()
def find_positions(model: PreTrainedModel, *, context: int) -> Positions:
    """The tables of a model that has just been loaded and reads up to `context` tokens.

    Raises:
        ValueError: the model cannot be run as others are.
    """
    candidates = {
        module: _State.of(module)
        for module in model.modules()
        if POSITIONS in signature(module.forward).parameters and not [*module.parameters()]
    }
    calls: list[tuple[nn.Module, BoundArguments]] = []

    def note(module: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        bound = signature(module.forward).bind(*args, **kwargs)
        if isinstance(bound.arguments.get(POSITIONS), Tensor):
            calls.append((module, bound))

    ids_BT = probe_ids(model.get_input_embeddings().weight, tokens=PROBE_TOKENS)
    with ExitStack() as stack:
        for module in candidates:
            stack.enter_context(module.register_forward_pre_hook(note, with_kwargs=True))
        stack.enter_context(refusing(model))
        model(input_ids=ids_BT, use_cache=False)
    tables = [
        _Table(module=module, call=bound, state=candidates[module]) for module, bound in calls
    ]
    scales = [
        int(module.floor_scale)
        for module in model.modules()
        if getattr(module, "attn_temperature_tuning", False) and hasattr(module, "floor_scale")
    ]
    return Positions(
        tables=tuple(table for table in tables if table.entry(1) != table.entry(context)),
        counted=min(scales) if scales and min(scales) < context else None,
    )
