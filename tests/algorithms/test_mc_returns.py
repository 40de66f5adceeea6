"""Monte-Carlo returns: what is regressed on, and how it acts."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from baselines import bc
from baselines.core.algorithm import POLICY, Said
from baselines.core.model import Base
from baselines.core.tokens import stack
from baselines.mc_returns import VALUE, MCReturns, mc_loss, mean_reward, with_returns
from baselines.testing import prepared, small_config, started, update
from lmrlgym import Trajectory, Turn

IDS, MASK = torch.tensor([[5, 9, 2], [0, 4, 4]]), torch.tensor([[1, 1, 1], [0, 1, 1]])


def game(*rewards: float, is_cut: bool = False) -> Trajectory:
    """Actions of two sampled tokens each."""
    turns = [turn for r in rewards for turn in (Turn("?\n", False), Turn("ab", True, r, tokens=(4, 5)))]
    return Trajectory("a/game-v0", {}, (*turns, Turn("!\n", False)), not is_cut, is_cut)


def algorithm(base: Base, **changes: Any) -> MCReturns:
    made = started(MCReturns, base, small_config(MCReturns, **changes))
    assert isinstance(made, MCReturns)
    return made


def returns(made: MCReturns, trajectory: Trajectory) -> list[float]:
    (found,) = made.prepare([trajectory])
    return [round(x, 6) for x in found.return_to_go[found.is_action].tolist()]


def test_the_loss_is_half_the_squared_error_and_the_surprise() -> None:
    q = Said(value=torch.tensor([1.0, -1.0]), log_normaliser=torch.tensor([2.0, 1.0]))
    # errors 1 - 3 and -1 - 0: (4 + 1) / 2 / 2 = 1.25;  surprises 1 and 2: 1.5
    loss, regression, cql = mc_loss(q, torch.tensor([3.0, 0.0]), cql_weight=0.1)
    assert [x.item() for x in (loss, regression, cql)] == pytest.approx([1.25 + 0.15, 1.25, 1.5])


def test_returns_are_discounted_once_per_action_token_and_the_last_reward_counts_once(base: Base) -> None:
    # rewards on the second token of each action: 0 -1 0 8, gamma 1/2
    assert returns(algorithm(base, gamma=0.5), game(-1, 8)) == [0.5, 1.0, 4.0, 8.0]


def test_outside_actions_there_is_no_return(base: Base) -> None:
    (found,) = algorithm(base).prepare([game(-1, 8)])
    assert not found.return_to_go[~found.is_action].any()


def test_a_cut_game_goes_on_at_the_mean_reward_a_token(base: Base) -> None:
    # -4 over two tokens is -2 a token; for ever at gamma 1/2: -2 / (1 - 1/2) = -4
    # -4 + .5 * -4 = -6;  0 + .5 * -6 = -3
    assert returns(algorithm(base, gamma=0.5), game(-4, is_cut=True)) == [-3.0, -6.0]
    assert returns(algorithm(base, gamma=0.5, tail=False), game(-4, is_cut=True)) == [-2.0, -4.0]
    assert returns(algorithm(base, gamma=1.0), game(-4, is_cut=True)) == [-4.0, -4.0]


def test_a_game_that_ended_by_itself_is_followed_by_nothing(base: Base) -> None:
    assert returns(algorithm(base, gamma=0.5), game(-4)) == [-2.0, -4.0]


def test_the_mean_reward_is_one_of_action_tokens(base: Base) -> None:
    encode = algorithm(base).encoder.trajectory
    # -1, 8 and -3 over 4 + 2 action tokens
    assert mean_reward([encode(game(-1, 8)), encode(game(-3))]) == pytest.approx(4 / 6)
    assert mean_reward([]) == 0.0


def test_returns_are_joined_to_the_tokens_they_belong_to(base: Base) -> None:
    tokens = algorithm(base).encoder.trajectory(game(-1, 8))
    found = with_returns(tokens, 1.0)
    assert torch.equal(found.ids, tokens.ids)
    assert found.return_to_go[found.is_action].tolist() == [7, 7, 8, 8]


def test_the_loss_of_a_constant_q_is_known(base: Base) -> None:
    # Q is 2 everywhere: a uniform softmax, and errors 2 - R for R = .5, 1, 4, 8
    made = algorithm(base, gamma=0.5, head_bias=2.0, cql_weight=0.0)
    loss, metrics = made.loss(stack(made.prepare([game(-1, 8)])))
    assert loss.item() == pytest.approx((1.5**2 + 1 + 2**2 + 6**2) / 4 / 2)
    assert metrics["cql"] == pytest.approx(torch.log(torch.tensor(float(made.lm.vocabulary))).item())


def test_beta_0_is_behaviour_cloning_exactly(base: Base) -> None:
    made, cloned = algorithm(base, beta=0.0), started(bc.BC, base, small_config(bc.BC))
    update(made, prepared(made), 2)
    expected = torch.log_softmax(cloned.next_logits(IDS, MASK, {}), dim=-1)
    assert torch.equal(made.next_logits(IDS, MASK, {}), expected)


@torch.no_grad()
def test_it_acts_by_the_cloned_policy_and_beta_q(base: Base) -> None:
    made = algorithm(base, beta=3.0)
    update_q(made)
    cloned = torch.log_softmax(made.lm.read(made.lm.hidden(IDS, MASK, POLICY, {})[:, -1]), dim=-1)
    q = made.q(made.lm.hidden(IDS, MASK, VALUE, {})[:, -1])
    assert q.std() > 0.1
    torch.testing.assert_close(made.next_logits(IDS, MASK, {}), cloned + 3 * q)


def update_q(made: MCReturns) -> None:
    """Give Q's head weights that matter."""
    made.q.second.weight.copy_(
        torch.randn(made.q.second.weight.shape, generator=torch.Generator().manual_seed(3))
    )


def test_q_begins_from_the_cloned_policy_and_leaves_it_alone(base: Base) -> None:
    made = algorithm(base)
    policy = {key: weight.detach().clone() for key, weight in made.lm.adapter(POLICY).items()}
    assert all(torch.equal(policy[key], weight) for key, weight in made.lm.adapter(VALUE).items())
    update(made, prepared(made), 2)
    assert all(torch.equal(policy[key], weight) for key, weight in made.lm.adapter(POLICY).items())
    assert not all(torch.equal(policy[key], weight) for key, weight in made.lm.adapter(VALUE).items())


def test_q_comes_to_tell_the_returns_of_its_games(base: Base) -> None:
    made = algorithm(base, gamma=1.0, cql_weight=0.0)
    batch = prepared(made)
    first = made.loss(batch)[1]["regression"]
    update(made, batch, 30)
    assert made.loss(batch)[1]["regression"] < 0.1 * first
