"""A language model at the table: `LMPolicy` is a `lmrlgym.Policy` over an algorithm's next-token logits."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.random import Generator

from baselines.core.generate import NextLogits, Sampler
from baselines.core.tokens import Encoder
from lmrlgym import Action, History


class LMPolicy:
    """Says what the model samples, up to and with the first newline, and keeps the sampled ids.

    A model may end its utterance with a special token instead (see `Encoder.said`).
    `temperature` 0 is greedy. The weights must not change while it plays.
    """

    def __init__(
        self,
        next_logits: NextLogits,
        encoder: Encoder,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        device: torch.device | None = None,
    ) -> None:
        self.encoder = encoder
        self.sampler = Sampler(
            next_logits,
            encoder.stops,
            max_new_tokens,
            temperature,
            device or torch.device("cpu"),
        )

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One utterance a game; "" for an idle position (history ())."""
        busy = [i for i, history in enumerate(histories) if history]
        prompts = [self.encoder.prompt(histories[i]) for i in busy]
        said = self.sampler.sample(prompts, [rngs[i] for i in busy])
        actions = [Action("") for _ in histories]
        for i, sampled in zip(busy, said, strict=True):
            actions[i] = self.encoder.said(*sampled)
        return actions
