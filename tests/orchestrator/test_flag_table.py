"""README's table has every flag of `run`, of any study, of `watch` and questions, and no other."""

import re

from orchestrator import recipe
from orchestrator.options import Running
from orchestrator.questions import Comparing, Regressing
from orchestrator.watching.options import Watching
from studies.flags import by_flag
from studies.recipes import RECIPES
from tests.makers import world


def test_readme_has_every_flag() -> None:
    text = (world.ROOT / "README.md").read_text(encoding="utf-8")
    table = text[text.index("| flag | meaning |") : text.index("Every study is one recipe")]
    named = set(re.findall(r"--[a-z][a-z-]*", table))
    flags = {
        *by_flag(Running),
        *by_flag(Watching),
        *by_flag(Comparing),
        *by_flag(Regressing),
    }
    for name in RECIPES:
        flags |= set(by_flag(recipe.find(name).options))
    # The report is written unless it is refused, which is what one types.
    assert named == flags - {"--report"} | {"--no-report"}
