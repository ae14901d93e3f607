"""Train the tokenizers and the three small models of the miniworld.

`python -m actors.training.miniworld --out DIR` writes complete Hugging Face folders, and
`--evaluate` prints how the shipped ones answer each benchmark. Everything follows from the seed:
the text stream, its order and the first weights. One process trains one model on one core, so two
models train side by side (`--model`); a run that was interrupted continues from its last state.
Nothing is tuned after training and no test world is ever read.
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from actors.training.miniworld.recipe import RECIPES
from actors.training.miniworld.skills import evaluate
from actors.training.miniworld.training import Training
from studies.miniworld import MODELS, model_folder
from studies.miniworld.worlds import SPLITS


def main() -> None:
    """Train the named models, or evaluate the shipped ones."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path)
    parser.add_argument("--seed", type=int, help="other than the recipe's own")
    parser.add_argument("--model", nargs="+", default=[recipe.name for recipe in RECIPES])
    parser.add_argument("--steps", type=int)
    parser.add_argument("--evaluate", action="store_true")
    parser.add_argument("--folders", type=Path, nargs="+")
    parser.add_argument("--split", choices=SPLITS, default="test")
    parser.add_argument("--questions", type=int, default=300)
    arguments = parser.parse_args()
    if arguments.evaluate:
        for folder in arguments.folders or [model_folder(name) for name in MODELS]:
            evaluate(folder, split=arguments.split, questions=arguments.questions)
        return
    if arguments.out is None:
        parser.error("training needs --out DIR, the folder the models are written to")
    torch.set_num_threads(1)
    for recipe in RECIPES:
        if recipe.name in arguments.model:
            given = {"steps": arguments.steps, "seed": arguments.seed}
            recipe = replace(
                recipe, **{name: value for name, value in given.items() if value is not None}
            )
            Training(recipe, folder=arguments.out / recipe.name).run()


if __name__ == "__main__":
    main()
