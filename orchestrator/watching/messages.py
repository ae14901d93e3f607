"""Tell others what became of a checkpoint: commands and the webhook, at least once each.

A message that is due stands in `watch.json` until it was tried, so that a kill in between repeats
it rather than loses it.
"""

from collections.abc import Callable

from orchestrator.signals import Wish
from orchestrator.storage.store import Store
from orchestrator.watching import notify
from orchestrator.watching.crossing import crossed
from orchestrator.watching.options import Watching
from orchestrator.watching.processes import run
from orchestrator.watching.state import Record, Watched
from orchestrator.watching.told import Tell

WORDS = {"done": "is evaluated", "fail": "failed", "rewrite": "has other weights"}


class Messages:
    """Whoever wants to hear of checkpoints."""

    def __init__(
        self,
        asked: Watching,
        watched: Watched,
        *,
        store: Store,
        wish: Wish,
        tell: Tell,
        save: Callable[[], None],
    ) -> None:
        """Name them; what cannot be told to them is said here and counted in `watched`."""
        self._asked, self._watched, self._store = asked, watched, store
        self._wish, self._tell, self._save = wish, tell, save
        # One that was rewritten is evaluated no more, as one that failed.
        failing = ("--on-fail", asked.on_fail)
        self._commands = {
            "done": ("--on-done", asked.on_done), "fail": failing, "rewrite": failing,
            "cross": ("--on-cross", asked.on_cross),
        }  # fmt: skip

    def catch_up(self) -> None:
        """Tell what a look brought, or what a watch that was killed did not come to tell."""
        for record in list(self._watched.records.values()):
            if record.told:
                self.send(record)

    def send(self, record: Record) -> None:
        """Tell what a record has yet to tell."""
        event = record.told
        if not event or self._wish.asked:
            return
        why = record.reason if event == "rewrite" else record.error
        facts: dict[str, object] = {
            "event": event,
            "checkpoint": record.name,
            "step": record.step,
            "state": record.state,
            "error": why,
            "attempts": record.attempts,
            "store": self._store.address,
            "date": record.date,
        }
        text = f"{record.name} {WORDS[event]}"
        self._one(event, f"{text}: {why}" if why else text, facts)
        if event == "done" and self._asked.cross and record.model:
            self._crossed(record, facts)
        self._watched.change(record.name, told="")
        self._save()

    def _crossed(self, record: Record, facts: dict[str, object]) -> None:
        """Tell which measures moved further than they may."""
        try:
            moved = crossed(
                self._store.files.where,
                model=record.model,
                revision=record.revision,
                thresholds=self._asked.cross,
                wish=self._wish,
            )
        except ValueError as error:
            self._tell(str(error))
            return
        for one in moved:
            place = f"{one['measure']} on {one['of']}" if one["of"] else str(one["measure"])
            # One measure may move under several: poolings, prompts, layers.
            place += f" ({one['conditions']})" if one["conditions"] else ""
            text = (
                f"{record.name}: {place} went from {one['before']:.4g} to {one['after']:.4g} since "
                f"{one['other']} (--cross '{one['threshold']}')"
            )
            self._tell(text)
            self._one("cross", text, {**facts, "event": "cross", **one})

    def _one(self, event: str, text: str, facts: dict[str, object]) -> None:
        """Tell one thing to the command for it and to the webhook."""
        flag, command = self._commands[event]
        if command is not None:
            ended = run(
                [*notify.SHELL, command],
                wish=self._wish,
                environment=notify.environment(facts),
                seconds=notify.COMMAND_SECONDS,
            )
            if ended.late:
                self._tell(f"{flag} took more than {notify.COMMAND_SECONDS:.0f} s: ended")
            elif ended.status and not ended.interrupted:
                self._tell(f"{flag} failed: {ended.sentence}")
        if self._asked.webhook is not None:
            webhook = self._watched.webhook
            try:
                notify.post(self._asked.webhook, text=text, facts=facts)
                webhook.sent += 1
            except ValueError as error:
                webhook.failed += 1
                webhook.error = str(error)
                self._tell(f"{error}; {webhook.failed:,} so far")
