"""A folder of links has exactly its files, whatever happens to the cache it lies in."""

from pathlib import Path
from typing import Any

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


def test_a_link_that_is_right_is_never_away_while_others_are_mended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """Another process may be reading through it."""
    files = {name: tmp_path / name for name in ("a", "b", "c/d")}
    for path in files.values():
        path.parent.mkdir(exist_ok=True)
        path.write_text(path.name)
    view = links.linked(files)
    (view / "b").unlink()
    (view / "c/d").unlink()
    (view / "c/d").mkdir()
    (view / "c/d/e").write_text("in the place of a link")
    (view / "f").write_text("a file more")
    seen = []
    for name in ("rename", "replace", "unlink", "symlink_to", "mkdir"):
        plainly = getattr(Path, name)

        def watched(self: Path, *given: object, plainly: Any = plainly, **named: object) -> object:
            result = plainly(self, *given, **named)
            seen.append((view / "a").read_text())
            return result

        monkeypatch.setattr(Path, name, watched)
    assert links.linked(files) == view
    assert set(seen) == {"a"}
    assert (view / "b").read_text() == "b" and (view / "c/d").read_text() == "d"
    assert not (view / "f").exists()


def test_two_who_lay_the_same_links_do_not_disturb_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """The second has looked before the first was done, and finds nothing there."""
    files = {name: tmp_path / name for name in ("a", "b")}
    for path in files.values():
        path.write_text(path.name)
    view = links.linked(files)
    found, looks = links._found, iter(range(2))
    monkeypatch.setattr(
        links, "_found", lambda folder: {} if next(looks, None) is not None else found(folder)
    )
    opened = (view / "a").open()
    gone = []
    for way in ("rename", "replace"):
        plainly = getattr(Path, way)

        def watched(self: Path, target: Path, plainly: Any = plainly) -> object:
            result = plainly(self, target)
            gone.extend(name for name in files if not (view / name).exists())
            return result

        monkeypatch.setattr(Path, way, watched)
    assert links.linked(files) == view
    assert not gone and opened.read() == "a"


@pytest.mark.parametrize("name", ["symlink_to", "replace"])
def test_nothing_is_left_in_the_cache_when_links_cannot_be_laid(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    (tmp_path / "file").write_text("a")
    with monkeypatch.context() as patch:
        patch.setattr(Path, name, _no_space)
        with pytest.raises(ValueError, match="No space left"):
            links.linked({"a": tmp_path / "file"})
    view = links.linked({"a": tmp_path / "file"})
    assert sorted((tmp_path / "cache/babelscope/links").iterdir()) == [view]


def test_a_mended_folder_leaves_nothing_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "file").write_text("a")
    view = links.linked({"a": tmp_path / "file"})
    for _ in range(3):
        (view / "more").write_text("damage")
        assert links.linked({"a": tmp_path / "file"}) == view
    assert list(view.parent.iterdir()) == [view]
