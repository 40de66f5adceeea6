"""A model behind an OpenAI-compatible endpoint: `http(s)://HOST/v1#MODEL`.

The client of the extra `endpoint` (imported when a model is made) brings the timeouts and the retries.
The key comes from the environment variable OPENAI_API_KEY and from nowhere else.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple
from urllib.parse import urlsplit

KEY_VARIABLE = "OPENAI_API_KEY"
TIMEOUT = 60.0
"""Seconds a request may take."""
RETRIES = 3
"""How often a request that failed for a passing reason is sent again."""
CONNECTIONS = 16
"""How many requests are under way at once."""
_THIS_MACHINE = {"localhost", "127.0.0.1", "::1"}

Messages = Sequence[dict[str, str]]


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


class Answer(NamedTuple):
    """What a model answered; `error` says in one line, without the key, why it did not."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""


class RemoteModel:
    """The chat model at `url`. Raises `ValueError` for a wrong address, `ImportError` without the extra."""

    def __init__(self, url: str, *, timeout: float = TIMEOUT, retries: int = RETRIES) -> None:
        self.address = address(url)
        self._key = os.environ.get(KEY_VARIABLE, "") if self.address.may_have_key else ""
        self._client = _client(self.address.base_url, self._key, timeout, retries)

    def answers(
        self, chats: Sequence[Messages], seeds: Sequence[int], *, temperature: float, max_tokens: int
    ) -> list[Answer]:
        """One answer a chat, all asked at once. The seeds are obeyed by servers that can."""

        def asked(messages: Messages, seed: int) -> Answer:
            return self._answer(messages, seed, temperature, max_tokens)

        with ThreadPoolExecutor(max_workers=CONNECTIONS) as pool:
            return list(pool.map(asked, chats, seeds))

    def _answer(self, messages: Messages, seed: int, temperature: float, max_tokens: int) -> Answer:
        import openai

        try:
            completion = self._client.chat.completions.create(
                model=self.address.model,
                messages=messages,
                temperature=temperature,
                seed=seed,
                **{self._limit_name: max_tokens},
            )
            said = completion.choices[0].message.content or ""
        except (openai.OpenAIError, LookupError, TypeError, AttributeError, ValueError) as error:
            return Answer("", error=self._reason(error))
        used = completion.usage
        return Answer(said, used.prompt_tokens or 0, used.completion_tokens or 0) if used else Answer(said)

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
