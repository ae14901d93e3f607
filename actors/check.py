"""Check a model on loading: that it can be intervened on, and whether texts may share a row.

An intervention with coefficient 0 must change nothing, and any other must change something. What a
longer check on real prompts compares is in `equalities.py`.
"""

import torch
from torch import Tensor

from actors.branches import Segment, attention, pack
from actors.intervene import Intervention, Place, armed, gather
from actors.probe import probe_ids
from actors.sites import Sites

# Shapes: B rows, T tokens, D width

PROBE_TOKENS = 7

# Largest difference of states after the final norm, as a share of their middle size, that different
# batch shapes may make.
ROUNDING = {torch.float32: 1e-3, torch.bfloat16: 0.25, torch.float16: 0.05}


@torch.inference_mode()
def prove_interventions(sites: Sites) -> None:
    """Change the residual stream by nothing, then by something, on a short random input.

    Raises:
        ValueError: coefficient 0 is not the plain run, or another changes nothing.
    """
    ids_BT = probe_ids(sites, tokens=PROBE_TOKENS)
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
        places = [Place(one, row, row, range(PROBE_TOKENS)) for row in range(len(ids_BT))]
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
def can_share(sites: Sites) -> bool:
    """Whether a row with branches equals its texts run apart, on a short random input.

    False for models whose state is not attention alone (a recurrent layer mixes the branches).
    """
    parts = probe_ids(sites, tokens=PROBE_TOKENS * 3)[0].view(3, -1).tolist()
    trunk, *branches = (tuple(part) for part in parts)
    row = (Segment(-1, trunk), *(Segment(len(trunk) - 1, branch) for branch in branches))
    weight = sites.embedding.weight
    assert isinstance(weight, Tensor)
    try:
        shared_TD = _states(sites, row, device=weight.device)
    except (RuntimeError, TypeError):
        return False
    for place, branch in enumerate(branches, start=1):
        apart_TD = _states(sites, (Segment(-1, (*trunk, *branch)),), device=weight.device)[
            len(trunk) :
        ]
        own_TD = shared_TD[place * PROBE_TOKENS : (place + 1) * PROBE_TOKENS]
        error = (own_TD - apart_TD).abs().median() / apart_TD.abs().median()
        if not error <= ROUNDING[weight.dtype]:
            return False
    return True


def _states(sites: Sites, row: tuple[Segment, ...], *, device: torch.device) -> Tensor:
    """States [T, D] of one row after the final norm, in fp32."""
    packed = pack([row], device=device)
    with attention(sites, packed):
        output = sites.base(**packed.inputs, use_cache=False)
    state_TD: Tensor = output.last_hidden_state[0].float()
    return state_TD
