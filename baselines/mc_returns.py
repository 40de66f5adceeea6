"""Monte-Carlo returns (arXiv 2311.18232, sec. 5): regress what was earned, act by it.

    R_t = sum_{i >= t} gamma^(i - t) r_i                     i, t count the agent's tokens
    L   = E[(Q(h_t, a_t) - R_t)^2 / 2] + eta E[-log softmax Q(h_t, .)[a_t]]

    acting: softmax((log pi_BC + beta Q) / temperature)

Deviations from the 2023 release: Q reads a LoRA adapter over the frozen base instead of a second
model, and a game's last reward is counted once. A game that was cut before its own end (truncated)
counts as if it went on for ever at the data's mean reward a token: a cut would otherwise look like
success (Maze, where 86 % of the games are cut: legal text and score fell with training).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics, Said, Values
from baselines.core.model import LM, Caches, Head
from baselines.core.tokens import Tokens, action_tokens, returns_to_go
from lmrlgym import Trajectory

VALUE = "value"


@dataclass(frozen=True)
class MCTokens(Tokens):
    """Tokens with what was earned from each action token on."""

    return_to_go: Tensor
    """float32, 0 outside actions"""


def with_returns(tokens: Tokens, gamma: float, after_cut: float = 0.0) -> MCTokens:
    """A game (T,) with its discounted returns to go; `after_cut` is what follows a truncated game."""
    reward = tokens.reward[tokens.is_action]
    last = torch.zeros_like(reward, dtype=torch.bool)
    last[-1:] = True
    tail = torch.full_like(reward, 0.0 if bool(tokens.terminated) else after_cut)
    column = torch.zeros_like(tokens.reward)
    column[tokens.is_action] = returns_to_go(reward, last, gamma, tail)
    return MCTokens(tokens.ids, tokens.mask, tokens.is_action, tokens.reward, tokens.terminated, column)


def mean_reward(games: Sequence[Tokens]) -> float:
    """What an action token earns on average."""
    earned = sum(float(game.reward.sum()) for game in games)
    return earned / max(sum(int(game.is_action.sum()) for game in games), 1)


def mc_loss(q: Said, return_to_go: Tensor, cql_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """(L, its regression term, its CQL term) for Q at the tokens said and return_to_go (N,)."""
    regression = (q.value - return_to_go).square().mean() / 2
    cql = -q.log_prob.mean()
    return regression + cql_weight * cql, regression, cql


class MCReturns(Algorithm):
    """Monte-Carlo returns."""

    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        """The paper's symbols."""

        learning_rate: float = 1e-3
        """AdamW's learning rate at the start"""
        learning_rate_end: float = 0.01
        """share of the learning rate left at the end; it falls along a cosine"""
        batch_size: int = 256
        """games a gradient step"""
        rounds: int = 8
        """rounds of training; a run can be resumed after each. Online, every round plays new games"""
        steps: int = 50
        """gradient steps a round"""
        gamma: float = 0.99
        """discount per action token"""
        cql_weight: float = 0.05
        """eta: how strongly Q is held near the data's tokens"""
        beta: float = 0.5
        """weight of Q against the cloned policy when acting; 0 is behaviour cloning"""
        tail: bool = True
        """a game that was cut counts as if it went on at the data's mean reward; no: as if it ended"""
        head_bias: float = 0.0
        """what Q says before training"""
        tied_q: bool = False
        """Q is read through the base's output embedding: what it learns of one token holds for like ones"""

    config: Config
    needs_policy = True
    values_of = "data"

    def __init__(self, lm: LM, config: Config, context: int | None) -> None:
        super().__init__(lm, config, context)
        lm.add_adapter(VALUE, config.rank, config.seed + 1)
        tied = lm.output_embedding if config.tied_q else None
        self.q = Head(lm.width, lm.vocabulary, config.head_bias, 10 * config.seed + 1, tied).to(lm.device)

    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[MCTokens]:
        """The games with their returns to go."""
        games, gamma = super().prepare(trajectories), self.config.gamma
        after_cut = mean_reward(games) / (1 - gamma) if self.config.tail and gamma < 1 else 0.0
        return [with_returns(tokens, gamma, after_cut) for tokens in games]

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        """L of the module's docstring."""
        assert isinstance(batch, MCTokens)
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, VALUE, s.row, s.at)
        q = self.said_by(self.q, states, s.action)
        returns = batch.return_to_go[s.row, s.at + 1]
        loss, regression, cql = mc_loss(q, returns, self.config.cql_weight)
        return loss, {"regression": regression.item(), "cql": cql.item()}

    def started(self) -> None:
        """Q begins from the cloned policy's adapter."""
        self.lm.copy_adapter(POLICY, VALUE)

    def values(self, batch: Tokens) -> Values:
        """Q; there is no V."""
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, VALUE, s.row, s.at)
        return Values(q=self.said_by(self.q, states, s.action).value)

    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        """The cloned policy's log-probabilities plus beta Q."""
        logits = torch.log_softmax(super().next_logits(ids, mask, caches).float(), dim=-1)
        if self.config.beta == 0:
            return logits
        hidden = self.lm.hidden(ids, mask, VALUE, caches)[:, -1]  # (B, D)
        q: Tensor = self.q(hidden)
        return logits + self.config.beta * q

    def learned(self) -> dict[str, nn.Parameter]:
        """The value adapter and Q's head; the cloned policy stays as it is."""
        return {
            **{f"{VALUE}.{key}": value for key, value in self.lm.adapter(VALUE).items()},
            **{f"q.{key}": value for key, value in self.q.named_parameters()},
        }

    def adapters(self) -> list[str]:
        """The cloned policy and the values."""
        return [POLICY, VALUE]
