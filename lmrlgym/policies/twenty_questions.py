"""Players of Twenty Questions: `random`, `mixed` (the shipped data), `steady`, `expert`.

All know the table of facts and say the moves of `envs.twenty_questions_moves` in a wording drawn uniformly.
`random` says any of them; the others weigh every move by the questions it lets expect. The data of
arXiv 2311.18232 were made by two language models: success .31, mean return -17.3 (`mixed` is near).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.random import Generator

from lmrlgym.envs.twenty_questions import moves, moves_in, possible, truth_table
from lmrlgym.policies import FrequencyPolicy
from lmrlgym.solvers.twenty_questions import least_costs
from lmrlgym.types import Action, History

MIXED_SHARPNESS, MIXED_NOISE = 20.0, 0.83
"""Success .31, the paper's. Its return of -17.3 lies .8 higher: ours wins later."""
STEADY_SHARPNESS, STEADY_NOISE = 20.0, 0.3


class Asker:
    """Says move m with probability noise / M + (1 - noise) * softmax(-sharpness * c(m)), M moves there are.

    c(m) is the least mean number of questions that m leaves, if what fits all answers could be divided in
    any way after it. An infinite sharpness says one of the moves of least c. Moves said before are left out
    of the second part; what is no move, said by somebody else, tells nothing.
    """

    def __init__(self, sharpness: float, noise: float) -> None:
        if sharpness < 0 or not 0 <= noise <= 1:
            raise ValueError(f"sharpness must be >= 0 and noise in [0, 1], got {sharpness} and {noise}")
        self.sharpness = sharpness
        self.noise = noise
        self._table = truth_table()
        self._counts = self._table.astype(np.float32)
        self._is_guess = np.array([move.guess >= 0 for move in moves()])
        self._least = np.array(least_costs(), np.float64)

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._said(history, rng) if history else "" for history, rng in zip(histories, rngs, strict=True)
        ]

    def probabilities(self, history: History) -> np.ndarray:
        """(moves,) how likely each move is said."""
        told = moves_in(history)
        (chances,) = self.chances(possible(told)[None], [[number for number, _ in told]])
        return np.asarray(chances)

    def chances(self, left: np.ndarray, said: Sequence[Sequence[int]]) -> np.ndarray:
        """(N, moves) the same in N games: `left`, (N, objects), fit the answers to the moves `said`."""
        costs = self._expected(left)
        for row, numbers in zip(costs, said, strict=True):
            row[list(numbers)] += 1e6
        least = costs.min(axis=1, keepdims=True)
        if math.isinf(self.sharpness):
            weights = (costs <= least + 1e-9).astype(np.float64)
        else:
            weights = np.exp(-self.sharpness * (costs - least))
        smart = weights / weights.sum(axis=1, keepdims=True)
        mixed: np.ndarray = self.noise / costs.shape[1] + (1 - self.noise) * smart
        return mixed

    def distribution(self, history: History) -> dict[str, float]:
        chances: dict[str, float] = {}
        for move, chance in zip(moves(), self.probabilities(history).tolist(), strict=True):
            for text in move.texts:
                chances[text] = chances.get(text, 0.0) + chance / len(move.texts)
        return chances

    def _expected(self, left: np.ndarray) -> np.ndarray:
        """(N, moves) c: over the objects that are left, the mean number of questions besides the last."""
        count = left.sum(axis=1, keepdims=True).astype(np.int64)
        yes = (left @ self._counts.T).astype(np.int64)
        costs = count + self._least[yes] + self._least[count - yes]
        expected: np.ndarray = (costs - self._is_guess * yes) / count
        return expected

    def _said(self, history: History, rng: Generator) -> Action:
        probabilities = self.probabilities(history)
        drawn = int(np.searchsorted(np.cumsum(probabilities), rng.random(), side="right"))
        number = min(drawn, len(probabilities) - 1)
        texts = moves()[number].texts
        log_prob = math.log(max(probabilities[number], 1e-300) / len(texts))
        return Action(texts[int(rng.integers(len(texts)))], log_prob=log_prob)


def _random(
    *, partner: object = "scripted", compat: bool = False, privileged: bool = False
) -> FrequencyPolicy:
    return FrequencyPolicy({text: 1 / len(move.texts) for move in moves() for text in move.texts})


def _steady(*, partner: object = "scripted", compat: bool = False, privileged: bool = False) -> Asker:
    return Asker(STEADY_SHARPNESS, STEADY_NOISE)


def _mixed(*, partner: object = "scripted", compat: bool = False, privileged: bool = False) -> Asker:
    return Asker(MIXED_SHARPNESS, MIXED_NOISE)


def _expert(*, partner: object = "scripted", compat: bool = False, privileged: bool = False) -> Asker:
    return Asker(math.inf, 0.0)


LEVELS: dict[str, Callable[..., Asker | FrequencyPolicy]] = {
    "random": _random,
    "mixed": _mixed,
    "steady": _steady,
    "expert": _expert,
}
"""Name -> the environment's keywords -> player."""
