"""Write the activations that another interpretability library reads from a Llama or Qwen2 folder.

    python reference.py {nnsight|transformer_lens} MODEL_FOLDER TOKENS.json OUT.safetensors ...

It runs in a process of its own, offline and in fp32, one sentence at a time without padding, and
imports nothing of ours: each library reads the values under its own names, and OUT holds them as
`{sentence}.{site}.{layer}`, [T, D] each. A site that a library has no name for is left out. Several
models take three arguments each.
"""

import argparse
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

# Shapes: T tokens, D width of a site

Values = dict[tuple[str, int], Tensor]  # site and layer -> [1, T, D]
Reader = Callable[[Tensor], Values]

# The hooks of one block, and those of the whole model, in TransformerLens. It names nothing
# between the gate and the product, so there is no mlp_act. `ln_final.hook_normalized` is before
# the norm's weight, so what leaves the norm is `hook_out`.
BLOCK_HOOKS = {
    "resid_post": "hook_resid_post",
    "attn_out": "hook_attn_out",
    "mlp_gate": "mlp.hook_pre",
    "mlp_hidden": "mlp.hook_post",
    "mlp_out": "hook_mlp_out",
}
MODEL_HOOKS = {"embed": "hook_embed", "final_norm": "ln_final.hook_out", "head": "unembed.hook_out"}


def nnsight(folder: str) -> Reader:
    """Read the modules of the transformers model through nnsight's tracing."""
    from nnsight import NNsight
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    traced, last = NNsight(model), model.config.num_hidden_layers

    def read(ids_1T: Tensor) -> Values:
        # A trace must ask for modules in the order in which they run.
        with traced.trace(input_ids=ids_1T, use_cache=False):
            values = {("embed", 0): traced.model.embed_tokens.output}.save()
            for layer, block in enumerate(traced.model.layers, start=1):
                values["attn_out", layer] = block.self_attn.output[0]
                values["mlp_gate", layer] = block.mlp.gate_proj.output
                values["mlp_act", layer] = block.mlp.act_fn.output
                values["mlp_hidden", layer] = block.mlp.down_proj.input
                values["mlp_out", layer] = block.mlp.output
                values["resid_post", layer] = block.output
            values["final_norm", last] = traced.model.norm.output
            values["head", last] = traced.lm_head.output
        return values

    return read


def transformer_lens(folder: str) -> Reader:
    """Read the hooks of a TransformerBridge, whose weights are the folder's as they are."""
    from transformer_lens.model_bridge import TransformerBridge

    bridge = TransformerBridge.boot_transformers(folder, device="cpu", dtype=torch.float32).eval()
    last = bridge.cfg.n_layers
    hooks = {
        f"blocks.{layer - 1}.{hook}": (site, layer)
        for layer in range(1, last + 1)
        for site, hook in BLOCK_HOOKS.items()
    }
    hooks |= {hook: (site, 0 if site == "embed" else last) for site, hook in MODEL_HOOKS.items()}

    def read(ids_1T: Tensor) -> Values:
        _, cache = bridge.run_with_cache(ids_1T)
        return {place: cache[hook] for hook, place in hooks.items()}

    return read


LIBRARIES: dict[str, Callable[[str], Reader]] = {
    "nnsight": nnsight,
    "transformer_lens": transformer_lens,
}


@torch.no_grad()
def main() -> None:
    """Read the command line, then every sentence."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("models", metavar="MODEL_FOLDER TOKENS.json OUT.safetensors", nargs="+")
    given = parser.parse_args()
    os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported
    torch.set_num_threads(1)
    arguments = iter(given.models)
    for folder, tokens, out in zip(arguments, arguments, arguments, strict=True):
        read = LIBRARIES[given.library](folder)
        tensors = {
            f"{sentence}.{site}.{layer}": value[0].float().clone().contiguous()
            for sentence, ids in enumerate(json.loads(Path(tokens).read_text()))
            for (site, layer), value in read(torch.tensor([ids])).items()
        }
        save_file(tensors, out)


if __name__ == "__main__":
    main()
