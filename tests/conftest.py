"""Fixtures for all tests."""

import os
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with real rows (`data/`) that lies beside the project on some machines."""
    folder = (ROOT / os.environ.get("BABELSCOPE_SHARED", "../shared")).resolve()
    if not (folder / "data").is_dir():
        pytest.skip(f"no real data at {folder}: set BABELSCOPE_SHARED to a folder that holds data/")
    return folder
