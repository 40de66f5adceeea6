"""Implicit language Q-learning: its losses, what it bootstraps from, its targets, how it acts."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from baselines import bc
from baselines.core.algorithm import POLICY, Said
from baselines.core.model import Base, Head
from baselines.core.tokens import Tokens, action_tokens, return_bounds, stack
from baselines.ilql import ILQL, TARGET, VALUE, expectile, ilql_losses
from baselines.testing import CONTEXTS, example_games, prepared, small_config, started, update
from lmrlgym import Trajectory, Turn

IDS, MASK = torch.tensor([[5, 9, 2], [0, 4, 4]]), torch.tensor([[1, 1, 1], [0, 1, 1]])


def algorithm(base: Base, context: int | None = None, **changes: Any) -> ILQL:
    made = started(ILQL, base, small_config(ILQL, **changes), context)
    assert isinstance(made, ILQL)
    return made


@torch.no_grad()
def scatter(made: ILQL) -> None:
    """Give all heads, and the targets, weights that matter."""
    generator = torch.Generator().manual_seed(5)
    heads = (made.q1, made.q2, made.v, made.q1_target, made.q2_target, made.v_target)
    for head in heads:
        for parameter in head.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / 3)
    for weight in made.lm.adapter(TARGET).values():
        weight.copy_(torch.randn(weight.shape, generator=generator) / 4)


@torch.no_grad()
def say(head: Head, value: float) -> None:
    """Let a head say `value` everywhere."""
    head.second.weight.zero_()
    head.second.bias.fill_(value)


def game(*rewards: float, is_cut: bool = False, context: str = "!\n") -> Trajectory:
    """Actions of two sampled tokens each."""
    turns = [turn for r in rewards for turn in (Turn("?\n", False), Turn("ab", True, r, tokens=(4, 5)))]
    return Trajectory("a/game-v0", {}, (*turns, Turn(context, False)), not is_cut, is_cut)


def encoded(made: ILQL, *games: Trajectory) -> Tokens:
    """A batch, without looking at the bounds."""
    return stack([made.encoder.trajectory(each) for each in games])


# ---- the losses ----


def test_the_expectile_weighs_what_is_below_by_1_minus_tau() -> None:
    error = torch.tensor([2.0, -2.0, 0.0])
    # .9 * 4 / 2 and .1 * 4 / 2
    assert expectile(error, 0.9).tolist() == pytest.approx([1.8, 0.2, 0.0])
    assert expectile(error, 0.5).tolist() == pytest.approx([1.0, 1.0, 0.0])


def test_the_minimiser_of_the_expectile_goes_from_the_mean_to_the_maximum() -> None:
    targets = torch.tensor([0.0, 1.0, 5.0])
    grid = torch.linspace(0, 5, 501)
    best = {
        tau: grid[torch.stack([expectile(targets - v, tau).sum() for v in grid]).argmin()].item()
        for tau in (0.5, 0.999)
    }
    assert best[0.5] == pytest.approx(2.0, abs=0.01)
    assert best[0.999] == pytest.approx(5.0, abs=0.05)


def hand_worked(tau: float = 0.9) -> tuple[list[Tensor], list[float]]:
    q1 = Said(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 2.5]))
    q2 = Said(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 3.5]))
    v, target_q, backup = torch.tensor([1.0, 1.0]), torch.tensor([3.0, 0.0]), torch.tensor([2.0, 4.0])
    found = ilql_losses(q1, q2, v, target_q, backup, tau)
    return list(found), [
        (1 + 4) / 2 / 2,  # q1: errors -1 and -2
        (4 + 1) / 2 / 2,  # q2: errors -2 and -1
        (0.9 * 4 + 0.1 * 1) / 2 / 2,  # v: u = 2 and -1
        (1 + 0.5) / 2,  # surprises of q1
        (1 + 0.5) / 2,  # and of q2
    ]


def test_every_term_on_hand_worked_numbers() -> None:
    found, expected = hand_worked()
    assert [term.item() for term in found] == pytest.approx(expected)


def test_the_total_weighs_only_the_surprise() -> None:
    q = Said(torch.tensor([1.0]), torch.tensor([2.0]))
    one = torch.ones(1)
    losses = ilql_losses(q, q, one, 3 * one, 2 * one, 0.5)
    # q: 1 / 2 twice; v: .5 * 4 / 2 = 1; surprise 1 twice
    assert losses.total(0.0).item() == pytest.approx(2.0)
    assert losses.total(0.25).item() == pytest.approx(2.5)


def test_neither_backups_nor_target_values_are_learned_through() -> None:
    q, v, target, backup = (torch.ones(1, requires_grad=True) for _ in range(4))
    said = Said(2 * q, 3 * q)
    ilql_losses(said, said, v, 5 * target, 7 * backup, 0.9).total(1.0).backward()
    assert q.grad is not None
    assert v.grad is not None
    assert target.grad is None
    assert backup.grad is None


@pytest.mark.parametrize("context", CONTEXTS)
def test_the_loss_is_that_of_a_walk_from_token_to_token(base: Base, context: int | None) -> None:
    made = algorithm(base, context, tau=0.8, cql_weight=0.3, gamma=0.9)
    scatter(made)
    games = [made.encoder.trajectory(each) for each in example_games()]
    low, high = return_bounds(games, 0.9)
    made.prepare(example_games())
    terms = [term for tokens in games for term in walked(made, tokens, low, high)]
    loss, _ = made.loss(stack(games))
    assert loss.item() == pytest.approx(torch.stack(terms).mean().item(), rel=1e-4)


@torch.no_grad()
def walked(made: ILQL, tokens: Tokens, low: float, high: float) -> list[Tensor]:
    """The loss of every action token of a game, by the equations and one plain pass."""
    gamma, tau, eta = made.config.gamma, made.config.tau, made.config.cql_weight
    ids, mask = tokens.ids[None], tokens.mask[None]
    online, target = (made.lm.hidden(ids, mask, name)[0] for name in (VALUE, TARGET))
    actions = tokens.is_action.nonzero().flatten().tolist()
    terms = []
    for number, position in enumerate(actions):
        at, said = position - 1, int(tokens.ids[position])
        if number + 1 < len(actions):
            following = made.v_target(target[actions[number + 1] - 1])[0]
        else:
            following = made.v_target(target[-1])[0] * (not tokens.terminated)
        y = (tokens.reward[position] + gamma * following).clamp(low, high)
        u = min(made.q1_target(target[at])[said], made.q2_target(target[at])[said]) - made.v(online[at])[0]
        q1, q2 = made.q1(online[at]), made.q2(online[at])
        cql = -q1.log_softmax(-1)[said] - q2.log_softmax(-1)[said]
        weight = tau if u >= 0 else 1 - tau
        terms.append((q1[said] - y) ** 2 / 2 + (q2[said] - y) ** 2 / 2 + weight * u**2 / 2 + eta * cql)
    return terms


# ---- bootstrapping ----


def q_loss(made: ILQL, batch: Tokens) -> float:
    return made.loss(batch)[1]["q1"]


def test_nothing_is_bootstrapped_after_the_game_s_own_end(base: Base) -> None:
    # Q is 0 and V' is 6 everywhere, gamma 1/2: y = (0 + 3, -1 + 0)
    made = algorithm(base, gamma=0.5)
    say(made.v_target, 6.0)
    assert q_loss(made, encoded(made, game(-1))) == pytest.approx((9 + 1) / 2 / 2)


def test_a_truncated_game_is_bootstrapped_after_its_last_action(base: Base) -> None:
    # y = (0 + 3, -1 + 3)
    made = algorithm(base, gamma=0.5)
    say(made.v_target, 6.0)
    assert q_loss(made, encoded(made, game(-1, is_cut=True))) == pytest.approx((9 + 4) / 2 / 2)


@pytest.mark.parametrize("context", [None, 1, 2])
def test_what_is_seen_after_the_last_action_matters_only_where_the_game_was_cut(
    base: Base, context: int | None
) -> None:
    made = algorithm(base, context)
    scatter(made)
    for is_cut in (True, False):
        one, other = (
            made.loss(encoded(made, game(-1, -1, is_cut=is_cut, context=text)))[0].item()
            for text in ("!\n", "all is lost\n")
        )
        assert (abs(one - other) > 1e-3) == is_cut


def test_a_reward_is_not_counted_twice_nor_the_last_step_repeated(base: Base) -> None:
    # the 2023 release follows the last step by a copy of itself; here y of the last token is its reward
    made = algorithm(base, gamma=1.0)
    say(made.v_target, 0.0)
    batch = encoded(made, game(0, 8))
    assert len(action_tokens(batch).row) == 4
    assert q_loss(made, batch) == pytest.approx(8**2 / 4 / 2)


@pytest.mark.parametrize(("lam", "backups"), [(1.0, [1, 2, 4, 8]), (0.5, [2.75, 3, 4, 8])])
def test_lambda_carries_late_rewards_back(base: Base, lam: float, backups: list[float]) -> None:
    made = algorithm(base, gamma=0.5, lam=lam)
    say(made.v_target, 8.0)  # y of one step: 4, 4, 4, 8
    assert q_loss(made, encoded(made, game(0, 8))) == pytest.approx(sum(y**2 for y in backups) / 4 / 2)


def test_backups_are_clamped_to_what_games_can_pay(base: Base) -> None:
    # data: -1 an action of two tokens, at most two of them: y lies in [-(1 + 1/4), 0] at gamma 1/2
    made = algorithm(base, gamma=0.5)
    (tokens,) = made.prepare([game(-1, -1)])
    assert made.bounds.tolist() == [-1.25, 0.0]
    say(made.v_target, 100.0)
    # the first three y are clamped to 0, the last is -1
    assert q_loss(made, stack([tokens])) == pytest.approx(1 / 4 / 2)
    say(made.v_target, -100.0)
    assert q_loss(made, stack([tokens])) == pytest.approx((3 * 1.25**2 + 1) / 4 / 2)


# ---- targets ----


def test_targets_move_towards_their_sources_by_polyak(base: Base) -> None:
    made = algorithm(base, polyak=0.25)
    scatter(made)
    pairs = [
        *zip(made.lm.adapter(VALUE).values(), made.lm.adapter(TARGET).values(), strict=True),
        *zip(made.q1.parameters(), made.q1_target.parameters(), strict=True),
        *zip(made.q2.parameters(), made.q2_target.parameters(), strict=True),
        *zip(made.v.parameters(), made.v_target.parameters(), strict=True),
    ]
    expected = [(target + 0.25 * (source - target)).detach() for source, target in pairs]
    sources = [source.detach().clone() for source, _ in pairs]
    made.after_step()
    for (source, target), before, wanted in zip(pairs, sources, expected, strict=True):
        assert torch.equal(source, before)
        torch.testing.assert_close(target, wanted)


def test_no_gradient_reaches_the_targets_or_the_cloned_policy(base: Base) -> None:
    made = algorithm(base)
    scatter(made)
    made.loss(prepared(made))[0].backward()
    heads = (made.q1_target, made.q2_target, made.v_target)
    frozen = [*made.lm.adapter(TARGET).values(), *made.lm.adapter(POLICY).values()]
    frozen += [parameter for head in heads for parameter in head.parameters()]
    assert all(parameter.grad is None for parameter in frozen)


def test_values_begin_from_the_cloned_policy_and_targets_where_they_begin(base: Base) -> None:
    made = algorithm(base)
    policy = made.lm.adapter(POLICY)
    for name in (VALUE, TARGET):
        assert all(torch.equal(policy[key], weight) for key, weight in made.lm.adapter(name).items())
    for source, target in ((made.q1, made.q1_target), (made.q2, made.q2_target), (made.v, made.v_target)):
        assert all(torch.equal(a, b) for a, b in zip(source.parameters(), target.parameters(), strict=True))
    assert not torch.equal(made.q1.first.weight, made.q2.first.weight)


# ---- acting ----


def test_beta_0_is_behaviour_cloning_exactly(base: Base) -> None:
    made, cloned = algorithm(base, beta=0.0), started(bc.BC, base, small_config(bc.BC))
    update(made, prepared(made), 2)
    expected = torch.log_softmax(cloned.next_logits(IDS, MASK, {}), dim=-1)
    assert torch.equal(made.next_logits(IDS, MASK, {}), expected)


@torch.no_grad()
def test_it_acts_by_the_cloned_policy_and_the_lower_of_its_online_heads(base: Base) -> None:
    made = algorithm(base, beta=2.0)
    scatter(made)
    cloned = torch.log_softmax(made.lm.read(made.lm.hidden(IDS, MASK, POLICY, {})[:, -1]), dim=-1)
    hidden = made.lm.hidden(IDS, MASK, VALUE, {})[:, -1]
    q1, q2 = made.q1(hidden), made.q2(hidden)
    assert (q1 < q2).any()
    assert (q2 < q1).any()
    lower = torch.where(q1 < q2, q1, q2)
    torch.testing.assert_close(made.next_logits(IDS, MASK, {}), cloned + 2 * lower)


def test_q_prefers_what_earns_more(base: Base) -> None:
    # the same state, then token 4 earns 1 and token 6 earns nothing
    made = algorithm(base, gamma=1.0, cql_weight=0.0)
    talk = [
        Trajectory("a/game-v0", {}, (Turn("?\n", False), Turn("x", True, r, tokens=(token,))), True, False)
        for token, r in ((4, 1.0), (6, 0.0))
    ]
    batch = stack(made.prepare(talk))
    update(made, batch, 60)
    with torch.no_grad():
        q = made.q1(made.lm.hidden(batch.ids, batch.mask, VALUE)[0, action_tokens(batch).at[0]])
    assert q[4].item() == pytest.approx(1.0, abs=0.1)
    assert q[6].item() == pytest.approx(0.0, abs=0.1)
