"""Players of Text-Nav: `random`, `mixed` (the recipe of the paper's data), `expert` and `delayed`.

arXiv 2311.18232 (Text-Nav): its data come from two players, each of which takes the best command in one half
of the rooms and a uniformly random admissible one in the other; .26 of the games were won in 15 commands. The
2023 code names the halves and plays the one with the kitchen in a quarter of the games. `HalfPlayer` does so
in .26 of them: that player wins .9930 of its games and the other .0002, together .2583, and the paper's data
have a mean return of .258. The 2023 code also follows the best commands only now and then (from one in ten
visits to a room), which wins .003.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from lmrlgym.envs.text_nav import PAPER_HOUSE, House, State, admissible, command_in, listed, view
from lmrlgym.solvers.text_nav import TextNavSolver, best_command, solver
from lmrlgym.types import Action, History

NEAR_SHARE = 0.26
"""In what part of its games a `HalfPlayer` knows the near half."""
NEAR_ROOMS = ("Kitchen", "Dining Room", "Living Room", "Bedroom")
"""The near half of the paper's house, in which the thing and its goal are."""
WANTED, DECOY = "stale food", "fresh food"
"""What lies on one table in the paper's house: the thing to be carried, and another one."""
TOUR = (
    "go west", "go west",  # from the living room to the kitchen
    "go west", "go east", "go north", "go south",  # backyard and garden, and back
    "open fridge", "insert {} into fridge", "close fridge",
)  # fmt: skip
"""What a `DelayedPlayer` does with the thing that it took; the last command is the first that may be paid."""


class ListedPlayer:
    """Says one of the admissible commands that the newest observation lists, each equally often."""

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            _said(listed(history[-1].text), None, rng) if history else ""
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def distribution(self, history: History) -> dict[str, float]:
        commands = listed(history[-1].text)
        return {f"{command}\n": 1 / len(commands) for command in commands}


class ExpertPlayer:
    """Plays a shortest game."""

    def __init__(self, solver: TextNavSolver) -> None:
        self.solver = solver

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [Action(self.solver.best(history), log_prob=0.0) if history else "" for history in histories]

    def distribution(self, history: History) -> dict[str, float]:
        return {self.solver.best(history): 1.0}


class HalfPlayer:
    """Knows one half of the rooms, where it takes the best command; elsewhere any admissible one.

    Which half that is is drawn for each game, the near one with probability `near_share`. It is not
    remembered: a command is drawn as likely as it is given those before, which makes the same games and
    tells the log-probability of what is said without knowing the half.
    """

    def __init__(self, solver: TextNavSolver, near_share: float = NEAR_SHARE) -> None:
        if not 0 <= near_share <= 1:
            raise ValueError(f"near_share must be in [0, 1], got {near_share}")
        self.solver = solver
        self.near_share = near_share

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._command(history, rng) if history else ""
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def distribution(self, history: History) -> dict[str, float]:
        commands, probabilities = self._chances(history)
        likely = zip(commands, probabilities.tolist(), strict=True)
        return {f"{command}\n": chance for command, chance in likely if chance > 0}

    def _command(self, history: History, rng: Generator) -> Action:
        return _said(*self._chances(history), rng)

    def _chances(self, history: History) -> tuple[Sequence[str], np.ndarray]:
        house, states = self.solver.game(history)
        near = self._near_knowledge(house, states, history)
        commands = admissible(house, view(house, states[-1]))
        knows = near if is_near(house, states[-1].room) else 1 - near
        probabilities = np.full(len(commands), (1 - knows) / len(commands))
        probabilities[commands.index(best_command(house, states[-1]))] += knows
        return commands, probabilities

    def _near_knowledge(self, house: House, states: Sequence[State], history: History) -> float:
        """How likely it is, given its commands, that it is the near half that it knows."""
        near, far = self.near_share, 1 - self.near_share
        said = [command_in(turn.text) for turn in history if turn.is_action]
        for state, command in zip(states, said, strict=False):
            commands = admissible(house, view(house, state))
            if command not in commands:
                continue  # somebody else's
            knowing = float(command == best_command(house, state))
            near_likes, far_likes = (
                (knowing, 1 / len(commands)) if is_near(house, state.room) else (1 / len(commands), knowing)
            )
            if total := near * near_likes + far * far_likes:
                near, far = near * near_likes / total, far * far_likes / total
        return near


class DelayedPlayer(ListedPlayer):
    """Takes the thing or a decoy from one table, equally often, and does the same with either.

    It walks to the table, where what it takes decides the game, and carries that along `TOUR`: nine commands
    later the right thing pays 1 and the wrong one nothing. With the wrong one it goes on walking, any way
    equally likely, until the turn limit. Where others have played otherwise, it says any admissible command.
    """

    def __init__(self, solver: TextNavSolver) -> None:
        self.solver = solver

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        said = []
        for history, rng in zip(histories, rngs, strict=True):
            commands = self._commands(history) if history else ()
            said.append(_said(commands, None, rng) if commands else "")
        return said

    def distribution(self, history: History) -> dict[str, float]:
        commands = self._commands(history)
        return {f"{command}\n": 1 / len(commands) for command in commands}

    def _commands(self, history: History) -> Sequence[str]:
        """What it may say, each equally likely."""
        house, states = self.solver.game(history)
        commands = admissible(house, view(house, states[-1]))
        said = [command_in(turn.text) for turn in history if turn.is_action]
        choices = [f"take {thing} from table" for thing in (WANTED, DECOY)]
        taken = next((i for i, command in enumerate(said) if command in choices), None)
        if taken is None:
            best = best_command(house, states[-1])
            return choices if best in choices else (best,)
        done = len(said) - taken - 1
        if done < len(TOUR):
            following = TOUR[done].format(WANTED if said[taken] == choices[0] else DECOY)
            return (following,) if following in commands else commands
        return [command for command in commands if command.startswith("go ")] or commands


def is_near(house: House, room: int) -> bool:
    """Whether a room is in the near half; in a generated house, every second one is."""
    return house.rooms[room] in NEAR_ROOMS if house is PAPER_HOUSE else room % 2 == 0


def _said(commands: Sequence[str], probabilities: np.ndarray | None, rng: Generator) -> Action:
    """One of `commands`, drawn; None: each is equally likely."""
    if probabilities is None:
        return Action(f"{commands[int(rng.integers(len(commands)))]}\n", log_prob=-math.log(len(commands)))
    drawn = int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right"))
    drawn = min(drawn, int(np.flatnonzero(probabilities)[-1]))
    return Action(f"{commands[drawn]}\n", log_prob=math.log(probabilities[drawn]))


def _random(
    *,
    rooms: int | None = None,
    objects: int | None = None,
    split: str = "train",
    compat: bool = False,
    privileged: bool = False,
) -> ListedPlayer:
    return ListedPlayer()


def _mixed(
    *,
    rooms: int | None = None,
    objects: int | None = None,
    split: str = "train",
    compat: bool = False,
    privileged: bool = False,
) -> HalfPlayer:
    return HalfPlayer(solver(rooms=rooms, objects=objects, split=split))


def _expert(
    *,
    rooms: int | None = None,
    objects: int | None = None,
    split: str = "train",
    compat: bool = False,
    privileged: bool = False,
) -> ExpertPlayer:
    return ExpertPlayer(solver(rooms=rooms, objects=objects, split=split))


def _delayed(
    *,
    rooms: int | None = None,
    objects: int | None = None,
    split: str = "train",
    compat: bool = False,
    privileged: bool = False,
) -> DelayedPlayer:
    if rooms is not None or objects is not None:
        raise ValueError(f"the tour is one of the paper's house: no rooms or objects, got {rooms}, {objects}")
    return DelayedPlayer(solver())


LEVELS: dict[str, Callable[..., ListedPlayer | HalfPlayer | ExpertPlayer]] = {
    "random": _random,
    "mixed": _mixed,
    "expert": _expert,
    "delayed": _delayed,
}
"""Name -> the environment's keywords -> player."""
