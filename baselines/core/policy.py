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
    `temperature` 0 is greedy. The weights must not change while it plays. Games are computed `width`
    at a time (see `Sampler`): at equal width, a game depends on its seed alone. An agent that
    sees only the newest observation meets the same states again and again, and remembers them.
    """

    def __init__(
        self,
        next_logits: NextLogits,
        encoder: Encoder,
        *,
        max_new_tokens: int,
        temperature: float = 1.0,
        device: torch.device | None = None,
        width: int | None = None,
    ) -> None:
        self.encoder = encoder
        self.sampler = Sampler(
            next_logits,
            encoder.stops,
            max_new_tokens,
            temperature,
            device or torch.device("cpu"),
            width=width,
            remembers=encoder.context == 1,
        )

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One utterance a game; "" for an idle position (history ())."""
        prompts = [self.encoder.prompt(history) for history in histories]
        said = self.sampler.sample(prompts, rngs)
        return [
            self.encoder.said(*sampled) if history else Action("")
            for history, sampled in zip(histories, said, strict=True)
        ]
