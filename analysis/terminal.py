"""The main tables of a report as a terminal shows them: what the page has, as texts."""

from rich.table import Table

from analysis.layout.page import Main
from analysis.report import Report


def main_tables(report: Report) -> list[Table | str]:
    """The main table of every study of a report, or a sentence where it has none.

    What their reader should know of the runs, such as settings in which they differ, comes first.
    """
    shown: list[Table | str] = [f"note: {note}" for note in report.notes]
    for built in report.pages:
        shown += [f"note: {note}" for note in built.notes]
        if len(report.pages) > 1:
            shown.append(f"study {built.study}:")
        shown += [as_table(main) for main in built.page.main] or [built.page.no_main]
    return shown


def as_table(main: Main) -> Table:
    """A rich table of a study's main table."""
    table = Table(title=main.title, caption=main.caption)
    for name in main.frame.columns:
        table.add_column(name, justify="left" if name in main.texts else "right", overflow="fold")
    for row in main.frame.itertuples(index=False, name=None):
        table.add_row(*map(str, row))
    return table
