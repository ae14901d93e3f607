"""Files that people hand over: every fault is one sentence that names the file and the line."""

import gzip
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from studies import benchmarks, parallel_text, text_files
from studies.free_prompts import free_sets
from studies.rows import Source
from tests.makers import world

SENTENCES = [{"id": k, "sentence": f"Sentence {k}."} for k in range(1, 4)]
QUESTION = {
    "instruction": "Which?",
    "option_a": "one",
    "option_b": "two",
    "option_c": "three",
    "option_d": "four",
    "answer": "A",
    "id": "1",
}
PROBLEM = {"id": 1, "question": "How many?", "answer_number": 5}
PASSAGE = {"id": "1", "context": "a b", "question": "Which?", "answers": {"text": ["a"]}}


def lines(*rows: object) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def write(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def fifo(path: Path) -> None:
    os.mkfifo(path)


def zero(path: Path) -> None:
    path.symlink_to("/dev/zero")


def table(path: Path, **columns: pa.Array) -> None:
    pq.write_table(pa.table(columns), path)


Make = Callable[[Path], None]
FAULTS: dict[str, tuple[str, Make, str]] = {
    "a pipe": ("deu_Latn.jsonl", fifo, "is a pipe, socket or device: expected a regular file"),
    "a pipe for Parquet": ("deu_Latn.parquet", fifo, "is a pipe, socket or device"),
    "a device": ("deu_Latn.jsonl", zero, "is a pipe, socket or device"),
    "a folder": ("deu_Latn.jsonl", Path.mkdir, "is a folder: expected a regular file"),
    "a broken link": (
        "deu_Latn.jsonl", lambda path: path.symlink_to("nowhere"), "cannot be read: No such file",
    ),
    "a link to itself": (
        "deu_Latn.jsonl", lambda path: path.symlink_to(path), "cannot be read: Too many levels",
    ),
    "deep nesting": (
        "deu_Latn.jsonl", lambda path: write(path, lines(*SENTENCES) + b"[" * 99_999 + b"\n"),
        "line 4 is nested too deeply",
    ),
    "a long number": (
        "deu_Latn.jsonl", lambda path: write(path, b'{"id": ' + b"9" * 9999 + b"}\n"),
        "line 1 is not JSON: Exceeds the limit",
    ),
    "half a surrogate pair": (
        "deu_Latn.jsonl", lambda path: write(path, b'{"id": 1, "sentence": "a \\ud83d b"}\n'),
        r"line 1 has '\\ud83d', half of a surrogate pair",
    ),
    "half a pair in a name": (
        "deu_Latn.jsonl", lambda path: write(path, b'{"id": 1, "\\udc00": "b"}\n'),
        "line 1 has .* half of a surrogate pair",
    ),
    "carriage returns": (
        "deu_Latn.jsonl", lambda path: write(path, lines(*SENTENCES).replace(b"\n", b"\r")),
        "line 1 has a carriage return without a line feed",
    ),
    "a field twice": (
        "deu_Latn.jsonl", lambda path: write(path, b'{"id": 1, "sentence": "a", "sentence": ""}\n'),
        "line 1 is not JSON: field 'sentence' stands there twice",
    ),
    "NaN": (
        "deu_Latn.jsonl", lambda path: write(path, b'{"id": NaN, "sentence": "a"}\n'),
        "line 1 is not JSON: NaN is no number",
    ),
    "another encoding": (
        "deu_Latn.jsonl", lambda path: write(path, lines(*SENTENCES) + b'{"sentence": "\xe9"}\n'),
        "line 4 is not UTF-8 text",
    ),
    "UTF-16": (
        "deu_Latn.jsonl",
        lambda path: write(path, lines(*SENTENCES).decode().encode("utf-16")),
        "line 1 is not UTF-8 text",
    ),
    "a list": ("deu_Latn.jsonl", lambda path: write(path, b"[1]\n"), "line 1: expected an object"),
    "no end of a line": (
        "deu_Latn.jsonl",
        lambda path: write(path, b" " * (text_files.LONGEST_LINE + 2)),
        "line 1 is longer than 32 MiB",
    ),
    "packed": (
        "deu_Latn.jsonl.gz", lambda path: write(path, gzip.compress(lines(*SENTENCES))),
        r"deu_Latn\.jsonl\.gz is of a kind that is not read: expected .jsonl or .parquet",
    ),
    "one JSON": (
        "deu_Latn.json", lambda path: write(path, lines(SENTENCES)),
        "is of a kind that is not read",
    ),
    "a null id": (
        "deu_Latn.jsonl", lambda path: write(path, lines({"id": None, "sentence": "a"})),
        "line 1: id is None, expected an id",
    ),
    "a blank id": (
        "deu_Latn.jsonl", lambda path: write(path, lines({"id": " ", "sentence": "a"})),
        "line 1: id is ' ', expected an id",
    ),
    "an id of many values": (
        "deu_Latn.jsonl", lambda path: write(path, lines({"id": [1], "sentence": "a"})),
        r"line 1: id is \[1\], expected an id",
    ),
    "Parquet cut short": (
        "deu_Latn.parquet", lambda path: write(path, b"PAR1 and no more PAR1"),
        "is not a Parquet file that can be read",
    ),
    "Parquet of other text": (
        "deu_Latn.parquet",
        lambda path: table(
            path,
            id=pa.array([1]),
            sentence=pa.StringArray.from_buffers(
                1, pa.array([0, 1], pa.int32()).buffers()[1], pa.py_buffer(b"\xff")
            ),
        ),
        "is not a Parquet file that can be read",
    ),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_data_file_with_a_fault_is_one_sentence(tmp_path: Path, fault: str) -> None:
    name, make, sentence = FAULTS[fault]
    (tmp_path / "flores200").mkdir()
    write(tmp_path / "flores200/eng_Latn.jsonl", lines(*SENTENCES))
    make(tmp_path / "flores200" / name)
    with pytest.raises(ValueError, match=sentence) as caught:
        parallel_text.load(
            "flores200", language="deu_Latn", source=Source(data_root=tmp_path), pairs="all"
        )
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)


PROMPTS = (
    *("a pipe", "a device", "a folder", "a broken link", "deep nesting", "half a surrogate pair"),
    *("carriage returns", "NaN", "another encoding", "no end of a line"),
)


@pytest.mark.parametrize("fault", PROMPTS)
def test_a_file_of_prompts_with_a_fault_is_one_sentence(tmp_path: Path, fault: str) -> None:
    _, make, sentence = FAULTS[fault]
    path = tmp_path / "mine.jsonl"
    make(path)
    if path.is_file() and path.stat().st_size:
        write(path, path.read_bytes().replace(b'"sentence"', b'"prompt"'))
    with pytest.raises(ValueError, match=sentence):
        free_sets(path)


@pytest.mark.parametrize(
    ("name", "row", "sentence"),
    [
        ("m_arc", QUESTION | {"option_d": None, "option_e": "x"}, "option_d is a null before"),
        ("m_arc", QUESTION | {"option_b": None}, "none of its rows holds a question"),
        ("m_arc", QUESTION | {"id": None}, "id is None, expected an id"),
        ("m_arc", QUESTION | {"answer": "F"}, "answer is 'F', outside the 4 options"),
        ("mgsm", PROBLEM | {"answer_number": None}, "none of its rows holds a question"),
        ("mgsm", PROBLEM | {"answer_number": "five"}, "answer_number is 'five', expected a number"),
        ("mgsm", PROBLEM | {"answer_number": True}, "answer_number is True, expected a number"),
        ("mgsm", PROBLEM | {"id": ""}, "id is '', expected an id"),
        ("xquad", PASSAGE | {"answers": {"text": [None]}}, "answer 1 is None, expected a text"),
        ("xquad", PASSAGE | {"answers": {"text": ["a", " "]}}, "answer 2 is ' ', expected a text"),
    ],
)  # fmt: skip
def test_a_row_that_makes_no_question_is_one_sentence(
    tmp_path: Path, name: str, row: dict[str, object], sentence: str
) -> None:
    (tmp_path / name).mkdir()
    write(tmp_path / name / "deu_Latn.jsonl", lines(row))
    source = Source(data_root=tmp_path)
    read = benchmarks.load if name == "m_arc" else benchmarks.open_questions
    with pytest.raises(ValueError, match=sentence):
        read(name, language="deu_Latn", source=source)


def test_upper_case_endings_and_hidden_files(tmp_path: Path) -> None:
    folder = tmp_path / "flores200"
    folder.mkdir()
    for name in ("eng_Latn.JSONL", "deu_Latn.jsonl"):
        write(folder / name, b"\xef\xbb\xbf" + lines(*SENTENCES).replace(b"\n", b"\r\n"))
    for name in ("._deu_Latn.jsonl", "README.md", "flores.json"):
        write(folder / name, b"nothing")
    source = Source(data_root=tmp_path)
    found = parallel_text.load("flores200", language="deu_Latn", source=source, pairs="all")
    assert found.texts == ("Sentence 1.", "Sentence 2.", "Sentence 3.")


def test_what_is_left_out_or_odd_is_said_once_for_a_data_set(tmp_path: Path) -> None:
    (tmp_path / "m_arc").mkdir()
    same = QUESTION | {"id": "2", "option_b": "one "}
    for code in ("deu_Latn", "fra_Latn"):
        rows = (QUESTION, same, QUESTION | {"id": "3", "answer": None})
        write(tmp_path / "m_arc" / f"{code}.jsonl", lines(*rows))
    source = Source(data_root=tmp_path)
    for _ in range(2):
        for code in ("deu_Latn", "fra_Latn"):
            assert len(benchmarks.load("m_arc", language=code, source=source).items) == 2
    assert source.sentences() == [
        "m_arc: 2 items are left out, as a null stands where text should be "
        "(deu_Latn 1, fra_Latn 1)",
        "m_arc: 2 items have options of the same text, which no model can tell apart "
        "(deu_Latn 1, fra_Latn 1)",
    ]


def test_a_file_without_permission_is_one_sentence(tmp_path: Path) -> None:
    """As another user, since root may read everything; the folder is entered before."""
    write(tmp_path / "mine.txt", b"a prompt\n")
    (tmp_path / "mine.txt").chmod(0)
    tmp_path.chmod(0o755)
    code = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from studies import text_files\n"
        "os.chdir(sys.argv[1])\n"
        "if os.getuid() == 0: os.setuid(65534)\n"
        "try: print(list(text_files.lines(Path('mine.txt'))))\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=world.ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout == "mine.txt cannot be read: Permission denied\n"
