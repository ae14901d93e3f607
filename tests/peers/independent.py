"""Compute what a finished run stores and reports a second time, by other means, and compare.

    python independent.py --data DATA_ROOT RUN [RUN ...]

A process of its own that imports nothing of the project: transformers, tokenizers, numpy, scipy and
the formulas of the papers, one text a forward pass (plain.py). It prints a line for every kind of
number that could be wrong without a word: what was compared, how many values, how many differ, how
many were left undecided since two right answers differ there (a tie within rounding), the largest
difference. Exit status 1 if any differ, 2 if a run holds nothing that it knows.

| kind | stored or reported | compared with |
|---|---|---|
| weights | the folders in run.json | what transformers loads of them, bit by bit |
| tokens | tokens of texts in alignment and lens | lengths by tokenizer.json itself |
| alignment | NASCA, NAVCA, MEXA, both directions | hooks on MLPs and blocks, strict maxima |
| similarity | CKA, SVCCA, ANC, cosines | formulas in numpy; canonical correlations by QR |
| chance | p_null, p_chance, p_above_chance | scipy's binomial |
| options | items: scores, ranks, mass, prediction, correct | one pass of prompt and option |
| batches | items: scores | the same texts padded on the left, in batches of another make-up |
| lens | lens: native_logp, pivot_logp (latent) | a block's output through norm, head and cap |
| vectors | the artifact; vectors: norm, resid_norm | difference of means, unanswered questions |
| steering | items of `steer` | a hook that adds that difference at the prompt's last token |
| texts | generations: output, tokens, stopped | a greedy loop without a cache |
| neurons | neurons | hooks on gate, up and down projections, text by text |
| categories | categories and their artifact | means above zero by language; runs above the median |
| intmu | the artifact of categories: neurons and values | LAPE in numpy; percentiles of texts |
| tuning | tuning: value, macro_f1, top_share | items not answered elsewhere, hooks as below |
| scaled | items of `clas`, `mixed`, `uniform`, `intmu_*` | hooks that multiply or put neurons |
| scaled_texts | generations of the same but `mixed` | a greedy loop without a cache, such hooks |
| scaled_states | scaled_states | cosines of means over tokens, under such hooks |
| scaled_points | scaled_points: silhouette, distance | formulas in numpy of the same means |
| option_alignment | option_alignment | strict margins in numpy of states of single texts |
| patching | patches | a hook that puts another pass's state in at the question's last token |
| directions | directions | cosines in numpy of differences of two single passes' states |
| steered_options | steered_options | such margins, a hook that adds a mean of differences |
| answers | generations: exact, f1, answer | SQuAD's rules; equality with a text's only number |
| consistency | pairs.csv | Spearman's rho of all ranks, shares of items (arXiv 2505.13141) |
| means | CSV: accuracies, scores, texts, steering | means of the Parquet rows |
| intervals | CSV: low and high of shares | scipy's Wilson interval |
| correlations | correlations.csv | scipy's Pearson and Spearman of the Parquet rows |

Not compared: the control `latent_shuffled`, the controls of steering, rescaling's control `random`
and shares of the categories' part `mixed` (drawn by the run's own generator; the neurons that
`mixed` rescales are taken from its artifact), places in pictures, chat templates, sampled texts,
texts that were cut, dtypes below fp32. Prompts are known of belebele, xstorycloze, xquad, xnli
(`digit`) and mgsm. What option_alignment and patching draw, and the halves that steering vectors of
`directions` and `steered_options` are made of, follow from the SHA-256 of an item's id and a seed
(random states: torch's generator, seeded with it), so that they are drawn again.
"""

import argparse
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # Python leaves it out under PYTHONSAFEPATH
os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported

import from_alignment  # noqa: F401 - registers its kinds, as the next ones do
import from_directions  # noqa: F401
import from_intmu  # noqa: F401
import from_models  # noqa: F401
import from_neurons  # noqa: F401
import from_option_alignment  # noqa: F401
import from_patching  # noqa: F401
import from_rows  # noqa: F401
import from_scaled  # noqa: F401
import from_scaled_states  # noqa: F401
import from_steered_options  # noqa: F401
import torch
from compared import KINDS, Run, compare


def main() -> None:
    """Compare every kind in every run, and print a line for each kind."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", metavar="RUN", type=Path, nargs="+")
    parser.add_argument("--data", metavar="DATA_ROOT", type=Path, required=True)
    parser.add_argument("--kind", choices=KINDS, action="append", help="only this one; repeat it")
    given = parser.parse_args()
    torch.set_num_threads(1)
    runs = [Run(folder, given.data) for folder in given.runs]
    found = [compare(runs, name) for name in given.kind or KINDS]
    for compared in found:
        print(compared.line())
    if not any(compared.values for compared in found):
        raise SystemExit(2)
    raise SystemExit(any(compared.differ for compared in found))


if __name__ == "__main__":
    main()
