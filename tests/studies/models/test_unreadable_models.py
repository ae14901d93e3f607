"""Files of a model that cannot be read, or do not parse, are one sentence before anything runs."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from orchestrator.workers import worker
from studies.models import adapter, folder, hashing
from studies.models.facts import facts
from studies.models.tokenizer import count_tokens, may_chat
from studies.spec import Model, ModelFacts
from tests.makers import world
from tests.makers.folders import add, edit, lora, plain


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Have the system refuse files of these names: to root it refuses none by itself."""

    def refuse(*names: str, looking: bool) -> None:
        plainly_opened, plainly_looked_at = Path.open, Path.stat

        def opened(path: Path, *given: object, **named: object) -> object:
            if path.name in names:
                raise PermissionError(13, "Permission denied", str(path))
            return plainly_opened(path, *given, **named)  # type: ignore[call-overload]

        def looked_at(path: Path, **named: bool) -> object:
            if path.name in names:
                raise PermissionError(13, "Permission denied", str(path))
            return plainly_looked_at(path, **named)

        monkeypatch.setattr(Path, "open", opened)
        if looking:
            monkeypatch.setattr(Path, "stat", looked_at)

    return refuse


def adapted(at: Path) -> ModelFacts:
    """A model with an adapter that brings a tokenizer of its own."""
    base = plain(at / "base")
    own = lora(at / "own", base)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(base / name, own / name)
    add(own, "chat_template.jinja", "adapter's {{ messages }}")
    return facts(Model(id=str(base), adapter=str(own)))


READERS: dict[str, Callable[[ModelFacts], object]] = {
    "facts": lambda found: facts(Model(id=found.folder, adapter=found.adapter)),
    "opened": folder.opened,
    "opened_small": folder.opened_small,
    "refuse_changed": folder.refuse_changed,
    "worker": lambda found: worker.load(found, device="cpu", threads=1),
}
FILES = ("config.json", "model.safetensors", "tokenizer.json", "adapter_config.json")
# What needs no look at a file: links are laid to files that are not opened.
SPARED_BY_OPENING = {
    "opened": ("model.safetensors", "tokenizer.json", "adapter_config.json"),
    "opened_small": ("model.safetensors", "tokenizer.json", "adapter_config.json"),
}
SPARED_BY_LOOKING = {"opened_small": ("model.safetensors",)}


@pytest.mark.parametrize("looking", [False, True], ids=["a file", "its folder"])
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("reader", READERS)
def test_a_file_without_permission_is_one_sentence(
    reader: str, name: str, looking: bool, tmp_path: Path, forbid: Callable[..., None]
):
    found = adapted(tmp_path)
    forbid(name, looking=looking)
    spared = SPARED_BY_LOOKING if looking else SPARED_BY_OPENING
    if name in spared.get(reader, ()):
        READERS[reader](found)
        return
    with pytest.raises(ValueError, match=r"cannot be read.*Permission denied"):
        READERS[reader](found)


def test_an_adapters_files_without_permission_are_one_sentence(
    tmp_path: Path, forbid: Callable[..., None]
):
    found = adapted(tmp_path)
    forbid("adapter_model.safetensors", looking=True)
    for way in (adapter.find_adapter, lambda name: adapter.opened(name, "")):
        with pytest.raises(ValueError, match=r"adapter .*cannot be read.*Permission denied"):
            way(found.adapter)


@pytest.mark.parametrize("command", [["sites"], ["bench", "--task", "letters", "--model"]])
def test_a_command_says_so_and_ends_with_status_2(
    command: list[str],
    tmp_path: Path,
    forbid: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    at = plain(tmp_path / "model")
    forbid("model.safetensors", looking=True)
    assert world.run(*command, str(at), monkeypatch=monkeypatch) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ") and "Permission denied" in said
    assert said.count("\n") == 1


def test_the_hash_of_a_file_that_is_not_there_is_one_sentence(tmp_path: Path):
    with pytest.raises(ValueError, match=r"none cannot be read: No such file or directory"):
        hashing.file_hash(tmp_path / "none")


BROKEN: dict[str, tuple[str, bytes, str]] = {
    "tokenizer": ("tokenizer.json", b"{", r"tokenizer\.json is not a tokenizer"),
    "settings": ("tokenizer_config.json", b"[]", r"_config\.json: expected a JSON object"),
    "special tokens": ("special_tokens_map.json", b"{", r"map\.json line 1: not valid JSON"),
    "added tokens": ("added_tokens.json", b"\xff", r"added_tokens\.json: not UTF-8 text"),
    "template": ("chat_template.jinja", b"a \xff", r"template\.jinja: not UTF-8 text \(byte 2\)"),
    "more templates": (
        "additional_chat_templates/tools.jinja", b"\xff", r"tools\.jinja: not UTF-8 text"
    ),
}  # fmt: skip


@pytest.mark.parametrize("place", ["base", "own"], ids=["model", "adapter"])
@pytest.mark.parametrize("kind", BROKEN)
def test_a_tokenizer_that_does_not_parse_is_refused_by_the_plan(
    kind: str, place: str, tmp_path: Path
):
    """The adapter's own as well: it is used in place of the model's."""
    found = adapted(tmp_path)
    name, content, message = BROKEN[kind]
    path = tmp_path / place / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        facts(Model(id=found.folder, adapter=found.adapter))


def test_a_template_that_changed_since_is_one_sentence(tmp_path: Path):
    found = adapted(tmp_path)
    (tmp_path / "own/chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ValueError, match=r"chat_template\.jinja: not UTF-8 text"):
        may_chat(found)
    (tmp_path / "own/tokenizer.json").write_bytes(b"{")
    with pytest.raises(ValueError, match=r"tokenizer\.json is not a tokenizer"):
        count_tokens(found, ["a"])


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ([[1]], "[1]"),
        ([1, [2]], "[2]"),
        ({"id": 1}, "{'id': 1}"),
        ("1", "'1'"),
        ([None], "None"),
        (True, "True"),
        (1.0, "1.0"),
    ],
)
@pytest.mark.parametrize("file", ["config.json", "generation_config.json"])
def test_end_tokens_that_are_none_are_refused(file: str, value: object, shown: str, tmp_path: Path):
    at = plain(tmp_path / "model")
    edit(at / file, eos_token_id=value)
    said = re.escape(f"{file}: eos_token_id has {shown}: expected a token id or a list")
    with pytest.raises(ValueError, match=said):
        facts(Model(id=str(at)))


@pytest.mark.parametrize("name", ["~no-such-user/model", "~no-such-user"])
def test_a_home_that_is_nobodys_is_one_sentence(name: str):
    with pytest.raises(ValueError, match=r"unknown model '~no-such-user"):
        facts(Model(id=name))
    with pytest.raises(ValueError, match=r"unknown adapter '~no-such-user"):
        adapter.find_adapter(name)
