"""Implicit language Q-learning (arXiv 2206.11871), as used in arXiv 2311.18232, sec. 5.

    y_t   = r_t + gamma ((1 - lambda) V'(h_{t+1}) + lambda y_{t+1})      0 after the game's own end
    L_Q   = E[(Q1(h_t, a_t) - y_t)^2 / 2 + (Q2(h_t, a_t) - y_t)^2 / 2]
    L_V   = E[|tau - 1(u_t < 0)| u_t^2 / 2],   u_t = min(Q1', Q2')(h_t, a_t) - V(h_t)
    L_CQL = E[-log softmax Q1(h_t, .)[a_t] - log softmax Q2(h_t, .)[a_t]]
    L     = L_Q + L_V + eta L_CQL

    acting: softmax((log pi_BC + beta min(Q1, Q2)) / temperature)

t counts the agent's tokens, and so do gamma and lambda. The paper's lambda is 0; a larger one carries a
late reward back over many tokens in one step, as the data's player went on to earn it. Dashes mark targets,
which follow slowly (Polyak).

Deviations from the 2023 release: Q and V read one LoRA adapter over the frozen base instead of a
second model. The targets cover that adapter and V's head, not only the heads of Q: with
targets on the heads alone training was seen to swing. Backups are clamped to what the game can pay.
A game's last step is not repeated, so nothing is bootstrapped after the end. No dropout.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics, Said, Values
from baselines.core.model import LM, Caches, Head, States, mix_modules
from baselines.core.tokens import (
    ActionTokens,
    Tokens,
    action_tokens,
    advantages,
    final_states,
    return_bounds,
)
from lmrlgym import Trajectory

VALUE, TARGET = "value", "value_target"


class Losses(NamedTuple):
    """The terms of the loss, each a mean over action tokens."""

    q1: Tensor
    q2: Tensor
    v: Tensor
    cql1: Tensor
    cql2: Tensor

    def total(self, cql_weight: float) -> Tensor:
        """L."""
        return self.q1 + self.q2 + self.v + cql_weight * (self.cql1 + self.cql2)


def expectile(error: Tensor, tau: float) -> Tensor:
    """|tau - 1(error < 0)| * error^2 / 2, elementwise; tau = 0.5 fits the mean, 1 the maximum."""
    weight = torch.where(error < 0, 1 - tau, tau)
    return weight * error.square() / 2


def ilql_losses(q1: Said, q2: Said, v: Tensor, target_q: Tensor, backup: Tensor, tau: float) -> Losses:
    """Q at the tokens said; v, target_q = min(Q1', Q2') at the tokens said and backup = y, all (N,)."""
    backup, target_q = backup.detach(), target_q.detach()
    return Losses(
        q1=(q1.value - backup).square().mean() / 2,
        q2=(q2.value - backup).square().mean() / 2,
        v=expectile(target_q - v, tau).mean(),
        cql1=-q1.log_prob.mean(),
        cql2=-q2.log_prob.mean(),
    )


class ILQL(Algorithm):
    """Implicit language Q-learning."""

    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        """The paper's symbols."""

        learning_rate_end: float = 0.02
        """share of the learning rate left at the end; it falls along a cosine"""
        batch_size: int = 128
        """games a gradient step"""
        rounds: int = 24
        """rounds of training; a run can be resumed after each. Online, every round plays new games"""
        steps: int = 50
        """gradient steps a round"""
        gamma: float = 0.99
        """discount per action token"""
        lam: float = 0.0
        """lambda of the backups, per action token; 0 looks one token ahead, 1 at all that the data earned"""
        tau: float = 0.95
        """expectile of V; 0.5 is the mean, 1 the maximum"""
        cql_weight: float = 0.05
        """eta: how strongly Q is held near the data's tokens"""
        beta: float = 4.0
        """weight of Q against the cloned policy when acting; 0 is behaviour cloning"""
        polyak: float = 0.1
        """share by which the targets move after a gradient step"""
        head_bias: float = 0.0
        """what Q and V say before training"""
        tied_q: bool = False
        """Q is read through the base's output embedding: what it learns of one token holds for like ones"""

    config: Config
    needs_policy = True
    values_of = "best"

    def __init__(self, lm: LM, config: Config, context: int | None) -> None:
        super().__init__(lm, config, context)
        lm.add_adapter(VALUE, config.rank, config.seed + 1)
        lm.add_adapter(TARGET, config.rank, config.seed + 1)
        self.q1, self.q1_target = (self._head(lm.vocabulary, 1) for _ in range(2))
        self.q2, self.q2_target = (self._head(lm.vocabulary, 2) for _ in range(2))
        self.v, self.v_target = (self._head(1, 3) for _ in range(2))
        self.register_buffer("bounds", torch.tensor([-torch.inf, torch.inf]))
        self.bounds: Tensor

    def _head(self, outputs: int, number: int) -> Head:
        seed = 10 * self.config.seed + number
        tied = self.lm.output_embedding if self.config.tied_q and outputs > 1 else None
        return Head(self.lm.width, outputs, self.config.head_bias, seed, tied).to(self.lm.device)

    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
        """The games, and the range of returns that they show to be possible."""
        games = super().prepare(trajectories)
        low, high = return_bounds(games, self.config.gamma)
        self.bounds.copy_(torch.tensor([low, high]))
        return games

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        """L of the module's docstring."""
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, VALUE, s.row, s.at)
        with torch.no_grad():
            target_q, backup = self._targets(batch, s)
        v = self.v(states.distinct).squeeze(-1).index_select(0, states.of)
        q1, q2 = (self.said_by(q, states, s.action) for q in (self.q1, self.q2))
        losses = ilql_losses(q1, q2, v, target_q, backup, self.config.tau)
        metrics = {name: value.item() for name, value in losses._asdict().items()}
        return losses.total(self.config.cql_weight), {**metrics, "v_mean": v.mean().item()}

    def _targets(self, batch: Tokens, s: ActionTokens) -> tuple[Tensor, Tensor]:
        """min(Q1', Q2')(h_t, a_t) and y_t, both (N,)."""
        end_row, end_at = final_states(batch)
        rows, at = torch.cat([s.row, end_row]), torch.cat([s.at, end_at])
        hidden, of = self.lm.states(batch.ids, batch.mask, TARGET, rows, at)
        v, after_last = self.v_target(hidden).squeeze(-1)[of].split([len(s.row), len(end_row)])
        states = States(hidden, of[: len(s.row)])
        q1, q2 = (self.said_by(q, states, s.action).value for q in (self.q1_target, self.q2_target))
        next_v, gamma, lam = s.next(v, after_last * ~batch.terminated), self.config.gamma, self.config.lam
        backup = s.reward + gamma * next_v
        if lam > 0:
            backup = v + advantages(s.reward, v, next_v, s.last, gamma, lam)
        return torch.minimum(q1, q2), backup.clamp(self.bounds[0], self.bounds[1])

    def started(self) -> None:
        """Q and V begin from the cloned policy's adapter."""
        self.lm.copy_adapter(POLICY, VALUE)
        self.lm.copy_adapter(POLICY, TARGET)

    def after_step(self) -> None:
        """Move the targets."""
        share = self.config.polyak
        self.lm.mix_adapter(VALUE, TARGET, share)
        for source, target in (
            (self.q1, self.q1_target),
            (self.q2, self.q2_target),
            (self.v, self.v_target),
        ):
            mix_modules(source, target, share)

    def values(self, batch: Tokens) -> Values:
        """min(Q1, Q2) and V, by the online heads, which act."""
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, VALUE, s.row, s.at)
        q1, q2 = (self.said_by(q, states, s.action).value for q in (self.q1, self.q2))
        return Values(torch.minimum(q1, q2), self.v(states.distinct).squeeze(-1).index_select(0, states.of))

    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        """The cloned policy's log-probabilities plus beta min(Q1, Q2), by the online heads."""
        logits = torch.log_softmax(super().next_logits(ids, mask, caches).float(), dim=-1)
        if self.config.beta == 0:
            return logits
        hidden = self.lm.hidden(ids, mask, VALUE, caches)[:, -1]  # (B, D)
        return logits + self.config.beta * torch.minimum(self.q1(hidden), self.q2(hidden))

    def learned(self) -> dict[str, nn.Parameter]:
        """The value adapter and the online heads; the cloned policy stays as it is."""
        heads = {"q1": self.q1, "q2": self.q2, "v": self.v}
        return {
            **{f"{VALUE}.{key}": value for key, value in self.lm.adapter(VALUE).items()},
            **{f"{name}.{key}": p for name, head in heads.items() for key, p in head.named_parameters()},
        }

    def adapters(self) -> list[str]:
        """The cloned policy, the values and their target."""
        return [POLICY, VALUE, TARGET]
