"""Turn-taking, once for all games: a subclass writes only its rules.

A `TextEnv` keeps the history, checks what callers pass, fills `info` and ends games. A
`PartnerEnv` also asks a partner; `lmrlgym.vector` asks it once for many games.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from operator import index
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import gymnasium
import numpy as np
from gymnasium.error import ResetNeeded
from numpy.random import Generator

from lmrlgym.spaces import MAX_LENGTH, TextSpace
from lmrlgym.types import Action, History, Turn

_LOG = logging.getLogger(__name__)


class Response(NamedTuple):
    """What the rules answer to one action.

    `stop_reason` is "" while the game runs; then won, lost, draw, turn_limit or partner_error.
    """

    text: str
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False
    success: bool = False
    action_is_valid: bool = True
    stop_reason: str = ""


class Query(NamedTuple):
    """What a partner is asked: the talk, all it may know and must obey, and the game's randomness."""

    history: History
    state: Any
    rng: Generator


class Reply(NamedTuple):
    """What a partner says. `error` is its reason for saying nothing; the game then ends as truncated."""

    text: str
    prompt_tokens: int = 0
    completion_tokens: int = 0
    error: str = ""


class Partner(Protocol):
    """The other side of a dialogue. It keeps no game state, so that games and copies can share it."""

    def reply(self, queries: Sequence[Query]) -> Sequence[str | Reply]:
        """One reply a query, in order."""
        ...


def visible(history: History, context: int | None) -> History:
    """The last `context` turns (None: all), which is what an agent sees and learns from."""
    return history if context is None else history[max(0, len(history) - context) :]


class TextEnv(gymnasium.Env[str, str]):
    """A text game. Subclasses write `_start` and `_respond` and draw from `self.np_random` only.

    `step` takes a str, or an `Action` whose sampled token ids then stay with the text it said.
    Anything said is legal input and answered by the rules; longer than 16,384 characters is
    nonsense. Stepping after the end raises `gymnasium.error.ResetNeeded`.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["ansi"], "render_fps": 1}  # type: ignore[misc]
    own_options: ClassVar[tuple[str, ...]] = ()
    """Reset options of this game besides `task`."""
    _shared_by_copies: ClassVar[tuple[str, ...]] = ()
    """Attributes that no game changes (tables, a partner): `copy.deepcopy` shares them."""
    context: int | None = None
    """How many turns an agent sees; None is all of them."""
    tasks: int = 1
    """How many hidden instances there are: task 0 to `tasks` - 1."""
    task: int = 0
    """The current hidden instance; -1 if an option chose one outside the list."""
    instructions: str = ""
    """The rules in one paragraph, for a language model. Holds no hidden fact."""

    def __init__(
        self, *, compat: bool = False, privileged: bool = False, render_mode: str | None = None
    ) -> None:
        if render_mode not in (None, "ansi"):
            raise ValueError(f'render_mode must be None or "ansi", got {render_mode!r}')
        self.observation_space = TextSpace()
        self.action_space = TextSpace()
        self.compat = compat
        self.privileged = privileged
        self.render_mode = render_mode
        self._turns: list[Turn] = []
        self._unwritten: list[tuple[str | Action, str, Response]] = []
        self._running = False
        self._turn = 0
        self._not_understood = 0
        self._usage = _NO_USAGE

    # ---- what a subclass writes ----

    def _start(self, options: Mapping[str, Any]) -> str:
        """Draw an instance (obeying `options`), set `self.task`, and return the first observation."""
        raise NotImplementedError

    def _respond(self, action: str) -> Response:
        """The rules: what happens when the agent says `action` (as said, blanks and newline included)."""
        raise NotImplementedError

    def _recorded(self, action: str) -> str:
        """How the history writes `action`, whatever the state of the game: with one newline at its end."""
        if action.endswith("\n"):
            return action if not action.endswith("\n\n") else action.rstrip("\n") + "\n"
        return action + "\n"

    def _secret(self) -> Any:
        """The hidden instance, shown in `info` only to a privileged caller."""
        return None

    def candidates(self) -> tuple[str, ...] | None:
        """All sensible actions now, each as it would be said; None in open language."""
        return None

    def measures(self, history: History) -> dict[str, float]:
        """Name -> number of a finished game of this kind, whose means `lmrlgym eval` also reports."""
        return {}

    def filed_as(self) -> dict[str, Any]:
        """Keywords under which references.json files this game, where that is not as they were given."""
        return {}

    # ---- what a caller uses ----

    @property
    def history(self) -> History:
        """Everything said so far, both sides."""
        # Turns are written down when asked for: a step nobody asks about costs a third less.
        if self._unwritten:
            for action, text, response in self._unwritten:
                self._turns.append(self._action_turn(action, text, response.reward))
                self._turns.append(Turn(response.text, False))
            self._unwritten.clear()
        return tuple(self._turns)

    def reset(
        self, *, seed: int | None = None, options: Mapping[str, Any] | None = None
    ) -> tuple[str, dict[str, Any]]:
        """Start a game. `seed=None` continues the environment's own random stream.

        Options: `task` (0 to `tasks` - 1) and the game's own. Raises `ValueError` for any other.
        """
        options = dict(options) if options else {}
        for name in options:
            if name != "task" and name not in self.own_options:
                known = ", ".join(("task", *self.own_options))
                raise ValueError(f"unknown reset option {name!r}; this game knows: {known}")
        super().reset(seed=None if seed is None else index(seed))
        self._running = False  # stays so if an option is refused: the old game lost its random stream
        self._turn = 0
        self._not_understood = 0
        self._usage = _NO_USAGE
        observation = self._start(options)
        self._turns = [Turn(observation, False)]
        self._unwritten.clear()
        self._running = True
        return observation, self._info(False, True, "")

    def step(self, action: str | Action) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Say `action` and hear the answer: (observation, reward, terminated, truncated, info)."""
        text = self._heard_text(action)
        return self._settle(action, text, self._respond(text))

    def render(self) -> str | None:
        """The conversation so far, if `render_mode` is "ansi"."""
        return "".join(turn.text for turn in self.history) if self.render_mode == "ansi" else None

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        """A copy that goes on identically."""
        copy = self.__class__.__new__(self.__class__)
        memo[id(self)] = copy
        for name in self._shared_by_copies:
            memo[id(self.__dict__[name])] = self.__dict__[name]
        copy.__dict__.update(deepcopy(self.__dict__, memo))
        return copy

    # ---- bookkeeping ----

    def _drawn_task(self, options: Mapping[str, Any]) -> int:
        """The task that `options` asks for, else a uniformly random one."""
        task = options.get("task")
        if task is None:
            return int(self.np_random.integers(self.tasks))
        if isinstance(task, bool) or not isinstance(task, int | np.integer) or not 0 <= task < self.tasks:
            raise ValueError(f"task must be a whole number from 0 to {self.tasks - 1}, got {task!r}")
        return int(task)

    def _heard_text(self, action: str | Action) -> str:
        """The text of `action` as the rules may read it. Raises if the game is over."""
        if not self._running:
            raise ResetNeeded("the game is over (or never began): call reset() before step()")
        text = action.text if type(action) is Action else action
        if type(text) is str and len(text) < MAX_LENGTH and text.isascii():
            return text
        if not isinstance(text, str):
            raise ValueError(f"an action is a str or an Action, got {text!r}")
        text = text.encode("utf-8", "replace").decode("utf-8")
        if len(body := text.removesuffix("\n")) >= MAX_LENGTH:
            # The mark keeps a padded legal move from becoming legal by the cut.
            text = body[: MAX_LENGTH - 2] + "…"
        return text

    def _action_turn(self, action: str | Action, text: str, reward: float) -> Turn:
        recorded = self._recorded(text)
        if type(action) is not Action:
            return Turn(recorded, True, reward)
        if recorded != action.text:
            # A text edited after sampling loses its ids: they would say something else.
            return Turn(recorded, True, reward, (), (), action.log_prob)
        return Turn(recorded, True, reward, action.tokens, action.log_probs, action.log_prob)

    def _settle(
        self, action: str | Action, text: str, response: Response
    ) -> tuple[str, float, bool, bool, dict[str, Any]]:
        """Keep the action and the answer for the history and report them."""
        self._unwritten.append((action, text, response))
        observation, reward, terminated, truncated, success, is_valid, stop_reason = response
        self._turn += 1
        if terminated or truncated:
            self._running = False
        return observation, reward, terminated, truncated, self._info(success, is_valid, stop_reason)

    def _info(self, success: bool, action_is_valid: bool, stop_reason: str) -> dict[str, Any]:
        info = {
            "success": success,
            "action_is_valid": action_is_valid,
            "stop_reason": stop_reason,
            "turn": self._turn,
            "not_understood": self._not_understood,
            "partner_usage": self._usage.copy(),
        }
        if self.privileged:
            info["task"] = self.task
            info["secret"] = self._secret()
        return info


_NO_USAGE = {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}


class PartnerEnv(TextEnv):
    """A game with somebody to talk to. Subclasses write `_ask` and `_heard` instead of `_respond`."""

    _shared_by_copies = ("partner",)

    def __init__(
        self,
        *,
        partner: Partner,
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(compat=compat, privileged=privileged, render_mode=render_mode)
        self.partner = partner

    def _ask(self, action: str) -> Query | Response:
        """What the partner is asked, or the answer itself where the rules need no partner."""
        raise NotImplementedError

    def _heard(self, reply: Reply) -> Response:
        """What follows from the partner's reply."""
        raise NotImplementedError

    def _respond(self, action: str) -> Response:
        asked = self._ask(action)
        return asked if isinstance(asked, Response) else self._answered(replies(self.partner, [asked])[0])

    def _answered(self, reply: Reply) -> Response:
        usage = self._usage
        self._usage = {
            "calls": usage["calls"] + 1,
            "prompt_tokens": usage["prompt_tokens"] + reply.prompt_tokens,
            "completion_tokens": usage["completion_tokens"] + reply.completion_tokens,
        }
        return self._partner_failed(reply.error) if reply.error else self._heard(reply)

    def _partner_failed(self, reason: str) -> Response:
        """What ends the game of a partner that said nothing, or nothing that the rules allow."""
        _LOG.warning("the partner failed: %s", reason)
        return Response("\n", truncated=True, stop_reason="partner_error")


def replies(partner: Partner, queries: Sequence[Query]) -> list[Reply]:
    """The partner's replies; a failing partner fails only the games that make it fail.

    A batch that raises, has the wrong length or holds anything but texts is asked again one query
    at a time, with the random streams as they were, so that no game notices its neighbours.
    """
    streams = [query.rng.bit_generator.state for query in queries] if len(queries) > 1 else []
    try:
        return _checked_replies(partner.reply(queries), len(queries))
    except Exception as error:  # any partner, any failure: it must not end the other games
        if len(queries) == 1:
            return [Reply("", error=f"{type(error).__name__}: {error}")]
    for query, stream in zip(queries, streams, strict=True):
        query.rng.bit_generator.state = stream
    return [replies(partner, [query])[0] for query in queries]


def _checked_replies(said: Sequence[str | Reply], count: int) -> list[Reply]:
    if len(said) != count:
        raise ValueError(f"partner gave {len(said)} replies to {count} queries")
    heard = [reply if isinstance(reply, Reply) else Reply(reply) for reply in said]
    for reply in heard:
        if not isinstance(reply.text, str):
            raise ValueError(f"a reply is a str or a Reply, got {reply.text!r}")
    return heard
