"""Several processes that `accelerate launch` starts learn what one would."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import torch

from baselines import ppo
from baselines.core.fit import fit
from baselines.core.model import Base
from baselines.core.processes import Processes, processes
from baselines.testing import example_games, small_config, started

KINDS = ("bc", "ilql", "ppo", "filtered_bc")
"""Two that learn from the dataset and two that play, one of which looks at its weights."""

TRAININGS = dedent(
    """
    import sys
    from dataclasses import replace
    from pathlib import Path
    import torch
    from baselines.core.registry import find_algorithm
    from baselines.core.run import Training, train
    from baselines.testing import small_config

    torch.set_num_threads(1)
    out, base = Path(sys.argv[1]), sys.argv[2]
    for name in sys.argv[3:]:
        games = 5 if name in ("ppo", "filtered_bc") else 0
        options = {"fraction": 1.0} if name == "filtered_bc" else {}
        config = small_config(
            find_algorithm(name), rounds=2, steps=3, batch_size=5, games=games, learning_rate=1e-3, **options
        )
        start = None if name == "bc" else out / "bc"
        training = Training(
            "lmrlgym/Maze-v0", out / name, {"max_moves": 4}, data="maze/mixed-v0", base=base, start=start,
            device="cpu", repeats=1, episodes=3, validate_every=1, validation_games=3,
        )
        train(name, training, config)
    """
)


def test_one_process_shares_with_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LOCAL_RANK", raising=False)
    alone, value = processes(), torch.tensor([2.0])
    assert alone == Processes()
    assert alone.is_first
    assert alone.all(alone.own([3, 1, 2])) == [3, 1, 2]
    alone.add_up([value])
    alone.wait()
    assert value.item() == 2.0


def test_every_item_belongs_to_one_process() -> None:
    # 5 items for 3 processes: 0 and 3, 1 and 4, 2
    assert [Processes(number, 3).own([0, 1, 2, 3, 4]) for number in range(3)] == [[0, 3], [1, 4], [2]]


@pytest.mark.parametrize("parts", [2, 3, 20])
def test_a_policy_that_has_gone_far_rests_whatever_the_parts(base: Base, parts: int) -> None:
    # The KL of the whole batch decides. The games' own differ: of one it may be above, of another below.
    found = [losses_of_ppo(base, accumulate) for accumulate in (1, parts)]
    assert found[1] == pytest.approx(found[0], abs=1e-4)


def losses_of_ppo(base: Base, accumulate: int) -> list[float]:
    config = small_config(ppo.PPO, rounds=1, steps=3, batch_size=8, accumulate=accumulate, kl_stop=1e-3)
    algorithm, seen = started(ppo.PPO, base, config), list[float]()
    fit(algorithm, lambda number: example_games(), config, lambda step, found: seen.append(found["loss"]))
    return seen


def curves(folder: Path) -> list[dict[str, Any]]:
    """Every number of a log but the times."""
    lines = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    return [
        {
            key: value
            for key, value in line.items()
            if isinstance(value, int | float) and "second" not in key and "memory" not in key
        }
        for line in lines
    ]


def run(command: Sequence[str], arguments: Sequence[str]) -> None:
    root = str(Path(__file__).parents[2])
    env = {**os.environ, "PYTHONPATH": root, "OMP_NUM_THREADS": "1"}
    done = subprocess.run([*command, *arguments], env=env, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.slow
def test_two_processes_have_the_curves_of_one(base_folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "trainings.py"
    script.write_text(TRAININGS)
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--main_process_port", "0"]
    for command, name in (([sys.executable], "one"), (launch, "two")):
        run([*command, str(script)], [str(tmp_path / name), str(base_folder), *KINDS])
    for kind in KINDS:
        one, two = curves(tmp_path / "one" / kind), curves(tmp_path / "two" / kind)
        assert len(one) == len(two)
        for wanted, found in zip(one, two, strict=True):
            assert found == pytest.approx(wanted, abs=1e-4), kind
        games = [tmp_path / name / kind / "evaluation.parquet" for name in ("one", "two")]
        assert games[0].stat().st_size > 0
        assert games[1].stat().st_size > 0
