"""The wheel and the sdist: built, installed clean, and played from another folder."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import pytest

import lmrlgym

ROOT = Path(__file__).resolve().parents[1]
PLAY_EVERY_ID = """
import sys
import gymnasium, lmrlgym

played = []
for env_id in sorted(i for i in gymnasium.registry if i.startswith("lmrlgym/")):
    policy = lmrlgym.policy_named("random", env_id)
    (game,) = lmrlgym.rollout(env_id, policy, 1, seed=0)
    assert game.terminated or game.truncated, env_id
    assert lmrlgym.replay(game) is None, env_id
    played.append(env_id)
assert not {"torch", "transformers"} & set(sys.modules)
print(*played)
"""


def run(*command: object, cwd: Path) -> str:
    """The output of a command that sees nothing of this checkout."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "VIRTUAL_ENV")}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory) -> Path:
    """A folder with the sdist and the wheel that is built from it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)
    return folder


@pytest.fixture(scope="module")
def wheel(built) -> Path:
    (path,) = built.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel and the extra `chess`, no other; its folder of programs."""
    folder = tmp_path_factory.mktemp("installed")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    programs = folder / "venv" / "bin"
    constraints = ROOT / "constraints.txt"
    run(
        programs / "python",
        "-m",
        "pip",
        "install",
        "--quiet",
        "-c",
        constraints,
        f"{wheel}[chess]",
        cwd=folder,
    )
    return programs


@pytest.mark.slow
def test_the_wheel_holds_code_types_and_data_and_nothing_else(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    tops = {name.split("/")[0] for name in names}
    assert tops == {"lmrlgym", "baselines", f"lmrlgym-{lmrlgym.__version__}.dist-info"}
    assert {"lmrlgym/py.typed", "baselines/py.typed", "baselines/ilql.py"} <= names
    shipped = {str(p.relative_to(ROOT / "envs_data")) for p in committed("envs_data")}
    assert {f"lmrlgym/_data/{name}" for name in shipped} <= names


def committed(folder: str) -> list[Path]:
    listed = run("git", "ls-files", "-z", folder, cwd=ROOT).split("\0")
    return [ROOT / name for name in listed if name]


@pytest.mark.slow
def test_the_sdist_holds_what_tests_and_documentation_need(built):
    (path,) = built.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {str(p.relative_to(ROOT)) for p in committed(".")} - {".gitignore"}
    assert wanted - names == set()


@pytest.mark.slow
def test_version_and_licence_are_those_of_the_package(wheel):
    with zipfile.ZipFile(wheel) as archive:
        info = f"lmrlgym-{lmrlgym.__version__}.dist-info"
        metadata = message_from_bytes(archive.read(f"{info}/METADATA"))
        assert f"{info}/licenses/LICENSE" in archive.namelist()
    assert metadata["Version"] == lmrlgym.__version__
    assert metadata["License-Expression"] == "MIT"


@pytest.mark.slow
def test_every_game_is_played_from_an_installed_wheel_without_torch(installed, tmp_path):
    played = run(installed / "python", "-c", PLAY_EVERY_ID, cwd=tmp_path).split()
    assert len(played) >= 3
    packages = run(installed / "python", "-m", "pip", "list", cwd=tmp_path)
    assert "torch" not in packages


@pytest.mark.slow
def test_the_command_line_of_an_installed_wheel_answers(installed, tmp_path):
    assert run(installed / "lmrlgym", "--version", cwd=tmp_path).split() == ["lmrlgym", lmrlgym.__version__]
    assert "maze/mixed-v0" in run(installed / "lmrlgym", "list", cwd=tmp_path)
    words = ("collect", "lmrlgym/Maze-v0", "--episodes", 3, "--out", "three.parquet")
    run(installed / "lmrlgym", *words, cwd=tmp_path)
    assert "0 diverge" in run(installed / "lmrlgym", "replay", "three.parquet", cwd=tmp_path)


@pytest.mark.slow
def test_the_agents_of_an_installed_wheel_say_which_extra_is_missing(installed, tmp_path):
    done = subprocess.run(
        [installed / "lmrlgym", "train", "bc", "lmrlgym/Maze-v0"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "lmrlgym[baselines]" in done.stderr
    assert done.stderr.count("\n") == 1


def test_versions_agree_everywhere():
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {lmrlgym.__version__}\n" in citation


def test_every_direct_dependency_of_the_tests_is_pinned():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    wanted = [
        *project["dependencies"],
        *(name for e in ("baselines", "gguf", "endpoint", "chess", "dev") for name in extras[e]),
    ]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = {line.split("==")[0] for line in lines if "==" in line}
    assert {name.split(">=")[0] for name in wanted} - pinned == set()
