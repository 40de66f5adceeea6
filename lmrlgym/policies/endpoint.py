"""A model behind an OpenAI-compatible endpoint as a player: `http(s)://HOST/v1#MODEL`."""

from __future__ import annotations

from collections.abc import Sequence

from numpy.random import Generator

from lmrlgym.chat import first_line, to_messages
from lmrlgym.policies.language_model import MAX_TOKENS, Usage
from lmrlgym.remote_models import RETRIES, TIMEOUT, RemoteModel
from lmrlgym.types import Action, History


class EndpointPolicy:
    """Plays with the chat model at `url`, told `instructions` as its system message.

    Every request carries a seed drawn from its game's generator, which servers that can will obey.
    Raises `ValueError` for a wrong address, `ImportError` without the extra, and, in `act`,
    `ConnectionError` where the endpoint refuses a request or still fails after the retries.
    """

    def __init__(
        self,
        url: str,
        instructions: str = "",
        *,
        temperature: float = 0.0,
        max_tokens: int = MAX_TOKENS,
        timeout: float = TIMEOUT,
        retries: int = RETRIES,
    ) -> None:
        self.model = RemoteModel(url, timeout=timeout, retries=retries)
        self.instructions = instructions
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.usage = Usage()

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One line a game; "" for an idle position. All positions are asked at once."""
        playing = [position for position, history in enumerate(histories) if history]
        # Drawn before anything is sent, so that no seed depends on which answer comes first.
        seeds = [int(rngs[position].integers(2**31)) for position in playing]
        answers = self.model.answers(
            [to_messages(histories[position], self.instructions) for position in playing],
            seeds,
            temperature=self.temperature,
            max_tokens=self.max_tokens,
        )
        actions = [Action("") for _ in histories]
        for position, answer in zip(playing, answers, strict=True):
            if answer.error:
                raise ConnectionError(answer.error)
            actions[position] = Action(first_line(answer.text))
            self.usage.prompt_tokens += answer.prompt_tokens
            self.usage.completion_tokens += answer.completion_tokens
        return actions
