"""Your own game in one file: the rules, the environment, its registration, a player and a score.

    python examples/bring_your_own_game.py

The agent finds a hidden number from 1 to `highest` by asking; every answer says higher or lower. From
another package, write the entry points as strings ("my_games.number:NumberEnv") and use the id as
"my_games:my_games/Number-v0"; the command line then plays, collects, trains and evaluates it too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import gymnasium as gym
from numpy.random import Generator

import lmrlgym
from lmrlgym import History, Response, TextEnv, vectorise
from lmrlgym.testing import check_env

ENV_ID = "my_games/Number-v0"
HIGHER, LOWER, FOUND, NONSENSE = "higher\n", "lower\n", "found\n", "a number, please\n"


class NumberEnv(TextEnv):
    """Find a hidden number; every answer says whether it is higher or lower.

    ## Description
    A number from 1 to `highest` is drawn uniformly. The agent sees the whole conversation.

    ## Actions
    A number in digits. Outer blanks and the final newline do not matter; anything else is invalid.

    ## Observations
    First `A number from 1 to 20?`; then `higher`, `lower`, `found` or, after an invalid action, `a
    number, please`, each with a newline at the end.

    ## Rewards
    0 for the hidden number, -1 for anything else.

    ## Episode end
    The game ends (`terminated`) when the number is found (`won`) or with guess number `highest`
    (`turn_limit`).

    ## Info
    The common keys. With `privileged=True`, `task` is the hidden number less one and `secret` the number.

    ## Arguments
    - `highest`: the largest number; 20.
    - reset options: `task`.

    ## Differences from the paper
    None: the paper has no such game.

    ## Versions
    - v0: first version.
    """

    def __init__(self, *, highest: int = 20, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if highest < 1:
            raise ValueError(f"highest must be at least 1, got {highest}")
        self.highest = self.tasks = highest
        self.instructions = f"Find a hidden number from 1 to {highest}. Answer with one number in digits."
        self._guesses = 0

    def _start(self, options: Mapping[str, Any]) -> str:
        self.task = self._drawn_task(options)
        self._guesses = 0
        return f"A number from 1 to {self.highest}?\n"

    def _respond(self, action: str) -> Response:
        self._guesses += 1
        is_last = self._guesses == self.highest
        stop_reason = "turn_limit" if is_last else ""
        guess = action.strip()
        if not (guess.isascii() and guess.isdigit() and len(guess) < 10):
            return Response(
                NONSENSE, -1.0, terminated=is_last, action_is_valid=False, stop_reason=stop_reason
            )
        if int(guess) == self._secret():
            return Response(FOUND, terminated=True, success=True, stop_reason="won")
        text = HIGHER if self._secret() > int(guess) else LOWER
        return Response(text, -1.0, terminated=is_last, stop_reason=stop_reason)

    def _secret(self) -> int:
        return self.task + 1

    def candidates(self) -> tuple[str, ...]:
        """Every number that may be hidden."""
        return tuple(f"{number}\n" for number in range(1, self.highest + 1))


class Halver:
    """Asks for the middle of what is still possible: a `lmrlgym.Policy`."""

    def __init__(self, highest: int = 20) -> None:
        self.highest = highest

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str]:
        """The middle, game by game; a position without a game says nothing."""
        return [self._middle(history) if history else "" for history in histories]

    def _middle(self, history: History) -> str:
        low, high = 1, self.highest
        for asked, answer in zip(history[1::2], history[2::2], strict=True):
            if answer.text == HIGHER:
                low = int(asked.text) + 1
            else:
                high = int(asked.text) - 1
        return f"{(low + high) // 2}\n"


number_vector = vectorise(NumberEnv)
gym.register(ENV_ID, entry_point=f"{__name__}:NumberEnv", vector_entry_point=f"{__name__}:number_vector")


def main() -> None:
    """Check the game against the contract and play every number once."""
    check_env(gym.make(ENV_ID))
    games = lmrlgym.rollout(ENV_ID, Halver(), tasks=range(20), parallel=8)
    summary = lmrlgym.summarise(games)
    print("".join(turn.text for turn in games[0].turns))
    print(f"{summary.episodes} games, success {summary.success:.0%}, mean return {summary.return_mean:.2f}")


if __name__ == "__main__":
    main()
