"""A folder of links has exactly its files, whatever happens to the cache it lies in."""

from pathlib import Path

import pytest

from studies.models import links


def test_links_are_laid_once_and_again_where_they_are_damaged(tmp_path: Path):
    files = {name: tmp_path / name for name in ("a", "b")}
    for path in files.values():
        path.write_text(path.name)
    view = links.linked(files)
    assert {path.name: path.read_text() for path in view.iterdir()} == {"a": "a", "b": "b"}
    assert links.linked(files) == view
    (view / "c").write_text("a file more")
    again = links.linked(files)
    assert sorted(path.name for path in again.iterdir()) == ["a", "b"]
    (again / "a").unlink()
    assert sorted(path.name for path in links.linked(files).iterdir()) == ["a", "b"]


def test_links_need_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "a").write_text("a")
    (tmp_path / "cache").write_text("a file, so that no folder can be made here")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    view = links.linked({"x/a": tmp_path / "a"})
    assert (view / "x/a").read_text() == "a"
    monkeypatch.setattr(links.tempfile, "mkdtemp", lambda **_: str(tmp_path / "nowhere" / "at"))
    monkeypatch.setattr(Path, "symlink_to", _no_space)
    with pytest.raises(ValueError, match="set XDG_CACHE_HOME or TMPDIR to a folder that can be"):
        links.linked({"a": tmp_path / "a"})


def _no_space(*_given: object) -> None:
    raise OSError(28, "No space left on device")
