"""Word lists: the shipped ones, files, sequences, and what is refused."""

from __future__ import annotations

from pathlib import Path

import gymnasium
import pytest

from lmrlgym.envs.wordle import SHIPPED, WordleEnv, vocabulary_of


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
