"""`lmrlgym doctor`: one line a check, and an exit code that says whether one failed."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

import gymnasium
import pytest

from lmrlgym import cli
from lmrlgym.commands import doctor

MAZE = "lmrlgym/Maze-v0"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> str:
    testing = pytest.importorskip("baselines.testing")
    return str(testing.random_base(tmp_path_factory.mktemp("doctor") / "random"))


def lines(capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, str]]:
    """Check -> (state, what was found)."""
    found = {}
    for line in capsys.readouterr().out.splitlines():
        state, _, rest = line.partition(" ")
        name, _, what = rest.strip().partition(": ")
        found[name] = state, what
    return found


def test_every_check_is_one_line_and_a_sound_installation_passes(base, capsys):
    assert cli.main(["doctor", "--env", MAZE, "--base", base]) == 0
    found = lines(capsys)
    assert {state for state, _ in found.values()} <= {"ok", "absent"}
    assert found["environments"] == ("ok", f"{MAZE} keeps the contract")
    checks = ("base", "games", "tokens in = tokens trained", "masks cover the agent's tokens")
    for name in (*checks, "adapter off = base", "rollout = trainer log-probs"):
        assert found[name][0] == "ok"
    assert "gymnasium" in found["packages"][1]
    assert {"GPU", "stockfish", "extra baselines", "extra chess"} <= found.keys()


def test_a_failed_check_is_a_line_and_exit_code_1_and_the_others_go_on(base, capsys, monkeypatch):
    from baselines.core.tokens import Encoder

    whole = Encoder.prompt
    monkeypatch.setattr(Encoder, "prompt", lambda self, history: (1, *whole(self, history)))
    assert cli.main(["doctor", "--env", MAZE, "--base", base]) == 1
    found = lines(capsys)
    assert found["tokens in = tokens trained"][0] == "failed"
    assert found["adapter off = base"][0] == "ok"


def test_a_check_that_breaks_is_a_failed_line(base, capsys, monkeypatch):
    from baselines.core.doctor import Examination

    def broken(self: Any) -> str:
        raise RuntimeError("out of memory\nand more")

    monkeypatch.setattr(Examination, "masks", broken)
    assert cli.main(["doctor", "--env", MAZE, "--base", base]) == 1
    assert lines(capsys)["masks cover the agent's tokens"] == (
        "failed",
        "RuntimeError: out of memory and more",
    )


@pytest.mark.parametrize(
    ("argv", "complaint"),
    [
        (["--env", "lmrlgym/Mazes-v0"], "no environment 'lmrlgym/Mazes-v0'; did you mean lmrlgym/Maze-v0"),
        (["--env", MAZE, "--base", "."], "no base model '.'"),
        (["--env", MAZE, "--device", "tpu9"], "there is no device 'tpu9' here"),
        (["--env", MAZE, "--dtype", "int4"], "dtype must be one of float32"),
        (["--envs", MAZE], "did you mean --env?"),
    ],
)
def test_wrong_inputs_are_one_line(argv, complaint, capsys):
    pytest.importorskip("torch")
    assert cli.main(["doctor", *argv]) == 2
    assert complaint in capsys.readouterr().err


# ---- what is installed ----


def pretend(monkeypatch: pytest.MonkeyPatch, needed: list[str] | None, versions: dict[str, str]) -> None:
    """Let pip have installed `versions`, of which lmrlgym says that it needs `needed`."""

    def requires(package: str) -> list[str]:
        if needed is None:
            raise metadata.PackageNotFoundError(package)
        return needed

    def version(package: str) -> str:
        if package not in versions:
            raise metadata.PackageNotFoundError(package)
        return versions[package]

    monkeypatch.setattr(doctor.metadata, "requires", requires)
    monkeypatch.setattr(doctor.metadata, "version", version)


NEEDED = ["numpy>=1.26", 'chess>=1.11; extra == "chess"', 'ray[rllib]>=2.40; extra == "ray"']


@pytest.mark.parametrize(
    ("versions", "found"),
    [
        (
            {"numpy": "2.0", "chess": "1.11", "ray": "2.60.0"},
            [("ok", "numpy 2.0"), ("ok", "chess 1.11"), ("ok", "ray 2.60.0")],
        ),
        (
            {"numpy": "1.25.9", "chess": "1.9.4"},
            [
                ("failed", "numpy 1.25.9 is installed, >=1.26 is needed: pip install 'lmrlgym' -U"),
                ("failed", "chess 1.9.4 is installed, >=1.11 is needed: pip install 'lmrlgym[chess]' -U"),
                ("absent", "ray not installed: pip install 'lmrlgym[ray]'"),
            ],
        ),
        (
            {},
            [
                ("failed", "numpy not installed: pip install 'lmrlgym'"),
                ("absent", "chess not installed: pip install 'lmrlgym[chess]'"),
                ("absent", "ray not installed: pip install 'lmrlgym[ray]'"),
            ],
        ),
    ],
)
def test_an_extra_that_is_missing_is_absent_and_one_too_old_has_failed(versions, found, monkeypatch):
    pretend(monkeypatch, NEEDED, versions)
    assert [(state, what) for state, _, what in doctor._installed()] == found


def test_without_pip_nobody_knows_what_is_needed(monkeypatch):
    pretend(monkeypatch, None, {})
    assert [finding.state for finding in doctor._installed()] == ["absent"]


@pytest.mark.parametrize(
    ("version", "bounds", "fits"),
    [
        ("2.10", ">=2.9", True),  # numbers, not letters
        ("2.9", ">=2.10", False),
        ("2", ">=2.0.0", True),
        ("2.11.0+cpu", ">=2.11", True),
        ("3.0", ">=2,<3", False),
        ("2.9", ">=2,<3", True),
        ("1.0", "", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version, bounds, fits):
    assert doctor._fits(version, bounds) is fits


# ---- engines, agents, environments ----


def test_a_missing_stockfish_is_absent_with_what_to_do(monkeypatch):
    pytest.importorskip("chess")
    monkeypatch.setenv("LMRLGYM_STOCKFISH", "/nowhere/stockfish")
    state, _, what = doctor._found("stockfish", doctor._stockfish)
    assert (state, "apt-get install stockfish" in what) == ("absent", True)


def test_a_stockfish_that_is_none_has_failed(monkeypatch, tmp_path: Path):
    pytest.importorskip("chess")
    program = tmp_path / "engine"
    program.write_text("#!/bin/sh\nexit 0\n")
    program.chmod(0o755)
    monkeypatch.setenv("LMRLGYM_STOCKFISH", str(program))
    state, _, what = doctor._found("stockfish", doctor._stockfish)
    assert (state, what[:25]) == ("failed", "EngineError: engine ended")


def test_an_engine_says_its_name(monkeypatch, tmp_path: Path):
    pytest.importorskip("chess")
    program = tmp_path / "engine"
    program.write_text(
        "#!/bin/sh\nwhile read line; do case $line in uci) echo id name Deep Thought; echo uciok;; "
        "isready) echo readyok;; esac; done\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("LMRLGYM_STOCKFISH", str(program))
    assert doctor._stockfish() == f"Deep Thought ({program})"


def test_without_torch_the_base_is_absent_and_nothing_failed(monkeypatch, capsys):
    monkeypatch.setattr(doctor, "missing", lambda: ["torch", "peft"])
    assert cli.main(["doctor", "--env", MAZE]) == 0
    found = lines(capsys)
    assert found["base"] == ("absent", "torch, peft not installed: pip install 'lmrlgym[baselines]'")
    assert found["GPU"][0] == "absent"
    assert found["environments"][0] == "ok"


def test_a_gpu_that_multiplies_wrongly_has_failed(monkeypatch):
    torch = pytest.importorskip("torch")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch, "ones", lambda *size, device: torch.zeros(size))
    assert doctor._found("GPU", doctor._gpu)[::2] == (
        "failed",
        "a product of matrices comes out wrong on it",
    )


def test_a_game_that_breaks_its_contract_is_named_and_the_others_are_checked(monkeypatch):
    whole = doctor.check_env

    def check(env: gymnasium.Env[Any, Any]) -> None:
        assert env.spec is not None
        if "Partial" in env.spec.id:
            raise AssertionError("the same seed tells another game")
        whole(env)

    monkeypatch.setattr(doctor, "check_env", check)
    playable: list[str] = []
    with pytest.raises(AssertionError, match=r"MazePartial-v0: AssertionError: the same seed"):
        doctor._environments(["lmrlgym/MazePartial-v0", MAZE], playable)
    assert playable == [MAZE]


def test_a_game_that_needs_an_extra_is_named_and_has_not_failed(monkeypatch):
    def check(env: gymnasium.Env[Any, Any]) -> None:
        raise ImportError("chess needs the package `chess`")

    monkeypatch.setattr(doctor, "check_env", check)
    found = doctor._found("environments", lambda: doctor._environments([MAZE], []))
    assert found == ("absent", "environments", f"{MAZE}: chess needs the package `chess`")
