"""The embedded models in lm-evaluation-harness's own model class: the same answers as ours."""

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM

from actors.model import load
from actors.prediction.score import score
from studies import benchmarks
from studies.miniworld import LANGUAGES, MODELS, model_folder
from studies.models.facts import facts
from studies.rows import Source
from studies.spec import Model


@pytest.mark.parametrize("name", MODELS)
def test_the_harness_opens_an_embedded_model_and_answers_alike(name: str):
    """With the tokenizer that the harness itself finds in the folder."""
    items = [
        item
        for prompt in ("cloze", "letter")
        for language in LANGUAGES[::3]
        for item in benchmarks.load(
            "mini_belebele", language=language, source=Source(), prompt=prompt, limit=30
        ).items
    ]
    ours = [choice.prediction for choice in score(load(facts(Model(id=name))), items)]
    theirs = HFLM(pretrained=str(model_folder(name)), device="cpu", dtype="float32", batch_size=64)
    pairs = [(item.context, option) for item in items for option in item.options]
    asked = [
        Instance(request_type="loglikelihood", doc={}, arguments=pair, idx=0, metadata=("t", 0, 1))
        for pair in pairs
    ]
    found = iter(theirs.loglikelihood(asked, disable_tqdm=True))
    best = []
    for item in items:
        own = [next(found)[0] for _ in item.options]
        best.append(own.index(max(own)))
    assert sum(map(int.__eq__, ours, best)) >= 0.99 * len(items) > 200
    assert len(set(ours)) == 4
