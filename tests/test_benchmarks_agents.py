"""The speed tables of agents: both sides of a row do the same work."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from baselines.core.fit import new_progress
from baselines.core.model import LM, Base, load_base
from baselines.core.registry import find_algorithm
from baselines.core.tokens import stack
from baselines.testing import example_games, random_base, small_config
from benchmarks import memory, rollout, table, train

RESULTS = Path(__file__).parents[1] / "results"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(random_base(tmp_path_factory.mktemp("base") / "random")))


@pytest.mark.parametrize("context", [None, 1, 3])
@pytest.mark.parametrize("name", ["bc", "ilql"])
def test_the_padded_way_has_the_same_loss_and_gradient(base: Base, name: str, context: int | None) -> None:
    found = []
    for kind in (LM, train.PaddedLM):
        algorithm = find_algorithm(name)(kind(base), small_config(find_algorithm(name)), context)
        algorithm.started()
        loss, _ = algorithm.loss(stack(list(algorithm.prepare(example_games()))))
        new_progress(algorithm).optimizer.zero_grad()
        loss.backward()
        grads = [p.grad for p in algorithm.learned().values() if p.grad is not None]
        found.append((loss.detach(), torch.stack([grad.norm() for grad in grads])))
    torch.testing.assert_close(found[0], found[1], atol=1e-5, rtol=1e-4)


def test_padded_windows_are_all_there_and_equally_wide() -> None:
    ids = torch.tensor([[5, 6, 7, 5, 6], [5, 6, 0, 0, 0]])
    layout = train.padded(ids, torch.tensor([[1, 1, 1, 2, 2], [1, 1, 0, 0, 0]]))
    assert [chunk.ids.tolist() for chunk in layout.chunks] == [[[5, 6, 7], [5, 6, 0], [5, 6, 0]]]
    assert layout.index.tolist() == [[0, 1, 2, 3, 4], [6, 7, 0, 0, 0]]


def test_drawn_games_are_as_long_as_the_published_ones() -> None:
    lengths = [sum(turn.is_action for turn in game.turns) for game in train.question_games(2_000)]
    # a normal distribution with mean 14.9 and deviation 4.38, cut at 20, where it loses less than .4
    assert max(lengths) == 20
    assert sum(lengths) / len(lengths) == pytest.approx(14.7, abs=0.4)


def test_a_rate_is_all_tokens_over_all_seconds() -> None:
    # 30 tokens in 3 seconds
    assert rollout.rate([rollout.TurnCost(1.0, 20), rollout.TurnCost(2.0, 10)]) == 10.0


def test_the_row_of_pairs_holds_the_median_of_their_quotients() -> None:
    # 4/2, 9/3, 4/4
    row = table.row_of("what", "s", [(4.0, 2.0), (9.0, 3.0), (4.0, 4.0)])
    assert row == table.Row("what", 4.0, "s", 3.0, 2.0, 1.0, 3.0)


def test_the_committed_tables_have_the_promised_rows() -> None:
    names = {
        row["name"]
        for file in ("rollout", "train", "memory")
        if (RESULTS / f"{file}.json").exists()
        for row in json.loads((RESULTS / f"{file}.json").read_text())["rows"]
    }
    assert {"rollout/vs_generate", "rollout/turn20_over_turn2"} <= names


@pytest.mark.slow
def test_a_talking_agent_is_faster_than_generate() -> None:
    rows = {row.name: row for row in rollout.table_rows(rollout.agent(), 5)}
    assert rows["rollout/vs_generate"].ratio > 5


@pytest.mark.slow
def test_learning_takes_half_the_memory_of_three_copies() -> None:
    assert memory.rows(["135M"], 1)[0].ratio <= 0.5
