"""Training as a command: what a run folder holds, stopping and going on, and what is refused."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import dedent
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from baselines import bc
from baselines.core.algorithm import AlgorithmConfig, Metrics
from baselines.core.model import BASE_FILE
from baselines.core.registry import algorithm_names, find_algorithm
from baselines.core.run import Run, Training, command, load_algorithm, load_policy, read_run, train
from baselines.core.runlog import Log
from baselines.core.store import HEADS
from baselines.ilql import ILQL
from baselines.testing import small_config
from lmrlgym import Dataset, Seeds, Summary, rollout
from tests.conftest import GUESS

MAZE = "lmrlgym/Maze-v0"
SHORT = {"max_moves": 3}


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Twelve games of the shipped set."""
    return str(Dataset.load("maze/mixed-v0")[:12].save(tmp_path_factory.mktemp("data") / "some.jsonl"))


@pytest.fixture(scope="session")
def policy_run(base_folder: Path, data: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A trained policy to start from."""
    out = tmp_path_factory.mktemp("policy") / "bc"
    asked = Training(env=MAZE, out=out, data=data, base=str(base_folder), device="cpu", repeats=0)
    train("bc", asked, small("bc"))
    return out


@pytest.fixture
def training(base_folder: Path, data: str, policy_run: Path, tmp_path: Path) -> Training:
    """A training without an evaluation, into a folder that is not there yet."""
    return Training(
        env=MAZE,
        out=tmp_path / "run",
        env_kwargs=SHORT,
        data=data,
        base=str(base_folder),
        start=policy_run,
        device="cpu",
        repeats=0,
    )


def small(name: str, **changes: Any) -> AlgorithmConfig:
    return small_config(find_algorithm(name), **changes)


def out(training: Training) -> Path:
    assert training.out is not None
    return training.out


def records(folder: Path, *kinds: str) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [record for record in found if not kinds or record["kind"] in kinds]


# ---- the beta of acting ----


def test_the_beta_that_earns_most_in_validation_games_acts_from_then_on(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    earned = {0.0: -3.0, 2.0: -1.0, 4.0: -2.0}

    def validate(run: Run) -> Summary:
        config = run.algorithm.config
        assert isinstance(config, ILQL.Config)
        mean = earned[config.beta]
        return Summary(3, mean, mean, mean, 0.0, 3.0, 0, 9, 0)

    monkeypatch.setattr(Run, "_validate", validate)
    asked = replace(training, betas=(0.0, 2.0, 4.0))
    train("ilql", asked, small("ilql", beta=8.0))
    tried = records(out(training), "beta")
    assert [(r["beta"], r["return_mean"]) for r in tried] == list(earned.items())
    config = load_algorithm(out(training)).config
    assert isinstance(config, ILQL.Config)
    assert config.beta == 2.0
    assert read_run(out(training)) == ("ilql", asked, small("ilql", beta=8.0))  # what was asked for stays


def test_the_command_of_a_run_can_be_given_again() -> None:
    asked = Training(env=MAZE, betas=(2.0, 4.0))
    assert command("ilql", asked, ILQL.Config()) == f"lmrlgym train ilql {MAZE} --betas 2.0 4.0"


def test_an_agent_without_a_beta_is_not_given_one(training: Training) -> None:
    with pytest.raises(ValueError, match=r"betas \(1.0,\) were given, but bc acts without a beta"):
        train("bc", replace(training, betas=(1.0,)), small("bc"))


# ---- what a run leaves ----


def test_run_json_says_what_was_asked_for_and_reads_back(training: Training) -> None:
    config = small("mc_returns", seed=3, gamma=0.5)
    train("mc_returns", training, config)
    record = json.loads((out(training) / "run.json").read_text())
    assert record["algorithm"] == "mc_returns"
    assert record["config"]["gamma"] == 0.5
    assert record["training"]["env_kwargs"] == SHORT
    assert record["base"] == json.loads((out(training) / BASE_FILE).read_text())
    assert read_run(out(training)) == ("mc_returns", training, config)


def test_files_are_safetensors_and_json_and_nothing_is_left_over(training: Training) -> None:
    train("ilql", training, small("ilql"))
    files = {str(path.relative_to(out(training))) for path in out(training).rglob("*") if path.is_file()}
    board = {name for name in files if name.startswith("tensorboard/")}
    assert board
    agent = {
        f"{folder}{name}"
        for folder in ("", "value/", "value_target/")
        for name in ("adapter_model.safetensors", "adapter_config.json", "base.json", "README.md")
    } | {HEADS}
    state = {"checkpoint/state.json", "checkpoint/optimizer.safetensors"}
    expected = {"run.json", "log.jsonl"} | state | agent | {f"checkpoint/{name}" for name in agent}
    assert {name for name in files - board if not name.endswith("README.md")} == {
        name for name in expected if not name.endswith("README.md")
    }


def test_the_log_holds_steps_validations_and_the_result_with_all_it_must_say(training: Training) -> None:
    config = small("filtered_bc", games=4)
    asked = replace(training, validate_every=1, validation_games=3, repeats=1)
    summary = train("filtered_bc", asked, config)
    assert [(r["kind"], r["gradient_steps"]) for r in records(out(training))] == [
        *(("rollout", 0), ("step", 2), ("validation", 2)),
        *(("rollout", 2), ("step", 4), ("validation", 4), ("result", 4)),
    ]
    step, validation = records(out(training), "step")[0], records(out(training), "validation")[0]
    assert step.keys() == {"kind", "gradient_steps", "loss", "nll", "gradient_norm", "learning_rate"}
    assert validation["episodes"] == 3
    (result,) = records(out(training), "result")
    expected = {
        "task": MAZE,
        "env_kwargs": SHORT,
        "algorithm": "filtered_bc",
        "seed": 0,
        "base": asked.base,
        "batch": 4,
        "learning_rate": 1e-2,
        "gradient_steps": 4,
        "environment_steps": 2 * 4 * 3,  # rounds, games, moves
        "partner_tokens": 0,
        "evaluation_episodes": 25,
    }
    assert {key: result[key] for key in expected} == expected
    for key in ("parameters", "learned_parameters", "agent_tokens", "seconds", "peak_memory_bytes"):
        assert result[key] > 0
    assert summary is not None
    assert result["evaluation_return_mean"] == summary.return_mean
    assert result["evaluation_return_low"] <= summary.return_mean <= result["evaluation_return_high"]


def no_number(word: str) -> None:
    raise AssertionError(f"{word} is not JSON")


def test_the_log_is_strict_json_though_a_game_has_no_references(training: Training, tmp_path: Path) -> None:
    config = small("filtered_bc", games=4, rounds=1)
    asked = replace(training, env=GUESS, env_kwargs={}, data="", repeats=1)
    train("filtered_bc", asked, config)
    lines = (out(training) / "log.jsonl").read_text().splitlines()
    result = json.loads(lines[-1], parse_constant=no_number)
    assert result["kind"] == "result"
    assert result["score_optimal"] is None


def test_online_games_come_from_their_own_seeds_and_none_is_played_twice(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    played: list[tuple[int, int]] = []
    real = Run._play

    def play(self: Run, games: int, seed: int) -> Any:
        played.append((seed, games))
        return real(self, games, seed)

    monkeypatch.setattr(Run, "_play", play)
    asked = replace(training, validate_every=2, validation_games=3)
    train("filtered_bc", asked, small("filtered_bc", games=4, rounds=2, seed=2))
    first = Seeds.ONLINE + 2 * 1_000_000
    assert played == [(first, 4), (first + 4, 4), (Seeds.VALIDATION, 3)]


# ---- the agent that is kept ----


@pytest.mark.parametrize("name", algorithm_names())
def test_a_run_folder_is_a_policy_that_acts_as_the_one_that_was_trained(
    training: Training, name: str
) -> None:
    config = small(name, games=4 if name == "ppo" else 0)
    run = Run(name, training, config, out(training))
    run.start()
    run.fit()
    histories = [game.turns[:1] for game in Dataset.load(training.data)[:5]]

    def said(policy: Any) -> list[Any]:
        return policy.act(histories, [np.random.default_rng(i) for i in range(5)])  # type: ignore[no-any-return]

    assert said(load_policy(out(training))) == said(run.algorithm.policy())


def test_a_loaded_policy_plays_and_takes_another_temperature(policy_run: Path) -> None:
    (game,) = rollout(MAZE, load_policy(policy_run, temperature=0.0), 1, env_kwargs=SHORT)
    (again,) = rollout(MAZE, load_policy(str(policy_run), temperature=0.0), 1, env_kwargs=SHORT)
    assert game == again
    assert load_policy(policy_run).sampler.temperature == 1.0


def test_a_loaded_algorithm_takes_changes_of_its_configuration(training: Training) -> None:
    train("mc_returns", training, small("mc_returns"))
    assert load_algorithm(out(training)).config == small("mc_returns")
    assert load_algorithm(out(training), beta=0.0).config == small("mc_returns", beta=0.0)


def test_training_starts_from_the_given_policy(training: Training, policy_run: Path) -> None:
    run = Run("ilql", training, small("ilql"), out(training))
    run.start()
    stored = load_file(policy_run / "adapter_model.safetensors")
    for name in ("policy", "value", "value_target"):
        own = run.algorithm.lm.adapter(name)
        assert all(
            torch.equal(own[key.removeprefix("base_model.model.")], value) for key, value in stored.items()
        )


@dataclass(frozen=True)
class ShortCloning(AlgorithmConfig):
    rounds: int = 1
    steps: int = 2
    batch_size: int = 4


def test_an_algorithm_that_needs_a_policy_clones_one_first(
    training: Training, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bc.BC, "Config", ShortCloning)
    train("mc_returns", replace(training, start=None), small("mc_returns", seed=5))
    assert (out(training) / "bc" / "run.json").is_file()
    assert json.loads((out(training) / "bc" / "run.json").read_text())["config"]["seed"] == 5
    one, other = (
        load_file(folder / "adapter_model.safetensors") for folder in (out(training), out(training) / "bc")
    )
    assert all(torch.equal(one[key], other[key]) for key in one)


# ---- stopping and going on ----


class Killed(BaseException):
    """As the keyboard does it."""


@pytest.fixture
def kill_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let training die after so many gradient steps from now on; 0: no more."""

    def set_steps(count: int) -> None:
        done = 0

        def step(self: Log, metrics: Metrics) -> None:
            nonlocal done
            done += 1
            if done == count:
                raise Killed
            self._waiting.append(metrics)

        monkeypatch.setattr(Log, "step", step)

    return set_steps


def interrupted(
    name: str, training: Training, config: AlgorithmConfig, kill_at: Callable[[int], None], steps: int
) -> Training:
    """Train until killed; the training that goes on from there."""
    kill_at(steps)
    with pytest.raises(Killed):
        train(name, training, config)
    kill_at(0)
    return replace(training, resume=True)


TIMES = ("seconds", "used_seconds", "peak_memory_bytes")


def assert_same_run(one: Path, other: Path) -> None:
    """The same agent, bit by bit, and the same log but for the clock."""
    files = {str(path.relative_to(one)) for path in one.rglob("*.safetensors")}
    assert files == {str(path.relative_to(other)) for path in other.rglob("*.safetensors")}
    assert all((one / name).read_bytes() == (other / name).read_bytes() for name in files)
    logs = [[{k: v for k, v in r.items() if k not in TIMES} for r in records(run)] for run in (one, other)]
    assert logs[0] == logs[1]
    assert not list(other.glob("*.partial"))


@pytest.mark.parametrize(
    ("name", "games"),
    [*((name, 0) for name in algorithm_names()), ("ppo", 4), ("filtered_bc", 4)],
)
def test_a_run_killed_in_a_round_and_resumed_is_as_one_that_was_not(
    training: Training, tmp_path: Path, kill_at: Callable[[int], None], name: str, games: int
) -> None:
    config = small(name, games=games, rounds=3)
    asked = replace(training, repeats=1, validate_every=2, validation_games=2)
    train(name, replace(asked, out=tmp_path / "whole"), config)
    resumed = interrupted(name, asked, config, kill_at, steps=4)  # in the second round of three
    train(name, resumed, config)
    assert_same_run(tmp_path / "whole", out(training))


def test_a_run_killed_before_its_first_checkpoint_begins_anew(
    training: Training, tmp_path: Path, kill_at: Callable[[int], None]
) -> None:
    train("bc", replace(training, out=tmp_path / "whole"), small("bc"))
    train("bc", interrupted("bc", training, small("bc"), kill_at, steps=1), small("bc"))
    assert_same_run(tmp_path / "whole", out(training))


def test_a_run_killed_between_two_checkpoints_goes_on_from_the_old_one(
    training: Training, tmp_path: Path, kill_at: Callable[[int], None]
) -> None:
    train("bc", replace(training, out=tmp_path / "whole"), small("bc"))
    resumed = interrupted("bc", training, small("bc"), kill_at, steps=3)
    (out(training) / "checkpoint").rename(out(training) / "checkpoint.old")
    train("bc", resumed, small("bc"))
    assert_same_run(tmp_path / "whole", out(training))


def test_a_run_killed_while_it_wrote_its_log_goes_on(
    training: Training, tmp_path: Path, kill_at: Callable[[int], None]
) -> None:
    train("bc", replace(training, out=tmp_path / "whole"), small("bc"))
    resumed = interrupted("bc", training, small("bc"), kill_at, steps=3)
    with (out(training) / "log.jsonl").open("a") as file:
        file.write('{"kind": "step", "gradient_st')
    train("bc", resumed, small("bc"))
    assert_same_run(tmp_path / "whole", out(training))


def test_a_run_killed_while_it_cloned_its_policy_can_be_asked_for_again(
    training: Training, tmp_path: Path, kill_at: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bc.BC, "Config", ShortCloning)
    asked = replace(training, start=None)
    train("mc_returns", replace(asked, out=tmp_path / "whole"), small("mc_returns"))
    interrupted("mc_returns", asked, small("mc_returns"), kill_at, steps=1)
    train("mc_returns", asked, small("mc_returns"))
    assert_same_run(tmp_path / "whole", out(training))


def test_resuming_a_finished_run_only_scores_it_again(training: Training) -> None:
    asked = replace(training, repeats=1)
    train("bc", asked, small("bc"))
    before = (out(training) / "adapter_model.safetensors").read_bytes()
    train("bc", replace(asked, resume=True), small("bc"))
    assert (out(training) / "adapter_model.safetensors").read_bytes() == before
    assert [r["kind"] for r in records(out(training))] == ["step", "step", "result"]


def test_a_resumed_run_keeps_its_own_configuration(
    training: Training, kill_at: Callable[[int], None]
) -> None:
    resumed = interrupted("bc", training, small("bc"), kill_at, steps=3)
    train("bc", resumed, small("bc", rounds=9))
    assert records(out(training), "step")[-1]["gradient_steps"] == 4


# ---- a user's own algorithm ----


def test_an_algorithm_is_found_by_its_dotted_path_and_trained(
    training: Training, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "my_algorithm.py").write_text(
        dedent(
            '''
            """L = -2 E[log pi]"""
            from dataclasses import dataclass
            from baselines.bc import BC

            class Twice(BC):
                @dataclass(frozen=True)
                class Config(BC.Config):
                    factor: float = 2.0
                    """how much"""

                def loss(self, batch):
                    loss, metrics = super().loss(batch)
                    return self.config.factor * loss, metrics

            class Thrice(Twice):
                pass
            '''
        )
    )
    monkeypatch.syspath_prepend(tmp_path)
    name = "my_package.my_algorithm:Twice"
    train(name, training, small(name, factor=2.0))
    (first, _) = records(out(training), "step")
    assert first["loss"] == pytest.approx(2 * first["nll"])
    assert type(load_algorithm(out(training))).__name__ == "Twice"
    with pytest.raises(ValueError, match="holds 2 algorithms"):
        find_algorithm("my_package.my_algorithm")
    with pytest.raises(ValueError, match="holds 0 algorithms named Once"):
        find_algorithm("my_package.my_algorithm:Once")


def test_a_module_that_fails_to_import_says_so_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my_broken_algorithm.py").write_text("import a_module_that_is_not_there\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="a_module_that_is_not_there"):
        find_algorithm("my_broken_algorithm:Mine")


# ---- what is refused ----


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"base": "/no/such/base"}, "no base model '/no/such/base'"),
        ({"data": "maze/nothing-v9"}, "maze/nothing-v9.*maze/mixed-v0"),
        ({"data": ""}, re.escape("no dataset is shipped for lmrlgym/Maze-v0 with {'max_moves': 3}")),
        ({"dtype": "float99"}, "dtype must be one of float32, bfloat16, float16, auto, got 'float99'"),
        ({"device": "abacus"}, "there is no device 'abacus' here"),
        ({"start": Path("nowhere")}, "nowhere holds no adapter"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_input_is_one_clear_error_and_leaves_nothing_behind(
    training: Training, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as found:
        train("ilql", replace(training, **changes), small("ilql"))
    assert "\n" not in str(found.value)
    assert not out(training).exists()


def test_a_dataset_of_another_environment_is_refused(training: Training) -> None:
    asked = replace(training, env="lmrlgym/MazePartial-v0")
    with pytest.raises(ValueError, match=r"holds games of lmrlgym/Maze-v0, not of lmrlgym/MazePartial-v0"):
        train("bc", asked, small("bc"))
    assert not out(training).exists()


def test_gamma_is_told_per_turn(training: Training) -> None:
    run = Run("mc_returns", training, small("mc_returns", gamma=0.5), out(training))
    # 12 tokens in 2 games of 3 turns each: two tokens a turn, so 0.5 ** 2
    summary = Summary(2, -3.0, -3.0, -3.0, 0.0, 3.0, 0, 12, 0)
    assert run._gamma_per_turn(summary) == 0.25


def test_an_unknown_algorithm_is_refused_and_the_known_ones_are_named(training: Training) -> None:
    for name in ("nothing", "no.such.module"):
        with pytest.raises(ValueError, match=f"no algorithm '{name}'; there are: bc, filtered_bc, ilql"):
            train(name, training, small("bc"))
    with pytest.raises(ValueError, match=r"baselines\.core holds 0 algorithms"):
        train("baselines.core", training, small("bc"))


def test_a_folder_that_holds_a_run_is_not_overwritten(training: Training) -> None:
    train("bc", training, small("bc"))
    before = {path: path.read_bytes() for path in out(training).rglob("*") if path.is_file()}
    with pytest.raises(ValueError, match=re.escape(f"{out(training)} holds a run already: use --resume")):
        train("bc", training, small("bc", seed=1))
    assert before == {path: path.read_bytes() for path in out(training).rglob("*") if path.is_file()}


@pytest.mark.parametrize("text", [None, "", "{", "{}", '{"algorithm": "bc"}', "[]"])
def test_a_folder_without_a_run_cannot_be_resumed_or_loaded(training: Training, text: str | None) -> None:
    out(training).mkdir()
    if text is not None:
        (out(training) / "run.json").write_text(text)
    message = re.escape(f"{out(training)} holds no run")
    with pytest.raises(ValueError, match=message):
        train("bc", replace(training, resume=True), small("bc"))
    with pytest.raises(ValueError, match=message):
        load_policy(out(training))


def test_an_agent_whose_heads_are_another_s_is_refused(training: Training) -> None:
    train("mc_returns", training, small("mc_returns"))
    (out(training) / HEADS).unlink()
    with pytest.raises(
        ValueError, match=re.escape(f"the heads in {out(training)} are not those of MCReturns")
    ):
        load_algorithm(out(training))


def test_an_agent_over_another_base_is_refused(training: Training, policy_run: Path, tmp_path: Path) -> None:
    record = json.loads((policy_run / "run.json").read_text())
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json", "base.json"):
        (moved / name).write_bytes((policy_run / name).read_bytes())
    record["training"]["base"] = "tiny-v1"
    (moved / "run.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"belongs to base .* not to tiny-v1 \([0-9a-f]{12}\)"):
        load_policy(moved)


# ---- the shipped base ----


def test_the_shipped_base_speaks_the_game_after_a_few_steps(training: Training) -> None:
    asked = replace(training, base="tiny-v1", data="maze/mixed-v0", env_kwargs={"max_moves": 8}, start=None)
    train("bc", asked, AlgorithmConfig(rounds=1, steps=5, batch_size=16))
    games = rollout(MAZE, load_policy(out(training)), 12, parallel=12, env_kwargs={"max_moves": 8})
    said = [turn.text for game in games for turn in game.turns if turn.is_action]
    moves = {f"move {way}\n" for way in ("left", "right", "up", "down")}
    assert np.mean([text in moves for text in said]) > 0.9
    assert set(said) >= moves
    assert all(math.isfinite(p) for game in games for turn in game.turns for p in turn.log_probs)
