"""What the page's script does, in a real browser where one is installed."""

import io
from pathlib import Path

import pandas as pd
import pytest

from analysis import report
from tests.analysis.test_rows_of_lines import runs_of
from tests.makers import browser
from tests.makers.analysis_rows import alignment_rows, follow, item_rows, planted, write_run
from tests.makers.html_page import Page

CROSS = "[...document.querySelectorAll('.table')].find((one) => one.textContent.includes('AVG'))"
LANGUAGES = "[...document.querySelectorAll('.table')].find((one) => one.querySelector('.rest'))"
TOOLS = """
const tool = (within, name) =>
  [...within.querySelectorAll('.tools button')].find((one) => one.textContent === name);
const press = (name) => tool(box, name).click();
const rest = () => new Promise((resolve) => setTimeout(resolve, 20));
"""
HEAD = f"""{TOOLS}
const heads = [...box.querySelectorAll('thead th')];
const column = (name) => heads.findIndex((head) => head.textContent === name);
const shown = (place) => [...box.querySelectorAll('tbody tr')].filter((row) => !row.hidden)
  .map((row) => row.cells[place].firstChild.data);
"""


@pytest.fixture(scope="module")
def html(tmp_path_factory: pytest.TempPathFactory) -> Path:
    browser.chromium()
    folder = tmp_path_factory.mktemp("page")
    return report.write(report.build(runs_of(folder)), out=folder / "out").html


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page whose table of languages is longer than its first rows."""
    browser.chromium()
    folder = tmp_path_factory.mktemp("long")
    codes = tuple(f"l{number:02d}_Latn" for number in range(60))
    score = planted(4, languages=codes)
    accuracy = follow(score, slope=0.5, start=0.25, noise=0.05, seed=4)
    run = write_run(
        folder / "run", alignment=alignment_rows("m", scores=score, measures=("nasca",)),
        items=item_rows("m", accuracies=accuracy, n=40),
        record={"study": "neuronxa", "settings": {}},
    )  # fmt: skip
    return report.write(report.build([run]), out=folder / "out").html


def test_a_column_sorts_by_its_numbers_and_back(long: Path, tmp_path: Path) -> None:
    found = browser.run(
        long,
        f"""const box = {LANGUAGES}; {HEAD}
        const place = column('NASCA weighted');
        heads[place].querySelector('button').click();
        const up = shown(place), said = heads[place].getAttribute('aria-sort');
        heads[place].querySelector('button').click();
        return [up, shown(place), said, heads[place].getAttribute('aria-sort')];""",
        folder=tmp_path,
    )  # fmt: skip
    up, down, *said = found
    (english,) = (place for place, text in enumerate(up) if text == "–")
    assert english == len(up) - 1 == down.index("–"), "what is missing stays last"
    assert up[:-1] == sorted(up[:-1], key=float) and len(set(up)) > 20
    assert down[:-1] == sorted(up[:-1], key=float, reverse=True)
    assert said == ["ascending", "descending"]


def test_a_long_table_shows_all_rows_when_they_are_asked_for(long: Path, tmp_path: Path) -> None:
    found = browser.run(
        long,
        f"""const box = {LANGUAGES}; {HEAD}
        const before = shown(0).length, button = [...box.querySelectorAll('.tools button')].at(-1);
        const said = button.textContent;
        button.click();
        const codes = shown(0);
        return [before, said, codes.length, new Set(codes).size, button.isConnected,
          box.querySelectorAll('tbody td.rows button').length];""",
        folder=tmp_path,
    )
    assert found == [40, "show all 61 rows", 61, 61, False, 61]


def test_a_filter_looks_at_all_rows_and_copies_what_it_leaves(long: Path, tmp_path: Path) -> None:
    found = browser.run(
        long,
        f"""const box = {LANGUAGES}; {HEAD}
        const input = box.querySelector('input');
        input.value = 'L5 latn'; input.dispatchEvent(new Event('input'));
        const left = shown(0), counted = box.querySelector('[aria-live]').textContent;
        press('TSV'); await rest(); press('CSV'); await rest();
        return [left, counted, ...copied];""",
        folder=tmp_path,
    )
    left, counted, tsv, csv = found
    assert left == [f"l5{number}_Latn" for number in range(10)] and counted == "10 of 61 rows"
    frames = [pd.read_csv(io.StringIO(tsv), sep="\t"), pd.read_csv(io.StringIO(csv))]
    full = pd.read_csv(long.parent / "tables" / "languages-m.csv").set_index("language").loc[left]
    for frame in frames:
        assert frame["language"].tolist() == left
        assert frame["NASCA weighted"].to_numpy() == pytest.approx(
            full["NASCA weighted"].to_numpy(), rel=1e-8
        )
        assert frame["belebele accuracy, second line"].str.startswith("[").all()


def test_the_page_copies_the_table_that_lies_beside_it_as_latex(html: Path, tmp_path: Path) -> None:
    (copied,) = browser.run(
        html, f"const box = {CROSS}; {HEAD} press('LaTeX'); await rest(); return copied;",
        folder=tmp_path,
    )  # fmt: skip
    assert copied == (html.parent / "tables" / "cross_model.tex").read_text(encoding="utf-8")


def test_the_rows_button_of_every_line_copies_the_code_of_that_line(
    html: Path, tmp_path: Path
) -> None:
    found = browser.run(
        html,
        """const said = [];
        for (const box of document.querySelectorAll('.table')) {
          const buttons = [...box.querySelectorAll('td.rows button')];
          for (const one of buttons) { one.click(); await 0; await 0; }
          const caption = box.querySelector('[role=region]').getAttribute('aria-label');
          said.push([caption, copied.splice(0)]);
        }
        return said;""",
        folder=tmp_path,
    )
    page, expected = Page(html), []
    for table in page.tables:
        lines = range(len(table.rows) if table.read else 0)
        codes = ["\n".join(page.code(table, row).values()) for row in lines]
        expected.append([table.caption, codes])
    # Numbers behind figures are tables only when they are asked for.
    shown = [entry for entry in expected if entry in found]
    assert len(shown) == len(found) > 5 and sum(len(codes) for _, codes in found) > 50


def test_a_figure_is_enlarged_and_comes_back_and_shows_its_numbers(
    html: Path, tmp_path: Path
) -> None:
    found = browser.run(
        html,
        """const box = [...document.querySelectorAll('figure')]
          .find((one) => one.querySelector('.numbers'));
        const dialog = document.querySelector('dialog'), drawing = box.querySelector('svg');
        """
        + TOOLS
        + """
        press('enlarge');
        const within = [dialog.open, dialog.contains(drawing)];
        dialog.close();
        await new Promise((resolve) => setTimeout(resolve, 50));
        const back = [dialog.open, box.contains(drawing)];
        press('numbers');
        const rows = dialog.querySelectorAll('tbody tr').length;
        const heads = [...dialog.querySelectorAll('th button')].map((one) => one.textContent);
        const links = [...box.querySelectorAll('figcaption a')]
          .map((one) => one.getAttribute('href'));
        return [within, back, rows, heads, links, box.id];""",
        folder=tmp_path,
    )
    within, back, rows, heads, links, name = found
    assert within == [True, True] and back == [False, True]
    numbers = pd.read_csv(html.parent / links[2])
    assert rows == min(len(numbers), 40) and {"language", "score", "accuracy"} <= set(heads)
    assert [link.rpartition(".")[2] for link in links] == ["svg", "png", "csv"]
    assert all((html.parent / link).exists() for link in links) and name.startswith("figure-")


def test_the_contents_open_what_they_lead_to_and_paper_has_no_folds(
    html: Path, tmp_path: Path
) -> None:
    found = browser.run(
        html,
        """const folds = [...document.querySelectorAll('details.section')];
        const closed = folds.every((one) => !one.open);
        document.querySelector('.contents a[href="#methods"]').click();
        await new Promise((resolve) => setTimeout(resolve, 50));
        const open = folds.filter((one) => one.open).map((one) => one.id);
        dispatchEvent(new Event('beforeprint'));
        const printed = folds.every((one) => one.open);
        dispatchEvent(new Event('afterprint'));
        return [closed, open, printed, folds.filter((one) => one.open).map((one) => one.id)];""",
        folder=tmp_path,
    )
    assert found == [True, ["methods"], True, ["methods"]]


@pytest.mark.parametrize("width", [390, 1400])
@pytest.mark.parametrize("dark", [False, True])
def test_nothing_is_wider_than_the_screen(
    html: Path, tmp_path: Path, width: int, dark: bool
) -> None:
    inner = html.read_text(encoding="utf-8").replace("&", "&amp;").replace('"', "&quot;")
    outer = tmp_path / "outer.html"
    frame = f'<iframe width="{width}" height="900" srcdoc="{inner}"></iframe>'
    outer.write_text(f"<!DOCTYPE html><body>{frame}</body>", encoding="utf-8")
    found = browser.run(
        outer,
        """const frame = document.querySelector('iframe');
        await new Promise((resolve) => setTimeout(resolve, 500));
        const page = frame.contentDocument;
        page.querySelectorAll('details').forEach((one) => { one.open = true; });
        const style = frame.contentWindow.getComputedStyle(page.body);
        return [page.documentElement.scrollWidth, page.documentElement.clientWidth,
          page.querySelector('.contents details').offsetWidth, style.backgroundColor];""",
        folder=tmp_path, dark=dark,
    )  # fmt: skip
    wide, room, contents, ground = found
    assert wide <= room, "the page itself does not scroll sideways"
    assert (contents > room / 2) == (width == 390), "contents stand beside the page, or above it"
    assert (ground == "rgb(255, 255, 255)") == (not dark)
