"""The same model with wider attention heads, for an engine whose kernels know no narrow ones.

Every head gets twice its width, half of it zeros. Rotary embeddings turn dimension i of width w by
theta^(-2i / w), so dimension i goes to place 2i of width 2w, and its partner i + w / 2 to 2i + w;
queries are made longer by sqrt(2), as scores are divided by the root of the width.
"""

import json
import shutil
from math import sqrt
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

# Shapes: O outputs of a projection, D width of the residual stream, W width of a head


def widen(folder: Path, *, out: Path) -> Path:
    """A Llama folder whose heads are twice as wide and whose function is the same."""
    shutil.copytree(folder, out)
    config = json.loads((out / "config.json").read_text())
    width = config["hidden_size"] // config["num_attention_heads"]
    config |= {"head_dim": 2 * width, "torch_dtype": "float32"}
    (out / "config.json").write_text(json.dumps(config))
    places_W = torch.cat([2 * torch.arange(width // 2), 2 * torch.arange(width // 2) + width])
    path = out / "model.safetensors"
    weights = {name: value.float() for name, value in load_file(path).items()}
    for name, value in weights.items():
        if "q_proj" in name:
            weights[name] = sqrt(2) * _outputs(value, width, places_W)
        elif "k_proj" in name or "v_proj" in name:
            weights[name] = _outputs(value, width, places_W)
        elif "o_proj" in name:
            weights[name] = _outputs(value.T, width, places_W).T.contiguous()
    save_file(weights, path, metadata={"format": "pt"})
    return out


def _outputs(weight_OD: Tensor, width: int, places_W: Tensor) -> Tensor:
    """A projection whose heads' outputs stand at these places of twice as many."""
    heads = weight_OD.shape[0] // width
    wide = torch.zeros(heads, 2 * width, weight_OD.shape[1])
    wide[:, places_W] = weight_OD.view(heads, width, -1)
    return wide.flatten(0, 1)
