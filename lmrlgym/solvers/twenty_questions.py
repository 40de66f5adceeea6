"""Best play of Twenty Questions against the scripted oracle.

The agent knows the table of facts, so its belief is uniform over S, the objects that fit all answers. Let
C(S) be the least total, over the objects of S, of the questions besides the one that names the object:

    C(S) = min of  |S| + C(S_yes) + C(S_no)     over questions,
                   |S| - 1 + C(S without x)     over guesses x in S,       C({}) = 0.

A player who could divide S in any way does no worse, so C(S) >= B(|S|), B being the same minimum over all
sizes:
-B(158) / 158 = -6.785 is more than nobody's mean return. The tree here asks for attributes of the table
(`asked.csv`) and for single objects, as people do. At every belief it searches the `breadth` moves of
lowest bound: the exact value of a strategy that exists. Over all 158 objects that value is the bound, so it
is the optimum (`kind` exact); elsewhere in the game it is best known. The limit of twenty questions is
never met.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from lmrlgym.envs.twenty_questions import moves, moves_in, possible, truth_table
from lmrlgym.types import History

BREADTH = 3
OBJECTS = 158


@cache
def least_costs(objects: int = OBJECTS) -> tuple[int, ...]:
    """[n] -> B(n), the least total of questions besides the right ones, over n objects and all partitions."""
    costs = [0, 0]
    for n in range(2, objects + 1):
        splits = min(n + costs[part] + costs[n - part] for part in range(1, n // 2 + 1))
        costs.append(min(splits, n - 1 + costs[n - 1]))
    return tuple(costs)


def bound() -> float:
    """What no player's mean return can exceed."""
    return -least_costs()[OBJECTS] / OBJECTS


class TwentyQuestionsSolver:
    """Value and best move at every history. What is no scripted move tells this solver nothing."""

    def __init__(self, breadth: int = BREADTH) -> None:
        if breadth < 1:
            raise ValueError(f"breadth must be at least 1, got {breadth}")
        self.breadth = breadth
        self._table = truth_table()
        self._attributes = np.array([move.guess < 0 for move in moves()])
        self._least = np.array(least_costs())
        self._solved: dict[bytes, tuple[int, int]] = {}

    @property
    def kind(self) -> str:
        """What the value of the whole game is: "exact" where it meets the bound, else "best_known"."""
        everything = np.ones(OBJECTS, np.bool_)
        return "exact" if self._solve(everything)[0] == least_costs()[OBJECTS] else "best_known"

    def value(self, history: History) -> float:
        """The expected return of the tree from here on; 0 where the object is named."""
        left = self._left(history)
        return 0.0 if left is None else -self._solve(left)[0] / int(left.sum())

    def q(self, history: History) -> dict[str, float]:
        """Move in its first wording -> the expected return of it, and of the tree afterwards."""
        left = self._left(history)
        if left is None:
            return {move.texts[0]: 0.0 for move in moves()}
        return {
            move.texts[0]: -self._cost(number, left) / int(left.sum()) for number, move in enumerate(moves())
        }

    def best(self, history: History) -> str:
        """The tree's move, in its first wording."""
        left = self._left(history)
        return moves()[0 if left is None else self._solve(left)[1]].texts[0]

    def _left(self, history: History) -> np.ndarray | None:
        """The objects that fit; None where the game is over."""
        told = moves_in(history)
        if any(is_true and moves()[number].guess >= 0 for number, is_true in told):
            return None
        return possible(told)

    def _cost(self, number: int, left: np.ndarray) -> int:
        """The total over `left` if move `number` comes first."""
        count, yes = int(left.sum()), left & self._table[number]
        rest = left & ~yes
        cost = self._solve(rest)[0] if rest.any() else 0
        if moves()[number].guess >= 0:
            return count - int(yes.sum()) + cost
        # A move that tells nothing only costs.
        return count + cost + (self._solve(yes)[0] if yes.any() else 0)

    def _solve(self, left: np.ndarray) -> tuple[int, int]:
        """C(left) as far as it is searched, and its move."""
        key = np.packbits(left).tobytes()
        known = self._solved.get(key)
        if known is None:
            self._solved[key] = known = self._searched(left)
        return known

    def _searched(self, left: np.ndarray) -> tuple[int, int]:
        count = int(left.sum())
        yes = self._table[:, left].sum(axis=1)
        bounds = count * self._attributes + self._least[yes] + self._least[count - yes]
        # A guess pays for all but its own object, which then needs no more.
        bounds[~self._attributes] += count - yes[~self._attributes]
        useful = np.flatnonzero(((yes > 0) & (yes < count)) | (~self._attributes & (yes > 0)))
        order = useful[np.argsort(bounds[useful], kind="stable")][: self.breadth if count > 2 else 1]
        best = (int(1e9), -1)
        for number in order.tolist():
            if bounds[number] >= best[0]:
                break
            best = min(best, (self._cost(number, left), number))
        return best


@cache
def _solver(breadth: int) -> TwentyQuestionsSolver:
    return TwentyQuestionsSolver(breadth)


def solver(
    env_id: str, *, partner: object = "scripted", compat: bool = False, privileged: bool = False
) -> TwentyQuestionsSolver:
    """The solver of `env_id`. Raises `ValueError` for another partner than the scripted one."""
    if partner != "scripted":
        raise ValueError(f'the solver knows the table of partner "scripted" only, got {partner!r}')
    return _solver(BREADTH)
