"""Behaviour cloning (arXiv 2311.18232, sec. 5): say what the data says.

    L = -E[log pi(a_t | h_t)]     mean over the action tokens of the batch

Deviation: a LoRA adapter over a frozen base is trained with AdamW, not a whole model with Adafactor.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics, Said
from baselines.core.tokens import Tokens, action_tokens


def bc_loss(logits: Said) -> Tensor:
    """Mean negative log-likelihood of the tokens said."""
    return -logits.log_prob.mean()


class BC(Algorithm):
    """Behaviour cloning."""

    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        """Behaviour cloning needs nothing of its own."""

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        """Cross-entropy of the agent's tokens."""
        s = action_tokens(batch)
        states = self.lm.states(batch.ids, batch.mask, POLICY, s.row, s.at)
        loss = bc_loss(self.said_by(self.lm.read, states, s.action))
        return loss, {"nll": loss.item()}
