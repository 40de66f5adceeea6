"""Sweeps: what is trained, what is shared, what is skipped, what is refused."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from baselines.core.runlog import prompt_tokens
from baselines.core.sweep import OUTPUT, RETRIES, Setup, Sweep, in_processes, jobs, read_sweep, run_sweep
from baselines.core.tokens import Encoder
from lmrlgym import Dataset, Trajectory, Turn

MAZE = "lmrlgym/Maze-v0"


@pytest.fixture
def sweep(base_folder: Path, tmp_path: Path) -> Sweep:
    """Two setups in the maze that train in milliseconds."""
    data = Dataset.load("maze/mixed-v0")[:12].save(tmp_path / "some.jsonl")
    small = {"rounds": 1, "steps": 2, "batch_size": 4, "max_new_tokens": 3}
    training = {"base": str(base_folder), "data": str(data), "device": "cpu", "episodes": 2}
    setups = {name: Setup(name, small) for name in ("mc_returns", "bc")}
    return Sweep(tmp_path / "sweep", [(MAZE, {"max_moves": 2})], setups, [0, 1], training)


def test_an_algorithm_that_needs_a_policy_starts_from_the_bc_run_of_its_seed(sweep: Sweep) -> None:
    planned = jobs(sweep)
    assert [job.folder.name for job in planned] == ["bc-0", "mc_returns-0", "bc-1", "mc_returns-1"]
    starts = [job.training.start.name if job.training.start else None for job in planned]
    assert starts == [None, "bc-0", None, "bc-1"]


def test_where_no_bc_run_can_serve_one_policy_is_cloned_for_all(sweep: Sweep) -> None:
    setups = {name: Setup(name, {"rank": 4}) for name in ("mc_returns", "ilql")}
    planned = jobs(Sweep(sweep.out, sweep.environments, setups, [7], sweep.training))
    assert [job.folder.name for job in planned] == ["_start-7-4", "mc_returns-7", "ilql-7"]
    assert {job.training.start.name for job in planned if job.training.start} == {"_start-7-4"}
    assert planned[0].config.rank == 4


def test_quick_is_forty_gradient_steps_and_25_games(sweep: Sweep) -> None:
    quick = Sweep(sweep.out, [(MAZE, {})], {"ppo": Setup("ppo")}, [0], quick=True)
    (start, ppo) = jobs(quick)
    assert start.config.rounds * start.config.steps == 40
    assert ppo.config.rounds * ppo.config.steps == 40
    assert (ppo.training.episodes, ppo.config.games) == (25, 25)


def test_finished_runs_are_skipped_and_keep_their_games(sweep: Sweep) -> None:
    assert [one.what for one in run_sweep(sweep)] == ["trained"] * 4
    assert [one.what for one in run_sweep(sweep)] == ["skipped"] * 4
    (folder,) = sweep.out.glob("*/mc_returns-1")
    result = json.loads((folder / "log.jsonl").read_text().splitlines()[-1])
    games = Dataset.load(folder / "evaluation.parquet")
    assert [game.seed for game in games] == [10**9, 10**9 + 1]
    assert sum(game.total_reward for game in games) / 2 == result["evaluation_return_mean"]
    assert json.loads((folder / "run.json").read_text())["data"]["name"] == sweep.training["data"]


def test_kept_runs_are_not_trained_again_but_where_others_start_from_them(sweep: Sweep) -> None:
    run_sweep(sweep)
    kept = [(job.folder / "run.json").read_text() for job in jobs(sweep)]
    elsewhere = dataclasses.replace(sweep, out=sweep.out.with_name("elsewhere"))
    assert run_sweep(elsewhere, kept=kept) == []
    older = [text.replace('  "look_back": 0,\n', "") for text in kept]  # from before there was that option
    assert older != kept
    assert run_sweep(elsewhere, kept=older) == []
    with pytest.raises(ValueError, match="one of the kept runs is of no documented form: 'algorithm'"):
        run_sweep(elsewhere, kept=["{}"])
    outcomes = run_sweep(elsewhere, kept=kept[:3])
    assert [(one.folder.name, one.what) for one in outcomes] == [
        ("bc-1", "trained"),
        ("mc_returns-1", "trained"),
    ]
    longer = dataclasses.replace(elsewhere, training={**sweep.training, "episodes": 3})
    assert len(jobs(longer)) == len(
        run_sweep(dataclasses.replace(longer, out=sweep.out.with_name("3")), kept=kept)
    )


def test_a_sweep_that_tries_betas_skips_what_is_finished(sweep: Sweep) -> None:
    asked = dataclasses.replace(
        sweep, training={**sweep.training, "betas": [0.0, 2.0], "validation_games": 2}
    )
    asked_betas = {job.algorithm: job.training.betas for job in jobs(asked)}
    assert asked_betas == {"bc": (), "mc_returns": (0.0, 2.0)}
    assert [one.what for one in run_sweep(asked)] == ["trained"] * 4
    assert [one.what for one in run_sweep(asked)] == ["skipped"] * 4


def test_a_folder_that_holds_another_run_is_refused_and_the_others_go_on(sweep: Sweep) -> None:
    run_sweep(sweep)
    changed = {**sweep.setups, "bc": Setup("bc", {**sweep.setups["bc"].options, "steps": 3})}
    outcomes = run_sweep(Sweep(sweep.out, sweep.environments, changed, [0, 1], sweep.training))
    failed = [one for one in outcomes if one.failed]
    assert [one.folder.name for one in failed] == ["bc-0", "bc-1"]
    assert "steps is 2, asked is 3" in failed[0].what


def test_a_killed_run_goes_on(sweep: Sweep) -> None:
    run_sweep(sweep)
    (log,) = sweep.out.glob("*/bc-0/log.jsonl")
    log.write_text("".join(log.read_text().splitlines(keepends=True)[:-1]))  # without its result
    assert [one.what for one in run_sweep(sweep)] == ["trained", "skipped", "skipped", "skipped"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"setups": {}}, "at least one environment"),
        ({"setups": {"x": Setup("bc", {"speed": 1})}}, "bc has no option speed"),
        ({"setups": {"bc": Setup("bc")}, "training": {"colour": 1}}, "training has no option colour"),
        ({"training": {"data": ""}}, "no dataset is shipped"),
        ({"seeds": [0, 3, 0]}, "seeds are named twice: 0"),
        ({"seeds": [0, -1]}, "seeds must be 0 or more, got -1"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is(
    sweep: Sweep, change: dict[str, Any], message: str
) -> None:
    asked = Sweep(**{**vars(sweep), **change})
    with pytest.raises(ValueError, match=message):
        run_sweep(asked)
    assert not sweep.out.exists()


def test_a_sweep_is_read_from_toml(tmp_path: Path) -> None:
    file = tmp_path / "sweep.toml"
    file.write_text(
        """
        envs = ["lmrlgym/Maze-v0", {id = "lmrlgym/Wordle-v0", vocabulary = "common-40"}]
        algorithms = ["bc"]
        seeds = [3]
        [training]
        base = "words-v1"
        [training."lmrlgym/Wordle-v0"]
        repeats = 64
        [training."lmrlgym/TextNav-v0"]  # not swept here
        repeats = 7
        [setups.online_filtered_bc]
        algorithm = "filtered_bc"
        games = 128
        [options."lmrlgym/Maze-v0".bc]
        rounds = 1
        """
    )
    read = read_sweep(file, tmp_path)
    by_folder = {str(job.folder.relative_to(tmp_path)): job for job in jobs(read)}
    assert set(by_folder) == {
        *("Maze-v0/bc-3", "Maze-v0/online_filtered_bc-3"),
        *("Wordle-v0-vocabulary=common-40/bc-3", "Wordle-v0-vocabulary=common-40/online_filtered_bc-3"),
    }
    assert by_folder["Maze-v0/bc-3"].config.rounds == 1
    assert by_folder["Maze-v0/online_filtered_bc-3"].config.games == 128
    assert by_folder["Maze-v0/online_filtered_bc-3"].training.label == "online_filtered_bc"
    assert {folder[0]: job.training.repeats for folder, job in by_folder.items()} == {"M": 8, "W": 64}
    assert {job.training.base for job in by_folder.values()} == {"words-v1"}
    file.write_text("algoritms = []")
    with pytest.raises(ValueError, match="unknown keys algoritms"):
        read_sweep(file, tmp_path)


@pytest.mark.slow
def test_two_processes_train_what_one_trains(sweep: Sweep, capfd: pytest.CaptureFixture[str]) -> None:
    in_two = dataclasses.replace(sweep, out=sweep.out.with_name("two"))
    assert [one.what for one in run_sweep(sweep)] == ["trained"] * 4
    capfd.readouterr()
    assert [one.what for one in run_sweep(in_two, 2)] == ["trained"] * 4
    assert "step" not in capfd.readouterr().err, "progress bars of two processes in one terminal"
    weights = sorted(sweep.out.rglob("*.safetensors"))
    assert len(weights) > 4
    for file in weights:
        assert (in_two.out / file.relative_to(sweep.out)).read_bytes() == file.read_bytes()
    assert all("step" in (job.folder / OUTPUT).read_text() for job in jobs(in_two))


def killed_once(job: Any) -> Any:
    """Dies as from a lack of memory, the first time a run is tried."""
    from baselines.core.sweep import Outcome

    job.folder.mkdir(parents=True, exist_ok=True)
    tries = job.folder / "tries"
    tries.write_text((tries.read_text() if tries.exists() else "") + "x")
    if len(tries.read_text()) == 1 or job.folder.name == "mc_returns-1":
        os.kill(os.getpid(), signal.SIGKILL)
    return Outcome(job.folder, "trained")


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes that begin at once and see what the test has replaced."""
    import baselines.core.sweep as module

    context = module.get_context("fork")
    monkeypatch.setattr(module, "get_context", lambda method: context)
    monkeypatch.setattr(module, "attempt_quietly", killed_once)


@pytest.mark.usefixtures("forked")
def test_a_killed_process_is_begun_again_and_given_up_after_some_tries(sweep: Sweep) -> None:
    by_name = {one.folder.name: one for one in in_processes(jobs(sweep), 2)}
    assert {name for name, one in by_name.items() if not one.failed} == {"bc-0", "bc-1", "mc_returns-0"}
    assert by_name["mc_returns-1"].what == f"its process was killed {RETRIES + 1} times"
    tries = {job.folder.name: (job.folder / "tries").read_text() for job in jobs(sweep)}
    assert tries == {"bc-0": "xx", "bc-1": "xx", "mc_returns-0": "xx", "mc_returns-1": "x" * (RETRIES + 1)}


@pytest.mark.usefixtures("forked")
def test_a_run_begins_when_the_one_it_starts_from_has_ended(sweep: Sweep) -> None:
    ended: list[str] = []
    for outcome in in_processes(jobs(sweep), 2):
        name, seed = outcome.folder.name.rsplit("-", 1)
        assert name == "bc" or f"bc-{seed}" in ended
        ended.append(outcome.folder.name)
    assert len(ended) == 4


def sleeps(job: Any) -> Any:
    import time

    time.sleep(60)


@pytest.mark.usefixtures("forked")
def test_an_interruption_leaves_no_process_behind(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    import multiprocessing

    import baselines.core.sweep as module

    def interrupted(pipes: Any) -> Iterator[Any]:
        assert len(multiprocessing.active_children()) == 2
        raise KeyboardInterrupt

    monkeypatch.setattr(module, "attempt_quietly", sleeps)
    monkeypatch.setattr(module, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        run_sweep(sweep, 2)
    assert multiprocessing.active_children() == []


class Letters:
    """One token a letter."""

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return [ord(letter) for letter in text]


@pytest.mark.parametrize(("context", "expected"), [(None, 2 + 6), (1, 2 + 3)])
def test_prompt_tokens_are_what_the_agent_saw_before_each_utterance(
    context: int | None, expected: int
) -> None:
    # said: 2, (1), 3, (1) tokens; the second prompt is 2 + 1 + 3 of them, or the newest 3
    turns = (Turn("ab", False), Turn("x", True), Turn("cde", False), Turn("y", True))
    game = Trajectory("toy", {}, turns, True, False)
    assert prompt_tokens(game, Encoder(Letters(), context)) == expected  # type: ignore[arg-type]
