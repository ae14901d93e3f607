"""What `babelscope watch` takes beside the study's own flags.

None of it bears identity: which checkpoints are looked for, when, and what happens afterwards.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import translate
from typing import Literal
from urllib.parse import urlsplit

from orchestrator.options import Where
from orchestrator.watching.timing import When, cron_read, seconds_read, span
from studies.flags import flag
from studies.values import quoted, whole

PANEL = "Watching"
CHECKPOINTS = ("checkpoint-*", "step_*", "step-*", "iter_*")
ALL_BUT_MAIN = "all but main; main where there is no other"
# What may be deleted of checkpoints that are evaluated, and how many of them keep it by default.
KEPT: Mapping[str, int | None] = {
    "downloads": None, "artifacts": None, "adapters": None, "converted": 0,
}  # fmt: skip
PLACES = ("{checkpoint}", "{out}")


def pattern_read(texts: Sequence[str], name: str) -> str:
    """A pattern of names that are inside something."""
    text = texts[-1]
    if text.startswith(("/", "~")) or ".." in text.split("/"):
        raise ValueError(f"{name} {quoted(text)}: expected names inside the folder or model")
    return text


def texts_read(texts: Sequence[str], name: str) -> tuple[str, ...]:  # noqa: ARG001
    """Texts as they are, which may hold spaces and commas."""
    return tuple(texts)


def command_read(texts: Sequence[str], name: str) -> str:
    """A command that has a place for each of what it is given.

    Raises:
        ValueError: it lacks one.
    """
    lacking = [place for place in PLACES if place not in texts[-1]]
    if lacking:
        raise ValueError(
            f"{name} {quoted(texts[-1])} has no {lacking[0]}: expected a command such as 'python "
            "convert.py {checkpoint} {out}'"
        )
    return texts[-1]


def address_read(texts: Sequence[str], name: str) -> str:
    """A web address.

    Raises:
        ValueError: it is none. It may hold a secret, so it is not repeated.
    """
    try:
        found = urlsplit(texts[-1])
        sound = found.scheme in ("http", "https") and bool(found.hostname) and found.port != 0
    except ValueError:
        sound = False
    if not sound or re.search(r"\s", texts[-1]):
        raise ValueError(f"{name}: what is given is no web address: expected https://HOST/PATH")
    return texts[-1]


def keep_read(texts: Sequence[str], name: str) -> tuple[str, ...]:
    """Bounds such as `downloads=0,artifacts=2`, each once.

    Raises:
        ValueError: one cannot be read, or names what is never deleted.
    """
    parts = [part.strip() for text in texts for part in text.split(",")]
    seen: set[str] = set()
    for part in parts:
        what, equals, number = part.partition("=")
        if what not in KEPT or not equals:
            raise ValueError(
                f"{name} {quoted(part)}: expected NAME=NUMBER with one of {', '.join(KEPT)}; rows "
                "are never deleted"
            )
        whole(number, f"{name} {what}", least=0)
        if what in seen:
            raise ValueError(f"{name} {what} is given twice: give it once")
        seen.add(what)
    return tuple(parts)


@dataclass(frozen=True, kw_only=True)
class Watching(Where):
    """What `watch` takes beside the study's own flags."""

    every: str | None = flag(
        "Look this often, such as --every 6h (s, m, h, d).", panel=PANEL, read=seconds_read
    )
    cron: str | None = flag(
        "Look at the times of a line of cron, in local time, such as --cron '0 */6 * * *'.",
        panel=PANEL,
        read=cron_read,
    )
    once: bool = flag("Look once, evaluate what is there, and end.", panel=PANEL, default=False)
    checkpoints: str | None = flag(
        "Sub-folders of a --model folder that are checkpoints, such as --checkpoints 'epoch_*'.",
        panel=PANEL,
        shown=", ".join(CHECKPOINTS),
        read=pattern_read,
    )
    revisions: str | None = flag(
        "Branches and tags of a --model on the hub, such as --revisions 'step*'.",
        panel=PANEL,
        shown=ALL_BUT_MAIN,
        read=pattern_read,
    )
    models_from: str | None = flag(
        "A file of models and folders, one a line, read again at every look, such as "
        "--models-from models.txt.",
        panel=PANEL,
    )
    order: Literal["newest", "oldest"] = flag(
        "Which of several checkpoints comes first.", panel=PANEL, default="newest"
    )
    nth: int | None = flag(
        "Evaluate only steps that are a multiple of this, such as --nth 1000; what has no step "
        "is evaluated.",
        panel=PANEL,
        least=1,
    )
    until: int | None = flag(
        "Evaluate no step beyond this, and end once it is there and evaluated, such as --until "
        "50000.",
        panel=PANEL,
    )
    marker: str | None = flag(
        "A checkpoint is complete once it holds this file, such as --marker babelscope.ready.",
        panel=PANEL,
        read=pattern_read,
    )
    convert: str | None = flag(
        "Run first on each checkpoint, such as --convert 'python to_hf.py {checkpoint} {out}': "
        "what it writes in {out} is evaluated.",
        panel=PANEL,
        read=command_read,
    )
    on_done: str | None = flag(
        "Command after a checkpoint is evaluated, such as --on-done 'mail -s done me@host'.",
        panel=PANEL,
    )
    on_fail: str | None = flag(
        "Command after one failed or was rewritten, such as --on-fail ./tell.sh.", panel=PANEL
    )
    on_cross: str | None = flag(
        "Command after a measure moved beyond --cross, such as --on-cross ./tell.sh.", panel=PANEL
    )
    cross: tuple[str, ...] = flag(
        "Since the last checkpoint, such as --cross 'nasca -0.05' (fell by more) or --cross "
        "'accuracy/belebele +0.02'. Repeatable.",
        panel=PANEL,
        default=(),
        read=texts_read,
    )
    webhook: str | None = flag(
        "Address that is sent a JSON object on done, fail, rewrite and cross, such as --webhook "
        "https://host/path.",
        panel=PANEL,
        read=address_read,
    )
    retries: int = flag(
        "How often a checkpoint that fails is tried again, each time after a longer wait.",
        panel=PANEL,
        default=3,
    )
    keep: tuple[str, ...] = flag(
        f"How many evaluated checkpoints keep what may be deleted ({', '.join(KEPT)}), such as "
        "--keep downloads=0,artifacts=2. Never rows.",
        panel=PANEL,
        default=(),
        shown="all of it, but converted=0",
        read=keep_read,
    )
    listed: str | None = flag(
        "Show what was seen in a store and what became of it, such as --list runs/curve.",
        "--list",
        panel=PANEL,
    )
    json: bool = flag("With --list: one JSON object (docs/scripts.md).", panel=PANEL, default=False)
    dry_run: bool = flag("Look, say what would be evaluated, and stop.", panel=PANEL, default=False)
    report: bool = flag(
        "Write the report when what is there is evaluated.", panel=PANEL, default=True
    )

    def __post_init__(self) -> None:
        """Refuse flags that contradict each other or have no effect."""
        super().__post_init__()
        if self.listed is not None:
            return
        if self.json:
            raise ValueError("--json belongs to --list STORE: leave it out, or add --list")
        given = [f"--{name}" for name in ("every", "cron", "once") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} both say when to look: give one of them")
        if not given and not self.dry_run:
            raise ValueError(
                "watch must know when to look: add --every 6h, --cron '0 */6 * * *' or --once"
            )
        heard = self.on_cross is not None or self.webhook is not None
        if self.cross and not heard:
            raise ValueError("--cross tells nobody: add --on-cross COMMAND or --webhook ADDRESS")
        if self.on_cross is not None and not self.cross:
            raise ValueError("--on-cross waits for nothing: add --cross, such as 'nasca -0.05'")
        if self.skip_bad_models:
            raise ValueError(
                "--skip-bad-models: a watch goes on with the others anyway: leave it out"
            )

    @property
    def when(self) -> When:
        """When to look."""
        if self.once or self.dry_run:
            return When()
        return When(
            every=None if self.every is None else span(self.every, "--every"), cron=self.cron
        )

    def passes_over(self, step: int | None) -> str:
        """Why a whole checkpoint of a step is not evaluated, empty where it is."""
        if step is not None and self.until is not None and step > self.until:
            return f"beyond --until {self.until}"
        if step is not None and self.nth is not None and step % self.nth:
            return f"--nth {self.nth} passes it over"
        return ""

    @property
    def kept(self) -> dict[str, int | None]:
        """How many evaluated checkpoints keep each kind of files; None for all of them."""
        pairs = (part.partition("=") for part in self.keep)
        return {**KEPT, **{what: int(number) for what, _, number in pairs}}


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a name is one of those that patterns mean; case counts everywhere."""
    return any(re.fullmatch(translate(pattern), name) for pattern in patterns)


def is_pattern(text: str) -> bool:
    """Whether a text means several names."""
    return any(one in text for one in "*?[")
