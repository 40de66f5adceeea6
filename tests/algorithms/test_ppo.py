"""PPO: its losses, advantages and rewards, and what it learns from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.core.algorithm import POLICY
from baselines.core.model import Base
from baselines.core.tokens import action_tokens, advantages, stack
from baselines.ppo import (
    INITIAL,
    PPO,
    PPOTokens,
    adapted_kl_weight,
    ppo_losses,
    whitened,
)
from baselines.testing import CONTEXTS, example_games, small_config, started, update
from lmrlgym import Trajectory, Turn


def algorithm(base: Base, context: int | None = None, **changes: Any) -> PPO:
    made = started(PPO, base, small_config(PPO, **changes), context)
    made.rounds_seen.fill_(1)  # not the first round: V is 0 everywhere and stays so
    assert isinstance(made, PPO)
    return made


def game(*rewards: float, is_cut: bool = False) -> Trajectory:
    """Actions of two sampled tokens each."""
    turns = [turn for r in rewards for turn in (Turn("?\n", False), Turn("ab", True, r, tokens=(4, 5)))]
    return Trajectory("a/game-v0", {}, (*turns, Turn("!\n", False)), not is_cut, is_cut)


def said(made: PPO, *games: Trajectory) -> tuple[PPOTokens, Tensor]:
    """The prepared games as a batch, and where the agent spoke."""
    batch = stack(made.prepare(games))
    assert isinstance(batch, PPOTokens)
    return batch, batch.is_action


def move(made: PPO) -> None:
    """Make the policy differ from pi_0."""
    with torch.no_grad():
        for number, weight in enumerate(made.lm.adapter(POLICY).values()):
            weight.add_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(number)) / 20)


@torch.no_grad()
def log_probs(made: PPO, trajectory: Trajectory, adapter: str) -> list[float]:
    """Of the agent's tokens, read one prefix at a time."""
    found: list[float] = []
    seen: list[int] = []
    for turn in trajectory.turns:
        for token in made.encoder.turn(turn):
            if turn.is_action:
                ids = torch.tensor([seen])
                state = made.lm.hidden(ids, torch.ones_like(ids), adapter)[0, -1]
                found.append(made.lm.read(state).log_softmax(dim=-1)[token].item())
            seen.append(token)
    return found


# ---- losses ----


def losses(log_prob: float, value: float, old: tuple[float, float, float, float]) -> list[float]:
    tensors = tuple(torch.tensor([x]) for x in old)
    assert len(tensors) == 4
    found = ppo_losses(torch.tensor([log_prob]), torch.tensor([value]), tensors, clip=0.2, value_clip=0.5)
    return [term.item() for term in found]


LOG_2 = 0.693147


def test_a_ratio_of_1_costs_the_advantage_and_the_squared_error() -> None:
    # old: log-probability, value, advantage, return
    assert losses(-1.0, 1.0, (-1.0, 1.0, 3.0, 2.0)) == pytest.approx([-3.0, 0.5])


def test_a_good_action_gains_nothing_beyond_the_clip() -> None:
    assert losses(-1 + LOG_2, 1, (-1, 1, 3, 1))[0] == pytest.approx(-3 * 1.2, abs=1e-5)
    # but it loses all that it falls: ratio 1/2
    assert losses(-1 - LOG_2, 1, (-1, 1, 3, 1))[0] == pytest.approx(-3 * 0.5, abs=1e-5)


def test_a_bad_action_costs_all_that_it_rises_and_gains_nothing_beyond_the_clip() -> None:
    assert losses(-1 + LOG_2, 1, (-1, 1, -3, 1))[0] == pytest.approx(3 * 2.0, abs=1e-5)
    assert losses(-1 - LOG_2, 1, (-1, 1, -3, 1))[0] == pytest.approx(3 * 0.8, abs=1e-5)


def test_a_value_that_moved_beyond_its_clip_pays_the_larger_error() -> None:
    # old value 1, clip .5, now 3 with return 3: the clipped value is 1.5, its error 1.5
    assert losses(-1, 3, (-1, 1, 0, 3))[1] == pytest.approx(1.5**2 / 2)
    # with return 1 the error of 3 itself is larger: 2
    assert losses(-1, 3, (-1, 1, 0, 1))[1] == pytest.approx(2**2 / 2)


# ---- advantages ----


def test_advantages_by_hand_and_across_games() -> None:
    reward, value = torch.tensor([0.0, 1.0, 2.0]), torch.tensor([0.5, 0.0, 1.0])
    following, last = torch.tensor([0.0, 4.0, 0.0]), torch.tensor([False, True, True])
    # gamma 1/2, lambda 1/2; d = (0 + 0 - .5, 1 + 2 - 0, 2 - 1) = (-.5, 3, 1); the first adds 3 / 4
    assert advantages(reward, value, following, last, 0.5, 0.5).tolist() == pytest.approx([0.25, 3.0, 1.0])


def test_with_lambda_1_advantages_are_returns_minus_values() -> None:
    generator = torch.Generator().manual_seed(0)
    reward, value = torch.randn(6, generator=generator), torch.randn(6, generator=generator)
    last = torch.tensor([False] * 5 + [True])
    following = torch.cat([value[1:], torch.zeros(1)])
    returns = torch.stack([sum(0.9**k * reward[t + k] for k in range(6 - t)) for t in range(6)])  # type: ignore[misc]
    torch.testing.assert_close(advantages(reward, value, following, last, 0.9, 1.0), returns - value)


def test_with_lambda_0_advantages_are_one_step_errors() -> None:
    reward, value, following = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0]), torch.tensor([5.0, 7.0])
    found = advantages(reward, value, following, torch.tensor([False, True]), 0.5, 0.0)
    assert found.tolist() == pytest.approx([1 + 2.5 - 3, 2 + 3.5 - 5])


def test_whitened_values_have_mean_0_and_population_variance_1() -> None:
    # mean 2, variance (1 + 0 + 1) / 3
    found = whitened(torch.tensor([1.0, 2.0, 3.0]))
    assert found.tolist() == pytest.approx([-(1.5**0.5), 0.0, 1.5**0.5], abs=1e-4)
    assert whitened(torch.tensor([4.0, 4.0])).tolist() == [0.0, 0.0]


# ---- the KL ----


def test_the_price_of_kl_follows_its_target_at_most_a_fifth() -> None:
    # kl / target - 1 = 1, cut to .2; .1 (1 + .2 * 50 / 100)
    assert adapted_kl_weight(0.1, kl=2.0, target=1.0, horizon=100, count=50) == pytest.approx(0.11)
    assert adapted_kl_weight(0.1, kl=0.0, target=1.0, horizon=100, count=50) == pytest.approx(0.09)
    assert adapted_kl_weight(0.1, kl=1.1, target=1.0, horizon=100, count=50) == pytest.approx(0.105)


def moved(made: PPO) -> list[bool]:
    """Which of the policy's weights have a gradient."""
    weights = made.lm.adapter(POLICY).values()
    return [weight.grad is not None and bool(weight.grad.any()) for weight in weights]


def test_v_begins_at_the_mean_return_and_learns_alone_at_first(base: Base) -> None:
    made = started(PPO, base, small_config(PPO, value_rounds=1, gamma=1.0))
    games = example_games()
    # Every game is one window; game of n moves pays -1 a wrong one: the returns to go by hand.
    returns = [sum(g.rewards[i:]) for g in games for i, turn in enumerate(g.turns) if turn.is_action
               for _ in made.encoder.turn(turn)]  # fmt: skip
    batch = stack(list(made.prepare(games)))
    assert float(made.v.second.bias.detach()) == pytest.approx(sum(returns) / len(returns), abs=1e-5)
    loss, _ = made.loss(batch)
    loss.backward()
    assert all(
        not weight.grad.any() for weight in made.lm.adapter(POLICY).values() if weight.grad is not None
    )
    made.prepare(games)
    loss, _ = made.loss(stack(list(made.prepare(games))))
    loss.backward()
    assert any(moved(made))


def test_the_price_changes_once_a_round_if_there_is_a_target_and_only_then(base: Base) -> None:
    for target, expected in ((0.0, 0.1), (1e-6, 0.1 * (1 + 0.2 * 8 / 100))):
        made = algorithm(base, kl_weight=0.1, kl_target=target, kl_horizon=100.0)
        move(made)
        made.prepare(example_games())
        assert float(made.kl_weight) == pytest.approx(expected)


def test_leaving_the_starting_policy_costs_its_log_ratio_at_every_token(base: Base) -> None:
    made = algorithm(base, kl_weight=0.5, gamma=1.0, lam=1.0)
    move(made)
    talk = game(-1, 4)
    batch, is_said = said(made, talk)
    pairs = zip(log_probs(made, talk, POLICY), log_probs(made, talk, INITIAL), strict=True)
    paid = [r - 0.5 * (new - first) for r, (new, first) in zip((0.0, -1.0, 0.0, 4.0), pairs, strict=True)]
    # V is 0: what follows is all that is paid from there on
    expected = [sum(paid[t:]) for t in range(4)]
    assert batch.return_to_go[is_said].tolist() == pytest.approx(expected, abs=1e-4)


def test_a_policy_that_has_not_moved_pays_nothing_for_it(base: Base) -> None:
    made = algorithm(base, kl_weight=100.0, gamma=1.0, lam=1.0)
    batch, is_said = said(made, game(-1, 4))
    assert batch.return_to_go[is_said].tolist() == pytest.approx([3, 3, 4, 4], abs=1e-3)


# ---- a round ----


def test_returns_are_discounted_once_per_action_token(base: Base) -> None:
    made = algorithm(base, kl_weight=0.0, gamma=0.5, lam=1.0)
    batch, is_said = said(made, game(-1, 8))
    # rewards 0 -1 0 8
    assert batch.return_to_go[is_said].tolist() == pytest.approx([0.5, 1.0, 4.0, 8.0], abs=1e-5)


@pytest.mark.parametrize(("is_cut", "after"), [(True, 6.0), (False, 0.0)])
def test_values_are_bootstrapped_at_truncation_only(base: Base, is_cut: bool, after: float) -> None:
    # V is 6 everywhere, lambda 0: R = r + gamma V(next), and gamma is 1/2
    made = algorithm(base, kl_weight=0.0, gamma=0.5, lam=0.0)
    with torch.no_grad():
        made.v.second.bias.fill_(6.0)
    batch, is_said = said(made, game(-1, is_cut=is_cut))
    assert batch.return_to_go[is_said].tolist() == pytest.approx([0 + 3, -1 + after / 2], abs=1e-5)


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_first_ratio_is_1(base: Base, context: int | None) -> None:
    made = algorithm(base, context)
    move(made)
    batch, is_said = said(made, *example_games())
    _, metrics = made.loss(batch)
    assert metrics["clipped"] == 0.0
    assert abs(metrics["kl_step"]) < 1e-6
    # and so the policy's loss is minus the mean of the whitened advantages, 0
    assert abs(metrics["policy"]) < 1e-4
    assert batch.advantage[is_said].mean().item() == pytest.approx(0.0, abs=1e-5)
    assert batch.advantage[is_said].std(unbiased=False).item() == pytest.approx(1.0, abs=1e-4)


def test_old_log_probabilities_are_those_of_the_sampled_tokens(base: Base) -> None:
    made = algorithm(base)
    talk = game(-1, 4)
    batch, is_said = said(made, talk)
    assert batch.ids[is_said].tolist() == [4, 5, 4, 5]
    assert batch.log_prob[is_said].tolist() == pytest.approx(log_probs(made, talk, POLICY), abs=1e-4)


def test_advantages_are_whitened_over_the_round_and_not_the_batch(base: Base) -> None:
    games = example_games()
    together, apart = (algorithm(base, batch_size=size, lam=1.0) for size in (100, 2))
    one, other = (
        torch.cat([tokens.advantage[tokens.is_action] for tokens in made.prepare(games)])  # type: ignore[attr-defined]
        for made in (together, apart)
    )
    torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)


def test_games_come_out_of_a_round_as_they_went_in(base: Base) -> None:
    made = algorithm(base, batch_size=3)
    plain = [made.encoder.trajectory(each) for each in example_games()]
    for found, expected in zip(made.prepare(example_games()), plain, strict=True):
        assert torch.equal(found.ids, expected.ids)
        assert torch.equal(found.is_action, expected.is_action)
        assert torch.equal(found.reward, expected.reward)
        assert torch.equal(found.terminated, expected.terminated)


def test_an_action_that_earned_more_becomes_likelier(base: Base) -> None:
    made = algorithm(base, kl_weight=0.0)
    talk = [
        Trajectory("a/game-v0", {}, (Turn("?\n", False), Turn("x", True, r, tokens=(token,))), True, False)
        for token, r in ((4, 1.0), (6, -1.0))
    ]
    before = [log_probs(made, each, POLICY)[0] for each in talk]
    update(made, said(made, *talk)[0], 3)
    after = [log_probs(made, each, POLICY)[0] for each in talk]
    assert after[0] > before[0]
    assert after[1] < before[1]


def test_the_starting_policy_stays_where_it_was(base: Base) -> None:
    made = algorithm(base)
    before = {key: weight.detach().clone() for key, weight in made.lm.adapter(INITIAL).items()}
    assert all(torch.equal(before[key], weight) for key, weight in made.lm.adapter(POLICY).items())
    batch, _ = said(made, *example_games())
    update(made, batch, 3)
    assert all(torch.equal(before[key], weight) for key, weight in made.lm.adapter(INITIAL).items())
    assert len(action_tokens(batch).row) == int(batch.is_action.sum())
