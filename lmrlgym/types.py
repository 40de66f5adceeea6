"""What is said and what is kept: actions, turns, histories and whole games.

`Action` and `Turn` are NamedTuples and not frozen dataclasses because one of each is made at every
step: a frozen dataclass was measured to cost a third of the step rate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, NamedTuple


class Seeds(IntEnum):
    """Where the reserved ranges of game seeds begin, so that no game is met twice in two roles."""

    DATA = 0
    BASE_TEXT = 100_000_000
    ONLINE = 200_000_000
    VALIDATION = 500_000_000
    EVALUATION = 1_000_000_000


class Action(NamedTuple):
    """What a policy says.

    A language model adds the token ids it sampled and their log-probabilities; a scripted policy
    that knows how likely its whole utterance was adds `log_prob`.
    """

    text: str
    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    log_prob: float | None = None


class Turn(NamedTuple):
    """One utterance of a game, by the agent (`is_action`) or by the environment.

    `reward` is what this utterance earned, so it is 0 wherever `is_action` is false. `tokens`,
    `log_probs` and `log_prob` are those of the `Action` as long as its text was kept unchanged.
    """

    text: str
    is_action: bool
    reward: float = 0.0
    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    log_prob: float | None = None


History = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Trajectory:
    """One game from reset to its end, with all that is needed to play it again.

    `env_kwargs`, `options` and `info` hold JSON values only. `seed` is the seed given to `reset`
    (None if the game cannot be replayed). `info` is the last step's info.
    """

    env_id: str
    env_kwargs: Mapping[str, Any]
    turns: History
    terminated: bool
    truncated: bool
    seed: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    info: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rewards(self) -> tuple[float, ...]:
        """The reward of every turn, one number a turn."""
        return tuple(turn.reward for turn in self.turns)

    @property
    def total_reward(self) -> float:
        """The undiscounted return of the game."""
        return float(sum(turn.reward for turn in self.turns))

    def to_json(self) -> str:
        """One line of canonical JSON: sorted keys, no blanks, so that equal games give equal bytes."""
        record = {
            "env_id": self.env_id,
            "env_kwargs": dict(self.env_kwargs),
            "turns": [_turn_to_record(turn) for turn in self.turns],
            "terminated": self.terminated,
            "truncated": self.truncated,
            "seed": self.seed,
            "options": dict(self.options),
            "info": dict(self.info),
        }
        return json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @classmethod
    def from_json(cls, line: str) -> Trajectory:
        """The inverse of `to_json`. Raises `ValueError` naming what is missing or malformed."""
        try:
            record = json.loads(line)
            turns = tuple(_turn_from_record(turn) for turn in record.pop("turns"))
            return cls(turns=turns, **record)
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise ValueError(f"not a trajectory record ({error}): {line[:80]!r}") from error


def _turn_to_record(turn: Turn) -> dict[str, Any]:
    """Only what differs from the defaults, so that scripted games stay small."""
    record: dict[str, Any] = {"text": turn.text, "is_action": turn.is_action}
    if turn.reward:
        record["reward"] = turn.reward
    if turn.tokens:
        record["tokens"] = list(turn.tokens)
    if turn.log_probs:
        record["log_probs"] = list(turn.log_probs)
    if turn.log_prob is not None:
        record["log_prob"] = turn.log_prob
    return record


def _turn_from_record(record: Mapping[str, Any]) -> Turn:
    if not isinstance(record["text"], str) or not isinstance(record["is_action"], bool):
        raise TypeError("a turn has a text and a true or false is_action")
    return Turn(
        text=record["text"],
        is_action=record["is_action"],
        reward=float(record.get("reward", 0.0)),
        tokens=tuple(record.get("tokens", ())),
        log_probs=tuple(record.get("log_probs", ())),
        log_prob=record.get("log_prob"),
    )
