"""A language model on this machine as the partner: `partner="hf:MODEL"`."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lmrlgym.env import Query, Reply
from lmrlgym.local_models import LocalModel
from lmrlgym.partners.roles import Role


class LanguageModelPartner:
    """Plays `role` with the model `model` (see `LocalModel`), all games of a call in one batch.

    A model with a chat template is told the role's instructions and gets its prompt as a chat; any other,
    and any that was trained here, goes on from the prompt. Greedy; at a `temperature` above 0 a
    game's answer is drawn from its own stream. An answer is one line.
    """

    def __init__(self, model: str, role: Role, *, temperature: float = 0.0) -> None:
        self.temperature = checked_temperature(temperature)
        self.model = LocalModel(model)
        self.role = role

    def reply(self, queries: Sequence[Query]) -> list[Reply]:
        """One line a query, with the tokens that it cost."""
        written = self.model.write(
            [self._prompt(query) for query in queries],
            [query.rng for query in queries],
            temperature=self.temperature,
            max_tokens=self.role.max_tokens,
        )
        return [Reply(line.text, line.prompt_tokens, line.completion_tokens) for line in written]

    def _prompt(self, query: Query) -> list[int]:
        if self.model.reads_chat:
            return self.model.chat(role_messages(self.role, query))
        return self.model.plain(self.role.prompt(query))


def role_messages(role: Role, query: Query) -> list[dict[str, str]]:
    """The role's instructions and prompt as a chat."""
    return [
        {"role": "system", "content": role.instructions(query)},
        {"role": "user", "content": role.prompt(query)},
    ]


def checked_temperature(temperature: float) -> float:
    """`temperature` if it is one. Raises `ValueError` otherwise."""
    if not (math.isfinite(temperature) and temperature >= 0):
        raise ValueError(f"temperature must be a number from 0, got {temperature}")
    return temperature
