"""Check a model on loading: that it can be intervened on, and whether texts may share a row.

An intervention with coefficient 0 must change nothing, and any other must change something. A
longer check on real prompts is in speed/equalities.py.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from actors.errors import out_of_memory
from actors.intervention.intervene import Position, armed, gather
from actors.intervention.setting import Intervention
from actors.passes.observe import Watcher, observe
from actors.passes.positions import Positions
from actors.passes.tree_attention import Growth, Join, Segment, attention, pack
from actors.structure.probe import probe_ids
from actors.structure.sites import Sites

# Shapes: B rows, T tokens, D width

PROBE_TOKENS = 7

# Differences of states after the final norm, as shares of their middle size: what other batch
# shapes make at most, and what is too little to judge by. Then what a token changes by when one it
# does not see changes: nothing in a dense model, next to nothing in one of experts.
ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}
LITTLE = {torch.float32: 1e-3, torch.bfloat16: 0.03, torch.float16: 0.004}
UNSEEN = {torch.float32: 1e-4, torch.bfloat16: 2e-3, torch.float16: 5e-4}


@torch.inference_mode()
def prove_interventions(sites: Sites) -> None:
    """Change the residual stream by nothing, then by something, on a short random input.

    Raises:
        ValueError: coefficient 0 is not the plain run, or another changes nothing.
    """
    ids_BT = probe_ids(sites.embedding_weight, tokens=PROBE_TOKENS)
    layer = (len(sites.blocks) + 1) // 2
    plain_BTD = sites.base(input_ids=ids_BT, use_cache=False).last_hidden_state
    width = int(plain_BTD.shape[-1])
    for coefficient in (0.0, 1.0):
        vector_D = torch.linspace(-1, 1, width) * 10
        one = Intervention(
            site="resid_post",
            layer=layer,
            operation="add",
            vector=vector_D,
            coefficient=coefficient,
        )
        places = [Position(one, row, row, range(PROBE_TOKENS)) for row in range(len(ids_BT))]
        edits = gather(places, device=ids_BT.device)
        with armed(sites, edits, rows=len(ids_BT)):
            found_BTD = sites.base(input_ids=ids_BT, use_cache=False).last_hidden_state
        if torch.equal(found_BTD, plain_BTD) != (coefficient == 0):
            wrong = "changes the answer" if coefficient == 0 else "changes nothing"
            raise ValueError(
                f"an intervention at layer {layer} with coefficient {coefficient} {wrong}: this "
                "model does not pass its residual stream on as it should, so it cannot be steered"
            )


@torch.inference_mode()
def can_share(sites: Sites, positions: Positions | None = None) -> bool:
    """Whether a row with branches equals its texts run apart, on a short random input.

    False for models whose state is not attention alone (a recurrent layer or a convolution mixes
    the branches), or that count positions by themselves, as their `positions` may say already. A
    dtype that rounds much would hide both.
    So other words in the first branch must leave every token of the second as it is, and the
    second, which is not where its text would be, may differ only a little more than the first.
    Copies that join the row halfway must end as what they are copies of.
    """
    if positions is not None and positions.counted is not None:
        return False
    parts = probe_ids(sites.embedding_weight, tokens=PROBE_TOKENS * 4)[0].view(4, -1).tolist()
    trunk, first, second, other = (tuple(part) for part in parts)
    dtype, device = sites.embedding_weight.dtype, sites.embedding_weight.device
    try:
        first_TD, second_TD = _branches(sites, trunk, (first, second), device=device)
        _, again_TD = _branches(sites, trunk, (other, second), device=device)
        source_TD, copied_TD = _copies(sites, (*trunk, *first), device=device)
    except (RuntimeError, TypeError) as error:
        if out_of_memory(error):
            raise
        return False
    sizes_T = second_TD.abs().median(dim=1).values
    leak_T = (again_TD - second_TD).abs().median(dim=1).values / sizes_T
    errors = []
    for branch, own_TD in ((first, first_TD), (second, second_TD)):
        (apart_TD,) = _branches(sites, trunk, (branch,), device=device)
        errors.append(float((own_TD - apart_TD).abs().median() / apart_TD.abs().median()))
    in_place, moved = errors
    joined = float((copied_TD - source_TD).abs().median() / source_TD.abs().median())
    return (
        joined <= ROUNDING[dtype]
        and bool((leak_T <= UNSEEN[dtype]).all())
        and in_place <= ROUNDING[dtype]
        and moved <= max(LITTLE[dtype], 4 * in_place)
    )


def _branches(
    sites: Sites,
    trunk: tuple[int, ...],
    branches: Sequence[tuple[int, ...]],
    *,
    device: torch.device,
) -> list[Tensor]:
    """States [T, D] of every branch of one row after the final norm, in fp32."""
    row = (Segment(-1, trunk), *(Segment(len(trunk) - 1, branch) for branch in branches))
    packed = pack([row], device=device)
    with attention(sites, packed):
        output = sites.base(**packed.inputs, use_cache=False)
    state_TD: Tensor = output.last_hidden_state[0].float()
    return list(torch.split(state_TD, PROBE_TOKENS))[1:]


def _copies(sites: Sites, text: tuple[int, ...], *, device: torch.device) -> tuple[Tensor, Tensor]:
    """States [T, D] of a text's last tokens after the final norm, in fp32, and of copies of them
    that join its row halfway through the model and see each other instead."""
    packed = pack([(Segment(-1, text),)], device=device)
    count, half = len(text), PROBE_TOKENS
    nodes_BN = torch.arange(count - half, count, device=device).unsqueeze(0)
    packed_BT = torch.arange(count, device=device).unsqueeze(0)
    sees_BTS = torch.ones(1, count + half, count + half, dtype=torch.bool, device=device).tril()
    sees_BTS[:, count:, count - half : count] = False
    growth = Growth(
        joins={len(sites.blocks) // 2: Join(nodes_BN=nodes_BN, change=lambda _stream_BTD: None)},
        origins_BT=torch.cat([packed_BT, nodes_BN], dim=1),
        sees_BTS=sees_BTS,
        width=half,
    )
    found: list[Tensor] = []
    watcher = Watcher("final_norm", len(sites.blocks), found.append)
    with attention(sites, packed, growth):
        observe(sites, packed.inputs, [watcher])
    state_TD = found[0][0].float()
    return state_TD[count - half : count], state_TD[count:]
