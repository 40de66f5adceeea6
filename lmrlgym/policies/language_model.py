"""A language model from Hugging Face as a player, untrained: `hf:MODEL`.

A model whose tokenizer has a chat template is told the game's instructions and gets the
conversation as chat messages. Any other continues the plain concatenation of what it sees. Needs
torch and transformers (the extra `baselines`), which are imported when a player is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from numpy.random import Generator

from lmrlgym.chat import to_messages
from lmrlgym.local_models import LocalModel, Written
from lmrlgym.types import Action, History

MAX_TOKENS = 128
"""How long an answer may be, unless the caller says otherwise."""


@dataclass
class Usage:
    """What a player has cost so far, in tokens of its own tokenizer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class LanguageModelPolicy:
    """Plays with the Hugging Face model `model` (a name or a folder, loaded from safetensors only).

    `temperature` 0 takes the likeliest token; above 0, tokens are sampled with each game's own
    generator. An utterance ends with its first line and has at most `max_tokens` tokens. Every
    position of a batch is computed, idle ones too, so that the width stays the same during a
    rollout: float32 rows differ between widths. Raises `ValueError` for a model that cannot be
    loaded and `ImportError` without the extra.
    """

    def __init__(
        self, model: str, instructions: str = "", *, temperature: float = 0.0, max_tokens: int = MAX_TOKENS
    ) -> None:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature must be a number from 0, got {temperature}")
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
        self.model = LocalModel(model)
        self.instructions = instructions
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.usage = Usage()

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One line a game; "" for an idle position. An action carries its sampled ids as `Written` says."""
        prompts = [self._prompt(history) if history else [] for history in histories]
        written = self.model.write(prompts, rngs, temperature=self.temperature, max_tokens=self.max_tokens)
        self.usage.prompt_tokens += sum(line.prompt_tokens for line in written)
        self.usage.completion_tokens += sum(line.completion_tokens for line in written)
        return [_action(line) for line in written]

    def _prompt(self, history: History) -> list[int]:
        """The ids of what the model reads."""
        if self.model.reads_chat:
            return self.model.chat(to_messages(history, self.instructions))
        return self.model.plain("".join(turn.text for turn in history))


def _action(line: Written) -> Action:
    if not line.tokens:
        return Action(line.text)
    return Action(line.text, line.tokens, line.log_probs, math.fsum(line.log_probs))
