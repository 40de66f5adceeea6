"""Word lists: the shipped ones, files, sequences, and what is refused."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import gymnasium
import pytest

from lmrlgym.envs.wordle import SHIPPED, WordleEnv, vocabulary_of
from lmrlgym.references import normalise, reference
from lmrlgym.resources import read_json

ENV_ID = "lmrlgym/Wordle-v0"


def test_shipped_lists_are_prefixes_of_one_list_with_distinct_words() -> None:
    longest = vocabulary_of("common-2315").words
    assert len(set(longest)) == 2315
    for name in SHIPPED:
        words = vocabulary_of(name).words
        assert len(words) == int(name.removeprefix("common-"))
        assert words == longest[: len(words)]


def test_a_word_file_is_read_line_by_line_and_other_lengths_are_left_out(tmp_path: Path) -> None:
    file = tmp_path / "words.txt"
    file.write_text("  crane \nfour\nsixsix\n\nslate", encoding="utf-8")
    for source in (file, str(file)):
        assert vocabulary_of(source).words == ("crane", "slate")


def test_equal_words_share_their_tables() -> None:
    assert vocabulary_of(["crane", "slate"]) is vocabulary_of(("crane", "slate"))


@pytest.mark.parametrize(
    "content",
    [b"", b"four\n", b"Crane\n", b"cran3\n", b"crane\ncrane\n", b"\xff\xfe\x00crane", "crané\n".encode()],
)
def test_a_bad_word_file_is_refused(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "words.txt"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="vocabulary"):
        gymnasium.make("lmrlgym/Wordle-v0", vocabulary=str(file))


@pytest.mark.parametrize(
    "source",
    [
        "common-400",
        "",
        "/nowhere/words.txt",
        ".",
        [],
        ["cranes"],
        ["crane", 5],
        ["crane"] * 2,
        431,
        None,
        b"x",
    ],
)
def test_a_bad_vocabulary_is_refused(source: object) -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        WordleEnv(vocabulary=source)  # type: ignore[arg-type]


def test_a_list_or_file_with_the_words_of_a_shipped_one_is_filed_under_its_name(tmp_path: Path) -> None:
    words = vocabulary_of("common-40").words
    file = tmp_path / "mine.txt"
    file.write_text("\n".join(reversed(words)), encoding="utf-8")
    for source in ("common-40", list(words), str(file)):
        assert WordleEnv(vocabulary=source).filed_as() == {"vocabulary": "common-40"}
        assert reference(ENV_ID, vocabulary=source) == reference(ENV_ID, vocabulary="common-40")


def test_other_words_are_filed_under_the_sha256_of_their_sorted_lines() -> None:
    named = "sha256:" + hashlib.sha256(b"crane\nslate").hexdigest()
    assert WordleEnv(vocabulary=["slate", "crane"]).filed_as() == {"vocabulary": named}


def test_the_paper_scale_is_for_its_own_words_only() -> None:
    entries = read_json("wordle", "references.json")[ENV_ID]
    stored = {entry["env_kwargs"]["vocabulary"]: entry for entry in entries}
    paper = "sha256:5e56216aa777247798e4c1fd67eafb7478a387065b9e934ced99aed3943017f8"
    assert {name for name, entry in stored.items() if entry["lmrl2023"]} == {paper}
    assert stored[paper]["lmrl2023"] == {"min": -6, "avg": -4.121715, "max": -1.935}
    assert math.isnan(normalise(ENV_ID, -3.0, "lmrl2023"))
    assert "its own 431 words" in reference(ENV_ID).lmrl2023_reason
