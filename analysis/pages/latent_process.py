"""The page of the latent-process study: where inside a model do languages part, and does it cost?

The one idea: every table and figure of the paper is an exhibit, filled from tidy rows or saying in
one sentence what would fill it. It does not know how a run was planned. Source: "Language-specific
latent process hinders cross-lingual performance" (arXiv 2505.13141).
"""

from analysis.page import Exhibit, Page, Section, Text, shown
from analysis.pages import (
    latent_checks,
    latent_figures,
    latent_table,
    latent_words,
    states,
    steering_figures,
    transfer_tables,
)
from analysis.pages.latent_material import material
from analysis.pages.neuronxa import index
from analysis.read import Rows

TITLE = "Latent process: where do languages part inside a model, and what does it cost?"


def build(rows: Rows) -> Page:
    """All tables and figures of the paper, and what they rest on."""
    found = material(rows)
    output = transfer_tables.exhibits(found)
    latent = [*latent_figures.exhibits(found), *latent_table.exhibits(found)]
    inside = states.exhibits(found)
    steering = steering_figures.exhibits(found)
    controls = [latent_checks.shuffled(found), *(one for one in steering if _is_control(one))]
    steering = [one for one in steering if not _is_control(one)]
    prompts = latent_checks.prompts(found)
    everything = [*output, *latent, *inside, *steering, prompts, *controls]
    of_paper = [exhibit for exhibit in everything if not _is_control(exhibit)]
    sections = (
        Section(title="What of the paper is here", parts=(index(of_paper),)),
        shown("Output: accuracy, consistency, transfer", output),
        shown("Latent: the answer's text at every layer", latent),
        shown("States: the same questions in every language", inside),
        shown("Steering toward the pivot", steering),
        shown("Controls", controls),
        shown("How it was asked", [prompts]),
        Section(title="Material and checks", parts=latent_checks.parts(found)),
        Section(title="What the numbers mean", parts=(Text(lines=latent_words.METHODS),)),
    )
    kept = {"by_language": found.by_language, "overall": found.overall, "pairs": found.pairs}
    files = {name: frame for exhibit in everything for name, frame in exhibit.files.items()}
    return Page(
        title=TITLE,
        summary=latent_words.summary(found),
        warnings=latent_words.warnings(found),
        sections=tuple(section for section in sections if section.parts),
        files={name: frame for name, frame in kept.items() if len(frame)} | files,
    )


def _is_control(exhibit: Exhibit) -> bool:
    """Whether an exhibit is no table or figure of the paper."""
    return not exhibit.name.startswith(("Figure", "Table"))
