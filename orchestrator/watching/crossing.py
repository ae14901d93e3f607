"""Which measures of a checkpoint moved beyond a threshold, read by a process of its own.

What a threshold is and which numbers it is about says `analysis.trends`.
"""

import json
import sys
from collections.abc import Sequence

from orchestrator.signals import Wish
from orchestrator.watching.processes import ROOT, run
from studies.measures import MEASURES
from studies.values import quoted, unknown

COLUMNS = ("measure", "of", "conditions", "other", "before", "after", "change", "p_corrected")
SECONDS = 3600.0


def check(thresholds: Sequence[str]) -> None:
    """Refuse what is no threshold, and one of a measure that no study has.

    Raises:
        ValueError: one cannot be read, or can never be crossed.
    """
    from analysis import trends

    known = [*MEASURES, *trends.names()]
    lower = {one.lower() for one in known}
    for text in thresholds:
        measure = trends.threshold(text).measure
        if measure not in lower:
            raise ValueError(f"--cross {quoted(text)}: {unknown('measure', measure, known=known)}")


def crossed(
    where: str, *, model: str, revision: str, thresholds: Sequence[str], wish: Wish
) -> list[dict[str, object]]:
    """The changes of a checkpoint since the one before that are larger than a threshold allows.

    Each has `threshold`, the text of the one that it crossed, beside the columns of the change.

    Raises:
        ValueError: the rows cannot be read, or none of them have such a measure.
    """
    asked = json.dumps([where, model, revision, list(thresholds)])
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT)!r}); import orchestrator.entry; "
        f"from {__name__} import main; main()"
    )
    command = [sys.executable, "-P", "-c", code, asked]
    ended = run(command, wish=wish, seconds=SECONDS, keep_output=True)
    if ended.interrupted:
        return []
    if ended.status:
        raise ValueError(f"--cross: {ended.sentence}")
    found = json.loads(ended.output)
    assert isinstance(found, list)
    return found


def main() -> None:
    """Answer for `crossed`, as JSON."""
    from analysis import trends

    where, model, revision, thresholds = json.loads(sys.argv[1])
    try:
        found = trends.crossed(trends.changes([where], model=model, revision=revision), thresholds)
    except ValueError as error:
        sys.stderr.write(f"error: {error}\n")
        raise SystemExit(2) from error
    shown = found[[*COLUMNS, "threshold"]]
    print(shown.to_json(orient="records"))


if __name__ == "__main__":
    main()
