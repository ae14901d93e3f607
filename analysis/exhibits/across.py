"""The page of questions between papers, for runs of several studies that are reported together.

It is no study's own: `page` makes it of the rows of all of them, if any question has what it needs.
"""

from analysis.across.page import EXHIBITS
from analysis.layout.exhibit import StudyPage, Topic
from analysis.layout.material import Material
from analysis.layout.page import Page

STUDY = "across"
TITLE = "Across studies: what the rows of one say of another's"


def page(material: Material) -> Page | None:
    """The page; None where no question has the rows that it needs."""
    shown = [one.show(material) for one in EXHIBITS]
    filled = sum(bool(one.parts) for one in shown)
    if not filled:
        return None
    own = StudyPage(
        study=STUDY, title=TITLE, prose="across.jinja",
        topics=[Topic(title=one.name, parts=(one,)) for one in EXHIBITS],
        facts=lambda held: {"studies": held.rows.studies, "filled": filled,
                            "every": len(EXHIBITS)},
        no_main="questions between papers have no main table",
    )  # fmt: skip
    return own.build(material)
