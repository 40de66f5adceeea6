"""The repository itself: what may be committed, and how large."""

from __future__ import annotations

import re
import subprocess
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MB = 1_000_000
BINARY = {".parquet", ".gz", ".png", ".safetensors"}
MACHINE_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|scratch)/\w")
"""A path that exists on one machine only."""


@cache
def committed() -> tuple[Path, ...]:
    """Every committed file; all but the ignored folders where git is missing (an unpacked sdist)."""
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("needs git and a checkout")
    paths = (ROOT / name for name in listed.decode().split("\0") if name)
    return tuple(path for path in paths if path.is_file())


def texts() -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in committed() if path.suffix not in BINARY}


def test_no_committed_file_but_a_model_is_over_6_mb():
    models = ROOT / "envs_data" / "models"
    sizes = {path: path.stat().st_size for path in committed() if models not in path.parents}
    assert {str(path): size for path, size in sizes.items() if size > 6 * MB} == {}


def test_shipped_data_is_at_most_30_mb():
    shipped = [path for path in committed() if ROOT / "envs_data" in path.parents]
    assert shipped
    assert sum(path.stat().st_size for path in shipped) <= 30 * MB


def test_texts_are_utf_8_without_carriage_returns():
    wrong = []
    for path, content in texts().items():
        try:
            content.decode("utf-8")
        except UnicodeDecodeError:
            wrong.append(str(path))
        if b"\r" in content:
            wrong.append(str(path))
    assert wrong == []


def test_no_text_names_a_path_of_one_machine():
    found = {
        str(path): match.group()
        for path, content in texts().items()
        if path != Path(__file__) and (match := MACHINE_PATH.search(content.decode("utf-8", "replace")))
    }
    assert found == {}


def test_a_machine_path_would_be_seen():
    assert MACHINE_PATH.search("open('/home/" + "ada/words.txt')")
    assert not MACHINE_PATH.search("docs/work/plan.md and https://example.org/home/page")


def test_every_committed_text_ends_with_one_newline():
    code = (path for path in committed() if path.suffix in {".py", ".md", ".toml", ".txt", ".cff"})
    contents = {path: path.read_bytes() for path in code}
    wrong = [str(p) for p, c in contents.items() if c and (not c.endswith(b"\n") or c.endswith(b"\n\n"))]
    assert wrong == []


def test_no_file_holds_unfinished_marks():
    marks = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
    sources = (path for path in committed() if path.suffix == ".py")
    assert [str(path) for path in sources if marks.search(path.read_text(encoding="utf-8"))] == []


def test_changelog_has_a_section_for_the_version():
    import lmrlgym

    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert f"## [{lmrlgym.__version__}]" in changelog
