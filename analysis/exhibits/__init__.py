"""One file per study: the list of its tables and figures, and templates of what is said of them.

A page is found by the study's name: a study called my-study has analysis/exhibits/my_study.py,
whose PAGE lists its exhibits. Any other has the neutral page of whatever its rows can show.
"""

from importlib import import_module
from pathlib import Path

from analysis.layout.exhibit import StudyPage


def page_of(study: str) -> StudyPage | None:
    """The page of a study, None where it has none."""
    name = study.replace("-", "_")
    named = name.isidentifier() and not name.startswith("_")
    if not named or not (Path(__file__).parent / f"{name}.py").is_file():
        return None
    page: StudyPage = import_module(f"analysis.exhibits.{name}").PAGE
    return page if page.study == study else None
