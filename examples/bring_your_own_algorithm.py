"""Return-weighted behaviour cloning, your own algorithm in one file: better games count more.

    L   = -E[w log pi(a_t | h_t)]                      mean over the action tokens of the batch
    w   = min(exp((R - mean R) / (T std R)), c)        R: the game's return; mean and std over the data

    python -m examples.bring_your_own_algorithm

trains and scores it; so does the command line, for any module that Python finds
by its dotted path, installed or in the folder you stand in:

    lmrlgym train examples.bring_your_own_algorithm lmrlgym/Maze-v0
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics, said
from baselines.core.run import Training, train
from baselines.core.tokens import Tokens, action_tokens
from baselines.testing import check_algorithm
from lmrlgym import Trajectory


@dataclass(frozen=True)
class WeightedTokens(Tokens):
    """Tokens with the weight of their game."""

    weight: Tensor
    """float32, the same for all tokens of a game"""


def game_weights(returns: Sequence[float], sharpness: float, largest: float) -> np.ndarray:
    """w of each game; 1 for all if all returns are equal."""
    earned = np.array(returns, dtype=np.float64)
    if not len(earned) or earned.std() == 0:
        return np.ones_like(earned)
    exponent = (earned - earned.mean()) / (sharpness * earned.std())
    weights: np.ndarray = np.minimum(np.exp(exponent), largest)
    return weights


class WeightedBC(Algorithm):
    """Behaviour cloning with games weighted by their returns."""

    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        """How much better games count more."""

        sharpness: float = 0.5
        """T: standard deviations of the return that multiply the weight by e; smaller is greedier"""
        largest_weight: float = 20.0
        """c: no game counts more"""

    config: Config

    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[WeightedTokens]:
        """The games with their weights. One in which the agent said nothing teaches nothing."""
        encoded = [(self.encoder.trajectory(game), game.total_reward) for game in trajectories]
        kept = [(tokens, earned) for tokens, earned in encoded if bool(tokens.is_action.any())]
        returns = [earned for _, earned in kept]
        weights = game_weights(returns, self.config.sharpness, self.config.largest_weight)
        return [_weighted(tokens, float(weight)) for (tokens, _), weight in zip(kept, weights, strict=True)]

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        """L of the module's docstring."""
        assert isinstance(batch, WeightedTokens)
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, POLICY, s.row, s.at)
        log_prob = said(self.lm.read(states.distinct), states.of, s.action).log_prob  # (N,)
        weight = batch.weight[s.row, s.at]  # (N,)
        return -(weight * log_prob).mean(), {"nll": -log_prob.mean().item(), "weight": weight.mean().item()}


def _weighted(tokens: Tokens, weight: float) -> WeightedTokens:
    column = torch.full_like(tokens.reward, weight)
    return WeightedTokens(tokens.ids, tokens.mask, tokens.is_action, tokens.reward, tokens.terminated, column)


def main(rounds: int = 10, repeats: int = 8) -> None:
    """Check the algorithm against the contract, train it on the mixed data and score it."""
    check_algorithm(WeightedBC)
    training = Training(
        env="lmrlgym/Maze-v0", data="maze/mixed-v0", out=Path("runs/weighted_bc"), repeats=repeats
    )
    summary = train("examples.bring_your_own_algorithm", training, WeightedBC.Config(rounds=rounds))
    print(summary)


if __name__ == "__main__":
    main()
