"""What is printed while a run goes on."""

from rich.console import Console

from orchestrator.showing.snapshot import Progress
from orchestrator.showing.viewers import PlainViewer


def test_a_note_is_printed_without_the_secrets_of_its_addresses():
    progress = Progress(
        study="s", totals={}, missing={}, failed_before={}, work={}, units=0, started=0.0
    )
    progress.note("read from https://me:hunter2@example.org/m?token=abcdefgh [as it is]")
    console = Console(record=True, width=200)
    PlainViewer(console=console).show(progress.snapshot(now=1.0))
    shown = console.export_text()
    assert "hunter2" not in shown and "abcdefgh" not in shown
    assert "note: read from https://" in shown and "[as it is]" in shown
