"""A model behind an OpenAI-compatible endpoint as the partner: `partner="http(s)://HOST/v1#MODEL"`."""

from __future__ import annotations

from collections.abc import Sequence

from lmrlgym.chat import first_line
from lmrlgym.env import Query, Reply
from lmrlgym.partners.language_model import checked_temperature, role_messages
from lmrlgym.partners.roles import Role
from lmrlgym.remote_models import RETRIES, TIMEOUT, RemoteModel


class EndpointPartner:
    """Plays `role` with the chat model at `url`, all games of a call at once.

    Every request carries a seed drawn from its game's stream. A request that fails after `retries`, or
    takes longer than `timeout` seconds each time, fails its own game alone.
    """

    def __init__(
        self,
        url: str,
        role: Role,
        *,
        temperature: float = 0.0,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        self.temperature = checked_temperature(temperature)
        self.model = RemoteModel(url, timeout=timeout, retries=retries)
        self.role = role

    def reply(self, queries: Sequence[Query]) -> list[Reply]:
        """One line a query, with the tokens that the server counted."""
        # Drawn before anything is sent, so that no seed depends on which answer comes first.
        seeds = [int(query.rng.integers(2**31)) for query in queries]
        answers = self.model.answers(
            [role_messages(self.role, query) for query in queries],
            seeds,
            temperature=self.temperature,
            max_tokens=self.role.max_tokens,
        )
        return [
            Reply(first_line(said.text), said.prompt_tokens, said.completion_tokens, said.error)
            for said in answers
        ]
