"""A house told in words: find a thing, put it into a container elsewhere and close that.

Rules and replies: arXiv 2311.18232 (Text-Nav) and the engine it plays on, TextWorld. The rules are pure
functions (`text_nav_rules`) of a house (`text_nav_houses`) and a state; the environments only take turns.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from lmrlgym.env import Response, TextEnv
from lmrlgym.envs.text_nav_houses import (
    DIRECTIONS,
    PAPER_HOUSE,
    SPLITS,
    STEPS,
    House,
    Thing,
    distances,
    house_of,
)
from lmrlgym.envs.text_nav_rules import (
    CARRIED,
    EATEN,
    LISTED,
    STYLES,
    State,
    admissible,
    command_in,
    described,
    first_state,
    is_lost,
    is_won,
    listed,
    obey,
    objective,
    opening,
    replayed,
    starts_in,
    step_of,
    view,
)
from lmrlgym.vector import vectorise

__all__ = [
    "CARRIED", "DIRECTIONS", "EATEN", "LISTED", "PAPER_HOUSE", "SPLITS", "STEPS", "House", "State",
    "TextNavEnv", "TextNavPartialEnv", "Thing", "admissible", "command_in", "distances", "first_state",
    "house_of", "is_lost", "is_won", "listed", "obey", "objective", "replayed", "starts_in",
    "text_nav_partial_vector", "text_nav_vector", "view",
]  # fmt: skip
"""The game with its rules: players and solvers read them here."""


class TextNavEnv(TextEnv):
    """Carry a thing through a house, lay it into a container and close that, within 15 commands.

    ## Description
    The house has eight rooms: bedroom, bathroom, office, living room, kitchen, dining room, garden,
    backyard. The stale food on the table in the living room must get into the fridge in the kitchen,
    and the fridge must be closed. The game begins in a room drawn uniformly, with empty hands;
    everything else is always the same, but for the words that describe a room, which are drawn for each
    room and game. The whole conversation is the agent's to see: `context` is None.

    ## Actions
    `go` with `north`, `south`, `east` or `west`; `take THING from TABLE`, `take THING` (from the
    ground, or from whatever shows it); `put THING on TABLE`, `insert THING into CONTAINER`,
    `open CONTAINER`, `close CONTAINER`, `drop THING`, `eat FOOD`; and `look`, `inventory`,
    `examine THING`, which change nothing. A container takes, shows and gives only while open, and stays
    as it was left. Case, repeated blanks and the final newline do not matter. Any other text, and a
    command that cannot be carried out, is refused: it changes nothing and counts.

    ## Observations
    Lines, each with a newline at its end: the reply, or after a way and `look` the description of the
    room (its name, what is in it, its exits); what is carried; and
    `Admissible commands: go east, go south, take bowl from table`, all commands that would change
    something, in alphabetical order. The first observation has the objective before the description
    and does not tell what is carried.

    ## Rewards
    1 for the command that wins, else 0.

    ## Episode end
    The game ends (`terminated`) when the stale food is in the closed fridge (`won`), when it has been
    eaten (`lost`), or with the 15th command (`turn_limit`).

    ## Info
    The common keys; `action_is_valid` is false for a refused command. With `privileged=True`, `task` is the
    number of the room in which the game began and `secret` the name of the room now.

    ## Arguments
    - `rooms` (2 to 20), `objects` (1 to 20): play in generated houses of this size, 8 rooms and 7 objects
      unless told. None, both: the paper's house.
    - `split`: `train` (1,000 generated houses) or `test` (200). No house of one is in the other, even
      with other names. A house has its own objective and start, and can be won in 15 commands; only food can
      be eaten. `task` is the house.
    - `compat`: no difference.
    - reset options: `room`, the name of the room to begin in ("Living Room"), or `task`. In generated
      houses both may be given.

    ## Differences from the paper
    The 2023 release builds a game in the TextWorld engine at every reset. The engine knows more verbs,
    abbreviations and articles, all refused here; rules, replies and admissible commands are its own.
    Descriptions are shorter and ours, and the full game tells the room's name in them. The paper speaks of
    ten rooms, the release has eight. Its objective does not say that the fridge must be closed; here
    `instructions` do. The 15th command ends the game here; there the caller stopped it.

    ## Versions
    - v0: first version.
    """

    own_options = ("room",)
    _shared_by_copies = ("house",)
    instructions = (
        "You are in a house and are told to put a thing into a container. Walk to the thing (go north, go "
        "east, go south, go west), take it, carry it to the container, open the container, insert the thing "
        "into it and close it: only then you have won. Never eat the thing. Each answer ends with a list "
        "of admissible commands; answer with exactly one of them. You have 15 commands."
    )
    _partial: ClassVar[bool] = False

    def __init__(
        self,
        *,
        rooms: int | None = None,
        objects: int | None = None,
        split: str = "train",
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(compat=compat, privileged=privileged, render_mode=render_mode)
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        self.rooms = rooms
        self.objects = objects
        self.split = split
        self.house = house_of(rooms, objects, split, 0)
        self.tasks = len(self.house.rooms) if self._is_papers() else SPLITS[split]
        self._state = first_state(self.house, 0)
        self._styles: list[int] = [0] * len(self.house.rooms)
        self._moves = 1

    def _is_papers(self) -> bool:
        return self.rooms is None and self.objects is None

    def _start(self, options: Mapping[str, Any]) -> str:
        room = options.get("room")
        if self._is_papers():
            if room is not None and options.get("task") is not None:
                raise ValueError("give `room` or `task`, not both")
            self.task = self._drawn_task(options) if room is None else _room_named(room, self.house)
            start = self.task
        else:
            self.task = self._drawn_task(options)
            self.house = house_of(self.rooms, self.objects, self.split, self.task)
            start = (self.house.start or 0) if room is None else _room_named(room, self.house)
        self._styles = self.np_random.integers(STYLES, size=len(self.house.rooms)).tolist()
        self._moves = 1
        self._state, told = opening(self.house, start, self._styles[start], not self._partial)
        return told

    def _described(self, seen: State) -> str:
        return described(self.house, seen, self._styles[seen.room], not self._partial)

    def _respond(self, action: str) -> Response:
        state, seen, text, lines, is_obeyed, takes_time, end = step_of(
            self.house, self._state, command_in(action), not self._partial
        )
        self._state = state
        self._moves += takes_time
        if text is None:
            text = f"{self._described(seen)}\n"
        if end == "won":
            text += f"Your score has just gone up by one point.\n*** The End ***\n{self._score(1)}{lines}"
            return Response(text, 1.0, True, False, True, True, "won")
        if end == "lost":
            self._moves -= 1  # the engine does not count the command that loses
            text += f"*** You lost! ***\n{self._score(0)}{lines}"
            return Response(text, 0.0, True, False, False, True, "lost")
        if self._turn + 1 >= STEPS:
            return Response(text + lines, 0.0, True, False, False, is_obeyed, "turn_limit")
        return Response(text + lines, 0.0, False, False, False, is_obeyed)

    def _score(self, points: int) -> str:
        return f"You scored {points} out of a possible 1, in {self._moves} turns.\n"

    def _secret(self) -> str:
        return self.house.rooms[self._state.room]

    def candidates(self) -> tuple[str, ...]:
        """The admissible commands, as they are said."""
        return tuple(f"{command}\n" for command in admissible(self.house, view(self.house, self._state)))

    def filed_as(self) -> dict[str, Any]:
        """The paper's house is in no split; generated ones are filed by their full size."""
        if self._is_papers():
            return {"split": "train"}
        return {"rooms": len(self.house.rooms), "objects": len(self.house.things)}


class TextNavPartialEnv(TextNavEnv):
    """Text-Nav when neither the room's name nor what is carried is told.

    ## Description
    `lmrlgym/TextNav-v0` with less told. The whole conversation is the agent's to see: `context` is None.

    ## Actions
    As in `lmrlgym/TextNav-v0`; `inventory` tells what is carried.

    ## Observations
    As in `lmrlgym/TextNav-v0`, but descriptions leave out the name of the room, and what is carried is
    not added to every answer.

    ## Rewards
    1 for the command that wins, else 0.

    ## Episode end
    Won, lost, or with the 15th command (`turn_limit`); all are `terminated`.

    ## Info
    The common keys. With `privileged=True`, `task` and `secret` are those of `lmrlgym/TextNav-v0`.

    ## Arguments
    Those of `lmrlgym/TextNav-v0`.

    ## Differences from the paper
    Those of `lmrlgym/TextNav-v0`.

    ## Versions
    - v0: first version.
    """

    _partial = True


def _room_named(name: Any, house: House) -> int:
    names = [room.lower() for room in house.rooms]
    if not isinstance(name, str) or name.lower() not in names:
        raise ValueError(f"room must be one of {', '.join(house.rooms)}, got {name!r}")
    return names.index(name.lower())


text_nav_vector = vectorise(TextNavEnv)
text_nav_partial_vector = vectorise(TextNavPartialEnv)
