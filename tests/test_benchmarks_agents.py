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
from benchmarks import gpu_speed, memory, rollout, table, train
from lmrlgym import Turn

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


def test_a_later_turn_is_held_against_the_first_five_by_the_passes_it_took() -> None:
    # the first turns take a second a pass, turn n > 5 takes n seconds in 10 passes
    costs = [rollout.TurnCost(3.0, 20, 3)] * 5 + [rollout.TurnCost(float(n), 20, 10) for n in range(6, 41)]
    rows = {row.name: row for row in rollout.growth_rows(4, costs)}
    assert rows["rollout/growth/batch4/turn20"] == table.Row(
        "rollout/growth/batch4/turn20", 2.0, "s", 1.0, 2.0, 1.8, 2.2
    )
    assert list(rows) == [f"rollout/growth/batch4/turn{turn}" for turn in (10, 20, 30, 38)]


def test_other_ways_to_talk_answer_every_game(base: Base) -> None:
    made = rollout.agent(base.name)
    histories = [(Turn("Questions:\n", False),), (Turn("Questions:\n", False), Turn("a\n", True))]
    assert 2 <= rollout.Plain(made).said(histories) <= 2 * rollout.LONGEST


@pytest.mark.slow
def test_continuous_batching_answers_every_game() -> None:
    other = rollout.Continuous(rollout.agent(), 2)
    try:
        assert 2 <= other.said([(Turn("Questions:\n", False),)] * 2) <= 2 * rollout.LONGEST
    finally:
        other.close()


def test_the_rows_of_a_gpu_can_be_measured_on_any_device(base: Base) -> None:
    made = rollout.agent(base.name)
    talking = gpu_speed.rollout_row(made, games=3, turns=2, repeats=1)
    learning = gpu_speed.learning_row(made, train.question_games(2), side=64, repeats=1)
    assert (talking.name, learning.name) == ("gpu/rollout", "gpu/train_mfu")
    assert talking.ratio == talking.value / 100_000
    assert learning.ratio == learning.value / learning.baseline > 0


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
