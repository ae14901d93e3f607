"""Sweep interventions over prompts without recomputing what they cannot change.

The caller states questions and settings; where a setting acts decides how it runs. One that acts on
the last prompt token alone leaves all earlier tokens as they are, so it is a branch of the prompt's
row (`last_token.py`). Any other leaves everything up to its first layer as it is, so it resumes
there (`resume.py`). A setting that changes nothing is the plain pass, which both routes make once.
"""

from collections.abc import Sequence

from actors.intervention.setting import Setting, check
from actors.model import LoadedModel
from actors.prediction.predict import Question, take_apart
from actors.prediction.score import Choice, ask, choose
from actors.sweeping.last_token import sweep_last_token
from actors.sweeping.resume import Grid, Swept, resume
from studies.texts import ChoiceItem, Normalise


def sweep(loaded: LoadedModel, questions: Sequence[Question], settings: Sequence[Setting]) -> Swept:
    """Log-probabilities of every option's tokens, for every setting and question.

    Args:
        loaded: the model.
        questions: prompts and the options that may continue them, as `score.ask` makes them.
        settings: what to change; a vector per prompt has one row per question.

    Raises:
        ValueError: a setting cannot act on these questions.
    """
    lengths = [len(question.prompt) for question in questions]
    if not all(lengths):
        empty = lengths.index(0)
        raise ValueError(f"question {empty} has no prompt token: an intervention needs one")
    for intervention in dict.fromkeys(one for setting in settings for one in setting):
        check(loaded.sites, intervention, lengths=lengths)
    _check_generated(questions, settings)
    apart = take_apart(loaded, questions)
    if apart is None:
        return _sweep(loaded, questions, settings)
    own = [tuple(one.of_prompts(apart.owners) for one in setting) for setting in settings]
    swept = _sweep(loaded, apart.questions, own)
    return [apart.join(answers, questions=len(questions)) for answers in swept]


def _check_generated(questions: Sequence[Question], settings: Sequence[Setting]) -> None:
    """An option's last token is only predicted: of options of one token, none is run."""
    lengths = [len(option) for question in questions for option in question.options]
    named = {one.where for setting in settings for one in setting if not one.idle}
    if "generated" in named and lengths and max(lengths) < 2:
        raise ValueError(
            "an intervention at 'generated' tokens changes nothing here: no option has more than "
            "one token, and the last is only predicted; use 'last', 'prompt' or 'all'"
        )


def _sweep(
    loaded: LoadedModel, questions: Sequence[Question], settings: Sequence[Setting]
) -> Swept:
    """Run each setting by the route that it allows."""
    found: Swept = [[[] for _ in questions] for _ in settings]
    if not questions:
        return found
    # What is idle must not make a setting begin earlier, or at more tokens, than it does.
    acting = [tuple(one for one in setting if not one.idle) for setting in settings]
    idle = [place for place, setting in enumerate(acting) if not setting]
    active = {place: setting for place, setting in enumerate(acting) if setting}
    forked = {
        place: setting
        for place, setting in active.items()
        if loaded.shares and all(one.where == "last" for one in setting)
    }
    resumed = {place: setting for place, setting in active.items() if place not in forked}
    if forked:
        sweep_last_token(Grid(loaded, questions, forked, idle, found))
    if resumed or (idle and not forked):
        resume(Grid(loaded, questions, resumed, () if forked else idle, found))
    return found


def sweep_choices(
    loaded: LoadedModel,
    items: Sequence[ChoiceItem],
    settings: Sequence[Setting],
    *,
    normalise: Normalise = "sum",
    allow_truncation: bool = False,
) -> list[list[Choice]]:
    """The ranking of every item's options under every setting: [setting][item].

    Raises:
        ValueError: as `sweep` and `score.ask` do.
    """
    asked = ask(loaded, items, allow_truncation=allow_truncation)
    found = sweep(loaded, [entry.question for entry in asked], settings)
    return [
        [
            choose(item, logs, normalise=normalise, truncated=entry.truncated)
            for item, entry, logs in zip(items, asked, own, strict=True)
        ]
        for own in found
    ]
