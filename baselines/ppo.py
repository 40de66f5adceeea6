"""Proximal policy optimisation (arXiv 1707.06347) over tokens, as used in arXiv 2311.18232, sec. 5.

    r'_t  = r_t - kappa (log pi_old - log pi_0)(a_t | h_t)                     pi_0: the starting policy
    d_t   = r'_t + gamma V_old(h_{t+1}) - V_old(h_t)                         0 after the game's own end
    A_t   = sum_i (gamma lambda)^i d_{t+i},   R_t = A_t + V_old(h_t),   A then whitened over the round
    L_pi  = E[max(-A rho, -A clip(rho, 1 - c, 1 + c))],   rho = pi / pi_old
    L_V   = E[max((V - R)^2, (clip(V, V_old - c_V, V_old + c_V) - R)^2) / 2]
    L     = L_pi + w L_V

t counts the agent's tokens, and so do gamma and lambda. The policy learns from the very tokens it
sampled. kappa follows its target if one is given: kappa *= 1 + clip(KL / target - 1, -.2, .2) n / horizon.

Deviations from the 2023 release: dropout is off, so the first ratio is 1. The policy and V are two
LoRA adapters over one frozen base, where the release shares a trunk: the squared errors of V, hundreds
of times larger than L_pi, were seen to ruin a shared adapter. V begins at the mean return of the first
round and learns alone for a few rounds; a round's policy steps end early once the policy has gone far
(`kl_stop`). pi_0 is a frozen copy of the policy's adapter. The KL that steers kappa is
E[exp(-x) - 1 + x] with x = log pi_old - log pi_0; the release has -x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics, Values
from baselines.core.model import LM, Head
from baselines.core.tokens import Tokens, action_tokens, advantages, final_states, returns_to_go, stack
from lmrlgym import Trajectory

INITIAL, VALUE = "initial", "value"


@dataclass(frozen=True)
class PPOTokens(Tokens):
    """Tokens with what the round's first look at them found; float32, 0 outside actions."""

    log_prob: Tensor
    value: Tensor
    advantage: Tensor
    return_to_go: Tensor


class Losses(NamedTuple):
    """The terms of the loss, each a mean over action tokens."""

    policy: Tensor
    value: Tensor


def ppo_losses(
    log_prob: Tensor,
    value: Tensor,
    old: tuple[Tensor, Tensor, Tensor, Tensor],
    clip: float,
    value_clip: float,
) -> Losses:
    """All (N,); `old` is (log_prob, value, advantage, return_to_go) of the round's beginning."""
    old_log_prob, old_value, advantage, return_to_go = old
    ratio = (log_prob - old_log_prob).exp()
    clipped_value = old_value + (value - old_value).clamp(-value_clip, value_clip)
    return Losses(
        policy=torch.maximum(-advantage * ratio, -advantage * ratio.clamp(1 - clip, 1 + clip)).mean(),
        value=torch.maximum((value - return_to_go).square(), (clipped_value - return_to_go).square()).mean()
        / 2,
    )


def whitened(values: Tensor) -> Tensor:
    """Mean 0 and (population) variance 1."""
    return (values - values.mean()) * (values.var(unbiased=False) + 1e-8).rsqrt()


def adapted_kl_weight(weight: float, kl: float, target: float, horizon: float, count: int) -> float:
    """kappa after a round of `count` samples with mean KL `kl` (arXiv 1909.08593, eq. 6)."""
    return weight * (1 + float(np.clip(kl / target - 1, -0.2, 0.2)) * count / horizon)


class PPO(Algorithm):
    """Proximal policy optimisation from a cloned policy."""

    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        """The paper's symbols."""

        learning_rate: float = 1e-3
        """AdamW's learning rate at the start"""
        rounds: int = 24
        """rounds of training; a run can be resumed after each. Online, every round plays new games"""
        steps: int = 16
        """gradient steps a round"""
        batch_size: int = 25
        """games a gradient step"""
        games: int = 100
        """games played a round; 0 learns from the dataset instead"""
        gamma: float = 0.99
        """discount per action token"""
        lam: float = 0.95
        """lambda of the advantage estimate, per action token"""
        clip_norm: float = 0.0
        """largest norm of the gradient; 0 leaves it alone, so that V's errors cannot shrink the policy's"""
        clip: float = 0.2
        """c: how far the ratio may move"""
        value_clip: float = 10.0
        """c_V: how far V may move"""
        value_weight: float = 1.0
        """w"""
        value_rounds: int = 3
        """first rounds in which only V learns: while V knows nothing, far from the goal every move looks
        bad, and the policy would flee to text that is no move"""
        kl_stop: float = 0.03
        """KL a token from the round's beginning past which only V goes on learning; 0: no such end"""
        kl_weight: float = 0.005
        """kappa: the price of leaving the starting policy"""
        kl_target: float = 0.0
        """KL a token that kappa steers to; 0 keeps kappa"""
        kl_horizon: float = 10_000.0
        """how slowly kappa is steered"""

    config: Config
    needs_policy = True
    values_of = "agent"
    looks_at_weights = True

    def __init__(self, lm: LM, config: Config, context: int | None) -> None:
        super().__init__(lm, config, context)
        lm.add_adapter(INITIAL, config.rank, config.seed)
        lm.add_adapter(VALUE, config.rank, config.seed + 1)
        self.v = Head(lm.width, 1, 0.0, 10 * config.seed + 1).to(lm.device)
        self.register_buffer("kl_weight", torch.tensor(config.kl_weight, dtype=torch.float64))
        self.kl_weight: Tensor
        self.register_buffer("rounds_seen", torch.tensor(0))
        self.rounds_seen: Tensor

    def started(self) -> None:
        """pi_0 is the policy training starts from, and V begins from its adapter."""
        self.lm.copy_adapter(POLICY, INITIAL)
        self.lm.copy_adapter(POLICY, VALUE)

    @torch.no_grad()
    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
        """The round's games with old log-probabilities, values, whitened advantages and returns."""
        games = super().prepare(trajectories)
        if not games:
            return []
        if not self.rounds_seen:
            self.v.second.bias.fill_(mean_return(games, self.config.gamma))
        self.rounds_seen += 1
        seen = [self._seen(batch) for batch in _batches(games, self.config.batch_size)]
        whole = whitened(torch.cat([batch.advantage[batch.is_action] for batch, _ in seen]))
        prepared: list[Tokens] = []
        begin = 0
        for batch, _ in seen:
            count = int(batch.is_action.sum())
            batch.advantage[batch.is_action] = whole[begin : begin + count]
            begin += count
            prepared += _unstacked(batch)
        self._steer_kl(float(np.mean([kl for _, kl in seen])), len(games))
        return prepared

    def _seen(self, plain: Tokens) -> tuple[PPOTokens, float]:
        """A batch with its columns, advantages not yet whitened; and its KL a token from pi_0."""
        plain = plain.to(self.lm.device)
        s = action_tokens(plain)
        log_prob, value = self._log_prob_and_value(plain)
        initial = self.lm.states(plain.ids, plain.mask, INITIAL, s.row, s.at)
        log_ratio = log_prob - self.said_by(self.lm.read, initial, s.action).log_prob
        ends, end_of = self.lm.states(plain.ids, plain.mask, VALUE, *final_states(plain))
        after_last = self.v(ends).squeeze(-1)[end_of] * ~plain.terminated
        reward = s.reward - self.kl_weight.float() * log_ratio
        advantage = advantages(
            reward, value, s.next(value, after_last), s.last, self.config.gamma, self.config.lam
        )
        columns = []
        for column in (log_prob, value, advantage, advantage + value):
            columns.append(torch.zeros_like(plain.reward))
            columns[-1][s.row, s.at + 1] = column
        whole = PPOTokens(*(getattr(plain, f.name) for f in fields(Tokens)), *columns)
        # k3 of log(pi_0 / pi): never negative, and its mean is the KL from pi to pi_0.
        return whole, float((torch.expm1(-log_ratio) + log_ratio).mean())

    def _log_prob_and_value(self, batch: Tokens) -> tuple[Tensor, Tensor]:
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, POLICY, s.row, s.at)
        seen, seen_of = self.lm.states(batch.ids, batch.mask, VALUE, s.row, s.at)
        value = self.v(seen).squeeze(-1).index_select(0, seen_of)
        return self.said_by(self.lm.read, states, s.action).log_prob, value

    def _steer_kl(self, kl: float, games: int) -> None:
        target, horizon = self.config.kl_target, self.config.kl_horizon
        if target > 0:
            self.kl_weight.fill_(adapted_kl_weight(float(self.kl_weight), kl, target, horizon, games))

    def values(self, batch: Tokens) -> Values:
        """V; there is no Q."""
        return Values(v=self._log_prob_and_value(batch)[1])

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        """L of the module's docstring."""
        assert isinstance(batch, PPOTokens)
        said = batch.is_action
        log_prob, value = self._log_prob_and_value(batch)
        old = (batch.log_prob[said], batch.value[said], batch.advantage[said], batch.return_to_go[said])
        losses = ppo_losses(log_prob, value, old, self.config.clip, self.config.value_clip)
        log_ratio = (log_prob - old[0]).detach()
        kl = (torch.expm1(log_ratio) - log_ratio).mean()
        policy_learns = self.rounds_seen > self.config.value_rounds
        loss = losses.policy * policy_learns + self.config.value_weight * losses.value
        return loss, {
            "policy": losses.policy.item(),
            "value": losses.value.item(),
            "clipped": ((log_ratio.exp() - 1).abs() > self.config.clip).float().mean().item(),
            "kl_step": kl.item(),
        }

    def before_step(self, metrics: Metrics) -> None:
        """Keep the policy where it is once it has gone far."""
        if 0 < self.config.kl_stop < metrics["kl_step"]:
            for parameter in super().learned().values():
                if parameter.grad is not None:
                    parameter.grad.zero_()

    def learned(self) -> dict[str, nn.Parameter]:
        """The policy and V."""
        return {
            **super().learned(),
            **{f"{VALUE}.{key}": value for key, value in self.lm.adapter(VALUE).items()},
            **{f"v.{key}": value for key, value in self.v.named_parameters()},
        }

    def adapters(self) -> list[str]:
        """The policy, pi_0 and V."""
        return [POLICY, INITIAL, VALUE]


def mean_return(games: Sequence[Tokens], gamma: float) -> float:
    """What is still to be earned, discounted, at an action token on average."""
    reward = torch.cat([game.reward[game.is_action] for game in games])
    lengths = torch.tensor([int(game.is_action.sum()) for game in games])
    last = torch.zeros_like(reward, dtype=torch.bool)
    last[lengths.cumsum(0) - 1] = True
    return float(returns_to_go(reward, last, gamma).mean())


def _batches(games: Sequence[Tokens], size: int) -> list[Tokens]:
    return [stack(games[i : i + size]) for i in range(0, len(games), size)]


def _unstacked(batch: PPOTokens) -> list[Tokens]:
    """The games (T,) of a batch (B, T), without their padding, on the CPU."""
    names = [f.name for f in fields(PPOTokens)]
    columns = {name: getattr(batch, name).cpu() for name in names}
    games: list[Tokens] = []
    for row, length in enumerate((columns["mask"] > 0).sum(dim=1).tolist()):
        cells = {name: c[row] if c.dim() == 1 else c[row, :length] for name, c in columns.items()}
        games.append(PPOTokens(**cells))
    return games
