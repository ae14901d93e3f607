"""What any of our packages refuses stays one sentence where a study of one's own called it."""

from pathlib import Path

import pytest

from orchestrator import recipe

CALLS = {
    "analysis": (
        "from analysis.storage.folder import Folder",
        "Folder('gs://bucket/run')",
        "gs: is not",
    ),
    "orchestrator": (
        "from orchestrator.workers.address import check",
        "check('nowhere', device='cpu')",
        "unknown cluster 'nowhere'",
    ),
    "studies": ("from studies.values import whole", "whole('x', '--pairs', least=1)", "--pairs"),
}


@pytest.mark.parametrize("package", CALLS)
def test_a_refusal_of_ours_is_left_as_it_is(tmp_path: Path, package: str):
    imports, call, said = CALLS[package]
    path = tmp_path / "mine.py"
    path.write_text(f"{imports}\n\n\ndef study(options):\n    return {call}\n")
    found = recipe.find(f"{path}:study")
    with pytest.raises(ValueError, match=said) as refused:
        found.study(found.options())
    assert "recipe file" not in str(refused.value)
