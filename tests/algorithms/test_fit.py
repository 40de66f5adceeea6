"""The training loop: its schedule, its batches, and that it can stop and go on."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch

from baselines import bc, ppo
from baselines.core import fit as fit_module
from baselines.core.algorithm import Algorithm, AlgorithmConfig, Metrics
from baselines.core.fit import Progress, Rounds, fit, new_progress
from baselines.core.model import LM, Base
from baselines.core.tokens import Tokens
from baselines.testing import example_games, small_config
from lmrlgym import Trajectory, Turn


class Counting(bc.BC):
    """Behaviour cloning that remembers its batches and how often it prepared."""

    def __init__(self, lm: LM, config: AlgorithmConfig, context: int | None) -> None:
        super().__init__(lm, config, context)
        self.batches: list[list[str]] = []
        self.preparations = 0

    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
        self.preparations += 1
        return super().prepare(trajectories)

    def loss(self, batch: Tokens) -> Any:
        lengths = (batch.mask > 0).sum(dim=1).tolist()
        self.batches.append(
            [str(self.lm.tokenizer.decode(row[:n])) for row, n in zip(batch.ids, lengths, strict=True)]
        )
        return super().loss(batch)


def trained(
    base: Base,
    kind: type[Counting] = Counting,
    source: Rounds | None = None,
    context: int | None = None,
    **changes: Any,
) -> tuple[Counting, list[tuple[int, Metrics]]]:
    config = small_config(kind, **changes)
    algorithm, log = kind(LM(base), config, context), []
    data = example_games()
    fit(
        algorithm,
        source or (lambda number: data),
        config,
        lambda step, metrics: log.append((step, metrics)),
    )
    return algorithm, log


def texts() -> list[str]:
    return sorted("".join(turn.text for turn in game.turns) for game in example_games())


def test_the_learning_rate_falls_along_a_cosine_to_its_share(base: Base) -> None:
    _, log = trained(base, learning_rate=1.0, learning_rate_end=0.1, rounds=2, steps=2)
    # .1 + .9 (1 + cos(pi k / 4)) / 2 for k = 0, 1, 2, 3
    half = math.sqrt(0.5)
    expected = [1.0, 0.1 + 0.45 * (1 + half), 0.1 + 0.45, 0.1 + 0.45 * (1 - half)]
    assert [metrics["learning_rate"] for _, metrics in log] == pytest.approx(expected)
    assert [step for step, _ in log] == [1, 2, 3, 4]


def test_every_game_comes_once_before_any_comes_again(base: Base) -> None:
    algorithm, _ = trained(base, rounds=1, steps=4, batch_size=4)
    first, second, third, fourth = algorithm.batches
    assert sorted(first + second) == texts()
    assert sorted(third + fourth) == texts()
    assert first + second != third + fourth


def test_a_batch_larger_than_the_data_is_the_data(base: Base) -> None:
    algorithm, _ = trained(base, rounds=1, steps=2, batch_size=100)
    assert [sorted(batch) for batch in algorithm.batches] == [texts(), texts()]


def test_the_order_depends_on_the_seed_and_the_round_alone(base: Base) -> None:
    whole, _ = trained(base, rounds=2, steps=3)
    same, _ = trained(base, rounds=2, steps=3)
    other, _ = trained(base, rounds=2, steps=3, seed=1)
    assert whole.batches == same.batches
    assert whole.batches != other.batches
    assert whole.batches[:3] != whole.batches[3:]
    late, _ = trained(base, rounds=3, steps=3)
    assert late.batches[:6] == whole.batches


def test_a_dataset_is_prepared_once_and_new_games_every_round(base: Base) -> None:
    assert trained(base, rounds=3)[0].preparations == 1
    assert trained(base, source=lambda number: example_games(), rounds=3)[0].preparations == 3


class LooksAtWeights(Counting):
    looks_at_weights = True


def test_an_algorithm_that_looks_at_its_weights_prepares_every_round(base: Base) -> None:
    assert trained(base, LooksAtWeights, rounds=3)[0].preparations == 3
    assert ppo.PPO.looks_at_weights


def test_rounds_come_in_order_and_each_with_the_policy_of_that_moment(base: Base) -> None:
    config = small_config(bc.BC, rounds=3)
    algorithm = bc.BC(LM(base), config, None)
    weight = next(iter(algorithm.learned().values()))
    seen = []

    def played(number: int) -> list[Trajectory]:
        seen.append((number, weight.detach().clone()))
        return example_games()

    fit(algorithm, played, config, lambda step, metrics: None)
    assert [number for number, _ in seen] == [0, 1, 2]
    assert not torch.equal(seen[1][1], seen[2][1])


def test_a_round_without_an_action_is_one_clear_error(base: Base) -> None:
    silent = [Trajectory("a/game-v0", {}, (Turn("hello\n", False),), False, True)]
    with pytest.raises(ValueError, match=r"round 0 holds no action to learn from \(1 games\)"):
        trained(base, source=lambda number: silent)


def test_the_gradient_is_clipped_to_its_norm_or_left_alone(base: Base) -> None:
    for clip, wanted in ((1e-3, 1e-3), (0.0, None)):
        algorithm, log = trained(base, rounds=1, steps=1, clip_norm=clip)
        left = torch.stack([p.grad.norm() for p in algorithm.learned().values() if p.grad is not None]).norm()
        before = log[0][1]["gradient_norm"]
        assert before > 1e-3
        assert left.item() == pytest.approx(before if wanted is None else wanted, rel=1e-3)


def test_learning_lowers_the_loss(base: Base) -> None:
    _, log = trained(base, rounds=1, steps=12, batch_size=8)
    assert log[-1][1]["nll"] < 0.8 * log[0][1]["nll"]


def test_a_sliding_window_is_cut_into_pieces(base: Base) -> None:
    # with context 1 a game of n actions has n windows; in pieces of one each is an item of its own
    whole, _ = trained(base, rounds=1, steps=1, batch_size=100, context=1)
    cut, _ = trained(base, rounds=1, steps=1, batch_size=100, context=1, piece=1)
    assert len(whole.batches[0]) == 8
    assert len(cut.batches[0]) == sum(turn.is_action for game in example_games() for turn in game.turns)


def test_of_later_pieces_a_share_is_learned_from_and_of_first_ones_all(base: Base) -> None:
    kept = {
        share: trained(base, rounds=1, steps=1, batch_size=100, context=1, piece=1, later_pieces=share)[
            0
        ].batches[0]
        for share in (0.0, 0.5, 1.0)
    }
    firsts = {game.turns[0].text for game in example_games()}
    assert len(kept[0.0]) == 8
    assert {text.splitlines(keepends=True)[0] for text in kept[0.0]} == firsts
    assert len(kept[0.0]) < len(kept[0.5]) < len(kept[1.0])
    assert set(kept[0.0]) < set(kept[0.5]) < set(kept[1.0])


class Killed(Exception):
    """Ends a training."""


def state(algorithm: Algorithm) -> dict[str, torch.Tensor]:
    return {name: value.detach().clone() for name, value in algorithm.named_parameters()}


@pytest.mark.parametrize("stop", [1, 2, 3])
def test_progress_handed_on_goes_on_as_if_nothing_had_been(base: Base, stop: int) -> None:
    whole, _ = trained(base, rounds=4)
    config = small_config(Counting, rounds=4)
    algorithm, data = Counting(LM(base), config, None), example_games()
    progress = new_progress(algorithm)

    def kill(progress: Progress) -> None:
        if progress.round == stop:
            raise Killed

    with pytest.raises(Killed):
        fit(algorithm, lambda number: data, config, lambda step, metrics: None, progress, kill)
    assert (progress.round, progress.gradient_steps) == (stop, stop * config.steps)
    fit(algorithm, lambda number: data, config, lambda step, metrics: None, progress)
    assert progress.gradient_steps == 4 * config.steps
    expected = state(whole)
    assert all(torch.equal(value, expected[name]) for name, value in state(algorithm).items())


def test_the_optimiser_s_moments_come_back_by_name(base: Base) -> None:
    config = small_config(bc.BC, rounds=1)
    algorithm, data = bc.BC(LM(base), config, None), example_games()
    progress = fit(algorithm, lambda number: data, config, lambda step, metrics: None)
    stored = fit_module.optimizer_state(progress, algorithm.learned())
    assert {key.rsplit("/", 1)[1] for key in stored} == {"step", "exp_avg", "exp_avg_sq"}
    again = new_progress(algorithm)
    fit_module.restore_optimizer(again, algorithm.learned(), stored)
    found = fit_module.optimizer_state(again, algorithm.learned())
    assert found.keys() == stored.keys()
    assert all(torch.equal(found[key], stored[key]) for key in stored)


def test_a_training_that_is_over_does_nothing_more(base: Base) -> None:
    config = small_config(Counting)
    algorithm = Counting(LM(base), config, None)
    done = replace(new_progress(algorithm), round=config.rounds)
    fit(algorithm, lambda number: example_games(), config, lambda step, metrics: None, done)
    assert algorithm.batches == []


def test_the_tokens_learned_from_are_those_of_the_games_without_their_padding(base: Base) -> None:
    config = small_config(bc.BC, rounds=1, steps=2, batch_size=8)  # all games, twice
    algorithm, data = bc.BC(LM(base), config, None), example_games()
    progress = fit(algorithm, lambda number: data, config, lambda step, metrics: None)
    ids = [algorithm.encoder.turn(turn) for game in data for turn in game.turns]
    assert len(data) == 8
    assert progress.trained_tokens == 2 * sum(map(len, ids))
