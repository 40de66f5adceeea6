"""A model behind an OpenAI-compatible endpoint as a player: `http(s)://HOST/v1#MODEL`.

The client of the extra `endpoint` (imported when a player is made) brings the timeouts and the
retries. The key comes from the environment variable OPENAI_API_KEY and from nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from numpy.random import Generator

from lmrlgym.chat import to_messages
from lmrlgym.policies.language_model import MAX_TOKENS, Usage, first_line
from lmrlgym.types import Action, History

KEY_VARIABLE = "OPENAI_API_KEY"
TIMEOUT = 60.0
"""Seconds a request may take."""
RETRIES = 3
"""How often a request that failed for a passing reason is sent again."""
CONNECTIONS = 16
"""How many requests are under way at once."""
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}


class Address(NamedTuple):
    """Where an endpoint is and which of its models is meant."""

    base_url: str
    model: str
    may_have_key: bool
    """Whether the key may go there: over https, or to this machine. Never in the clear over a network."""


def address(url: str) -> Address:
    """The parts of `http(s)://HOST/v1#MODEL`. Raises `ValueError` for anything else."""
    wanted = f"an endpoint is http(s)://HOST/v1#MODEL, without a key in it, got {_without_login(url)!r}"
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(wanted) from error
    if parts.scheme not in ("http", "https") or not host or not parts.fragment or "@" in parts.netloc:
        raise ValueError(wanted)
    is_safe = parts.scheme == "https" or host in _THIS_MACHINE
    return Address(parts._replace(fragment="").geturl(), parts.fragment, is_safe)


def _without_login(url: str) -> str:
    scheme, separator, rest = url.partition("://")
    return f"{scheme}{separator}{rest.rpartition('@')[2]}"


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
        self.address = address(url)
        self.instructions = instructions
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.usage = Usage()
        self._key = os.environ.get(KEY_VARIABLE, "") if self.address.may_have_key else ""
        self._client = _client(self.address.base_url, self._key, timeout, retries)

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One line a game; "" for an idle position. All positions are asked at once."""
        playing = [position for position, history in enumerate(histories) if history]
        # Drawn before anything is sent, so that no seed depends on which answer comes first.
        seeds = [int(rngs[position].integers(2**31)) for position in playing]
        actions = [Action("") for _ in histories]
        with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
            replies = list(pool.map(self._reply, [histories[position] for position in playing], seeds))
        for position, (text, usage) in zip(playing, replies, strict=True):
            actions[position] = Action(first_line(text))
            self.usage.prompt_tokens += usage.prompt_tokens
            self.usage.completion_tokens += usage.completion_tokens
        return actions

    def _reply(self, history: History, seed: int) -> tuple[str, Usage]:
        import openai

        try:
            completion = self._client.chat.completions.create(
                model=self.address.model,
                messages=to_messages(history, self.instructions),
                temperature=self.temperature,
                seed=seed,
                **{self._limit_name: self.max_tokens},
            )
            said = completion.choices[0].message.content or ""
        except (openai.OpenAIError, LookupError, TypeError, AttributeError, ValueError) as error:
            raise ConnectionError(self._reason(error)) from error
        used = completion.usage
        return said, Usage(used.prompt_tokens or 0, used.completion_tokens or 0) if used else Usage()

    @property
    def _limit_name(self) -> str:
        """OpenAI renamed the limit; the servers that speak its language did not."""
        return "max_completion_tokens" if "api.openai.com" in self.address.base_url else "max_tokens"

    def _reason(self, error: Exception) -> str:
        """One line that never holds the key."""
        cause = error.__cause__
        reason = f"{type(error).__name__}: {error}" + (f" ({cause})" if cause else "")
        hidden = reason.replace(self._key, "[key]") if self._key else reason
        return f"{self.address.base_url} gave no reply for {self.address.model!r}: {hidden}"


def _client(base_url: str, key: str, timeout: float, retries: int) -> Any:
    try:
        import openai
    except ImportError as error:
        raise ImportError(f"{base_url} needs the extra: pip install 'lmrlgym[endpoint]' ({error})") from error
    # Without a key the client refuses to start, though many servers want none.
    return openai.OpenAI(base_url=base_url, api_key=key or "none", timeout=timeout, max_retries=retries)
