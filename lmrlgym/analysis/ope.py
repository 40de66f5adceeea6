"""Off-policy evaluation: what a player would earn, from games that others played.

Game i of n has utterances a_t with rewards r_t, t = 0 ... T - 1, said with probability mu(a_t | h_t); the
player in question would have said them with pi(a_t | h_t). With rho_t = prod_{k <= t} pi / mu (a_k | h_k),
which stays as it is after a game's end (rho_{-1} = 1), and w_t = rho_t / sum_i rho_t (w_{-1} = 1 / n):

    importance sampling      1/n sum_i rho_{T-1} sum_t gamma^t r_t
    weighted                 sum_i rho_{T-1} sum_t gamma^t r_t / sum_i rho_{T-1}
    per-decision             1/n sum_i sum_t gamma^t rho_t r_t
    weighted per-decision    sum_i sum_t gamma^t w_t r_t
    doubly robust            1/n sum_i D_0,  D_t = V(h_t) + pi/mu (r_t + gamma D_{t+1} - Q(h_t, a_t))
    weighted doubly robust   sum_i sum_t gamma^t (w_t (r_t - Q(h_t, a_t)) + w_{t-1} V(h_t))
    fitted Q evaluation      1/n sum_i V(h_0)

The first four: Precup, Sutton and Singh 2000 (ICML), sec. 2 and 3, the last of them as Thomas 2015
(thesis, "consistent weighted per-decision"); then arXiv 1511.03722, eq. 10; arXiv 1604.00923, sec. 4;
arXiv 1903.08738, alg. 3. V(h) = sum_a pi(a | h) Q(h, a), and Q is fitted to y_t = r_t + gamma V(h_{t+1}).
Effective sample size: (sum_i rho)^2 / sum_i rho^2 (Kong 1992). Intervals are percentiles of bootstrap
samples of whole games.

A game that was cut (truncated) ends there for the first four; D and y go on with V of where it was cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from lmrlgym.env import visible
from lmrlgym.types import History, Trajectory, Turn

_LARGEST_LOG = 700.0
"""exp of more is infinite."""
_CHUNK = 64
FOLDS = 2

Distribution = Callable[[History], Mapping[str, float]]
"""What is seen -> how likely each utterance is; those left out are never said."""


class Values(NamedTuple):
    """What a fitted Q says of one game of T utterances."""

    q: np.ndarray
    """(T,) Q(h_t, a_t)"""
    v: np.ndarray
    """(T,) V(h_t)"""
    after: float
    """V of the state in which the game was cut; 0 where it came to its own end."""


class Logged(NamedTuple):
    """One game as the estimators see it."""

    log_ratio: np.ndarray
    """(T,) log pi(a_t | h_t) - log mu(a_t | h_t); -inf where the player never says it"""
    reward: np.ndarray
    """(T,)"""
    values: Values | None = None
    """None: no Q was fitted."""


class Estimate(NamedTuple):
    """A mean return with its 95 % interval and how many games it rests on."""

    name: str
    value: float
    low: float
    high: float
    effective: float
    """Effective sample size: of whole games; per decision, its mean over the utterances. NaN for a model."""


class Coverage(NamedTuple):
    """Whether the data hold what the player says."""

    games: int
    data_mean: float
    """Mean return of the data, discounted."""
    mean_weight: float
    """Of whole games. 1 on average, less where the player says what the data never do."""
    effective: float
    """Effective sample size of whole games."""
    by_turn: tuple[float, ...]
    """Effective sample size at every utterance; a game that is over keeps its weight."""
    truncated: float
    """Share of the games that were cut."""


def behaviour_log_prob(turn: Turn) -> float | None:
    """The log-probability with which an utterance was said; None if it was not stored."""
    if turn.log_prob is not None:
        return turn.log_prob
    return math.fsum(turn.log_probs) if turn.log_probs else None


def behaviour_log_probs(games: Sequence[Trajectory]) -> list[np.ndarray]:
    """(T,) for each game. Raises `ValueError`, naming the first utterance whose probability is not stored."""
    found = []
    for number, game in enumerate(games):
        said = [(at, turn, behaviour_log_prob(turn)) for at, turn in enumerate(game.turns) if turn.is_action]
        for at, turn, log_prob in said:
            if log_prob is None:
                raise ValueError(
                    f"turn {at} of game {number} ({turn.text!r}) has no behaviour log-probability: it needs "
                    "the log_prob of the utterance or the log_probs of its tokens, which `lmrlgym collect` "
                    "stores for every scripted player but chess engines, and rollouts for trained agents"
                )
        found.append(np.array([log_prob for _, _, log_prob in said], float))
    return found


def player_log_probs(
    games: Sequence[Trajectory], distribution: Distribution, context: int | None
) -> list[np.ndarray]:
    """(T,) for each game: how likely a player with this `distribution` is to say what was said."""
    return [
        np.array(
            [
                _log(distribution(visible(game.turns[:at], context)).get(turn.text, 0.0))
                for at, turn in enumerate(game.turns)
                if turn.is_action
            ]
        )
        for game in games
    ]


def logged(
    games: Sequence[Trajectory],
    log_probs: Sequence[np.ndarray],
    values: Sequence[Values] | None = None,
) -> list[Logged]:
    """The games with `log_probs`, the player's, and what a Q says of them."""
    behaviour = behaviour_log_probs(games)
    return [
        Logged(
            mine - theirs,
            np.array([turn.reward for turn in game.turns if turn.is_action]),
            None if values is None else values[i],
        )
        for i, (game, mine, theirs) in enumerate(zip(games, log_probs, behaviour, strict=True))
    ]


def coverage(games: Sequence[Logged], truncated: float, gamma: float = 1.0) -> Coverage:
    """Whether the games hold what the player says."""
    table = _Table(games, gamma)
    weight = table.weight[:, -1]
    by_turn = [effective_size(table.weight[:, t]) for t in range(table.weight.shape[1])]
    return Coverage(
        len(games), float(table.earned.mean()), float(weight.mean()), effective_size(weight),
        tuple(by_turn), truncated,
    )  # fmt: skip


def effective_size(weights: np.ndarray) -> float:
    """(sum w)^2 / sum w^2; 0 where all are 0."""
    largest = weights.max(initial=0.0)
    scaled = weights / largest if largest > 0 else weights
    return float(scaled.sum() ** 2 / (scaled**2).sum()) if largest > 0 else 0.0


def estimates(
    games: Sequence[Logged], *, gamma: float = 1.0, resamples: int = 2000, seed: int = 0
) -> list[Estimate]:
    """Every estimator of the module's docstring; those that need a Q only where there is one.

    `gamma` counts utterances. The fitted Q is taken as it is: the interval of fitted Q evaluation is that of
    the beginnings alone (see `Tables.interval`). Raises `ValueError` for fewer than two games.
    """
    if len(games) < 2:
        raise ValueError(f"an estimate needs at least two games, got {len(games)}")
    if not 0 < gamma <= 1:
        raise ValueError(f"gamma must be in (0, 1], got {gamma}")
    table = _Table(games, gamma)
    rng = np.random.default_rng(seed)
    sampled = np.concatenate(
        [
            table.all(rng.multinomial(len(games), np.full(len(games), 1 / len(games)), size).astype(float))
            for size in _sizes(resamples)
        ]
    )  # (resamples, estimators)
    whole = table.all(np.ones((1, len(games))))[0]
    by_turn = coverage(games, 0.0, gamma)
    running = table.running.sum(axis=0)
    per_decision = float(np.average(by_turn.by_turn, weights=running))
    sizes = dict.fromkeys(_WHOLE_GAMES, by_turn.effective) | dict.fromkeys(_BY_TURN, per_decision)
    return [
        Estimate(name, float(whole[i]), *_percentiles(sampled[:, i]), sizes.get(name, math.nan))
        for i, name in enumerate(table.names)
    ]


_WHOLE_GAMES = ("importance sampling", "weighted")
_BY_TURN = ("per-decision", "weighted per-decision", "doubly robust", "weighted doubly robust")
FITTED_Q = "fitted Q evaluation"


def _percentiles(sampled: np.ndarray) -> tuple[float, float]:
    kept = sampled[np.isfinite(sampled)]
    if not len(kept):
        return math.nan, math.nan
    low, high = np.quantile(kept, [0.025, 0.975])
    return float(low), float(high)


def _sizes(total: int) -> list[int]:
    return [min(_CHUNK, total - begin) for begin in range(0, total, _CHUNK)]


class _Table:
    """The games side by side, padded to the longest."""

    def __init__(self, games: Sequence[Logged], gamma: float) -> None:
        longest = max(1, max(len(game.reward) for game in games))
        log_weight, reward = np.zeros((len(games), longest)), np.zeros((len(games), longest))
        self.running = np.zeros((len(games), longest), bool)
        for i, game in enumerate(games):
            count = len(game.reward)
            self.running[i, :count] = True
            reward[i, :count] = game.reward
            log_weight[i, :count] = game.log_ratio
        self.weight = np.exp(np.minimum(log_weight.cumsum(axis=1), _LARGEST_LOG))  # rho, (n, T)
        self.paid = gamma ** np.arange(longest) * reward  # gamma^t r_t
        self.earned = self.paid.sum(axis=1)
        self.names = [*_WHOLE_GAMES, *_BY_TURN[:2]]
        self._columns: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
        self._begin: np.ndarray | None = None
        if all(game.values is not None for game in games):
            self.names += [*_BY_TURN[2:], FITTED_Q]
            self._read_values(games, gamma)

    def _read_values(self, games: Sequence[Logged], gamma: float) -> None:
        """What doubly robust estimators add up: gamma^t (r - Q), gamma^t V, and D_0."""
        shape = self.weight.shape
        error, value = np.zeros(shape), np.zeros((shape[0], shape[1] + 1))
        robust = np.zeros(shape[0])
        for i, game in enumerate(games):
            assert game.values is not None
            q, v, after = game.values
            count = len(q)
            discount = gamma ** np.arange(count + 1)
            error[i, :count] = discount[:-1] * (game.reward - q)
            value[i, :count], value[i, count] = discount[:-1] * v, discount[-1] * after
            rest = after
            for t in range(count - 1, -1, -1):
                ratio = math.exp(min(float(game.log_ratio[t]), _LARGEST_LOG))
                rest = float(v[t]) + ratio * (float(game.reward[t]) + gamma * rest - float(q[t]))
            robust[i] = rest
        self._columns = error, value, robust
        self._begin = value[:, 0]

    def all(self, counts: np.ndarray) -> np.ndarray:
        """(R, estimators) where game i is there counts[r, i] times, as often in all as there are games."""
        games = len(self.earned)
        last, weight = self.weight[:, -1], self.weight
        with np.errstate(invalid="ignore", divide="ignore"):
            totals = counts @ weight  # (R, T) sum_i rho_t
            found = [
                counts @ (last * self.earned) / games,
                (counts @ (last * self.earned)) / totals[:, -1],
                counts @ (weight * self.paid).sum(axis=1) / games,
                ((counts @ (weight * self.paid)) / totals).sum(axis=1),
            ]
            if self._columns is not None and self._begin is not None:
                error, value, robust = self._columns
                weighted = (counts @ (weight * error) + counts @ (weight * value[:, 1:])) / totals
                begin = counts @ self._begin / games
                found += [counts @ robust / games, weighted.sum(axis=1) + begin, begin]
        return np.stack(found, axis=1)


# ---- fitted Q evaluation in tables ----


class _Steps(NamedTuple):
    """The different steps of the games, as numbers."""

    pair: np.ndarray
    """The (state, utterance) that is said"""
    depth: np.ndarray
    """How many of its player's utterances are seen in the state"""
    reward: np.ndarray
    following: np.ndarray
    """The state after it; -1 after a game's own end"""


class Tables:
    """Fitted Q evaluation with one number for each state (the turns that are seen) and utterance in the data.

    The games are dealt into two folds, and each is judged by the Q fitted to the other, so that no
    estimate leans on its own noise. What the other fold does not hold has the mean y of its depth, the
    number of utterances seen, each weighted by how much likelier the player is to say it and what is seen
    before it: where whole histories are seen most are met once, and the games' own mean is their player's.
    `log_probs` are those of the player in question, (T,) for each game. Q begins at 0 and is fitted
    `sweeps` times: so many utterances are looked ahead. Where an agent sees no clock, nothing is learned from
    a game's last utterance before its turn limit: the sweeps are the limit.
    """

    def __init__(
        self,
        games: Sequence[Trajectory],
        log_probs: Sequence[np.ndarray],
        context: int | None,
        *,
        gamma: float = 1.0,
        sweeps: int | None = None,
    ) -> None:
        self.gamma = gamma
        lengths = [sum(turn.is_action for turn in game.turns) for game in games]
        self.sweeps = max(lengths) if sweeps is None else sweeps
        if self.sweeps < 1:
            raise ValueError(f"sweeps must be at least 1, got {self.sweeps}")
        self._states: dict[str, int] = {}
        self._depth: list[int] = []
        self._pairs: dict[tuple[int, str], int] = {}
        self._context = context
        self._ends = np.full(len(games), -1)
        self._fold = np.arange(len(games)) % FOLDS
        said = self._numbered(games)  # (utterances, 6)
        self._game, self._pair = said[:, 0].astype(int), said[:, 1].astype(int)
        # Most steps of a game of few states come again and again: each is counted, and fitted once.
        different, self._of = np.unique(said[:, 1:], axis=0, return_inverse=True)
        pair, depth, reward, following, _ = different.T
        self._steps = _Steps(pair.astype(int), depth.astype(int), reward, following.astype(int))
        self._is_learned = different[:, 4].astype(bool)
        pairs = np.array(list(self._pairs), dtype=object).reshape(-1, 2)
        self._state_of_pair = pairs[:, 0].astype(int)
        self._chance = np.zeros(len(self._pairs))
        self._chance[self._pair] = np.exp(np.concatenate(log_probs))
        self._ratio = self._ratios(games, log_probs, depth.astype(int)[self._of.ravel()])
        self._begins = np.concatenate([[0], np.cumsum(lengths)])
        self._depths = np.array(self._depth)

    def _numbered(self, games: Sequence[Trajectory]) -> np.ndarray:
        """(utterances, 6): game, pair, depth, reward, following state, whether Q is fitted to it."""
        rows: list[tuple[int, int, int, float, int, bool]] = []
        for number, game in enumerate(games):
            at = [i for i, turn in enumerate(game.turns) if turn.is_action]
            states = [self._state(visible(game.turns[:i], self._context)) for i in at]
            end = self._state(visible(game.turns, self._context)) if at and not game.terminated else -1
            self._ends[number] = end
            is_out_of_time = self._context is not None and game.info.get("stop_reason") == "turn_limit"
            for i, state, following in zip(at, states, [*states[1:], end], strict=True):
                pair = self._pairs.setdefault((state, game.turns[i].text), len(self._pairs))
                is_learned = not (is_out_of_time and i == at[-1])
                rows.append((number, pair, self._depth[state], game.turns[i].reward, following, is_learned))
        return np.array(rows, float)

    def _ratios(
        self, games: Sequence[Trajectory], log_probs: Sequence[np.ndarray], depth: np.ndarray
    ) -> np.ndarray:
        """(utterances,) prod pi / mu of what is seen and said, over the largest of its depth."""
        found = np.empty(len(depth))
        begin = 0
        for mine, theirs in zip(log_probs, behaviour_log_probs(games), strict=True):
            log_ratio = mine - theirs
            for t in range(len(log_ratio)):
                found[begin + t] = log_ratio[t - depth[begin + t] : t + 1].sum()
            begin += len(log_ratio)
        largest = np.full(depth.max() + 1, -math.inf)
        np.maximum.at(largest, depth, found)
        is_said = found > -math.inf
        found[is_said] = np.exp(found[is_said] - largest[depth[is_said]])
        found[~is_said] = 0.0
        return found

    def _state(self, seen: History) -> int:
        key = "".join(turn.text for turn in seen)
        number = self._states.setdefault(key, len(self._states))
        if number == len(self._depth):
            self._depth.append(sum(turn.is_action for turn in seen))
        return number

    def fitted(self, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(Q of every pair, V of every state), where game i is there `counts[i]` times."""
        steps, states, pairs = self._steps, len(self._states), len(self._pairs)
        weight = (
            np.bincount(self._of.ravel(), counts[self._game], minlength=len(steps.pair)) * self._is_learned
        )
        tilted = (
            np.bincount(self._of.ravel(), counts[self._game] * self._ratio, minlength=len(steps.pair))
            * self._is_learned
        )
        seen, at_depth = np.bincount(steps.pair, weight), np.bincount(steps.depth, tilted)
        is_known = seen > 0
        chance = self._chance * is_known
        elsewhere = 1 - np.bincount(self._state_of_pair, chance, minlength=states)
        v, q = np.zeros(states), np.zeros(pairs)
        for _ in range(self.sweeps):
            backup = steps.reward + self.gamma * np.where(steps.following < 0, 0.0, v[steps.following])
            overall = float((weight * backup).sum() / weight.sum())
            depth_mean = _means(np.bincount(steps.depth, tilted * backup), at_depth, overall)
            default = np.append(depth_mean, overall)[np.minimum(self._depths, len(depth_mean))]
            q = _means(np.bincount(steps.pair, weight * backup), seen, np.nan)
            q = np.where(is_known, q, default[self._state_of_pair])
            v = np.bincount(self._state_of_pair, chance * q, minlength=states) + elsewhere * default
        return q, v

    def values(self) -> list[Values]:
        """What the Q of the other fold says of every game."""
        found: list[Values] = [Values(np.empty(0), np.empty(0), 0.0)] * len(self._fold)
        for fold in range(FOLDS):
            q, v = self.fitted((self._fold != fold).astype(float))
            for game in np.flatnonzero(self._fold == fold):
                pairs = self._pair[self._begins[game] : self._begins[game + 1]]
                end = self._ends[game]
                after = float(v[end]) if end >= 0 else 0.0
                found[game] = Values(q[pairs], v[self._state_of_pair[pairs]], after)
        return found

    def known(self) -> float:
        """What share of the player's utterances the tables hold: the rest has the mean of its depth.

        The mean over the depths that the games reach, each over the states that the player comes to.
        """
        depth = self._steps.depth[self._of.ravel()]
        state = self._state_of_pair[self._pair]
        held = np.zeros(len(depth))
        for fold in range(FOLDS):
            is_own = self._fold[self._game] == fold
            is_known = np.bincount(self._pair[~is_own], minlength=len(self._pairs)) > 0
            chance = np.bincount(self._state_of_pair, self._chance * is_known, minlength=len(self._states))
            held[is_own] = chance[state[is_own]]
        reached = np.bincount(depth)
        tilted = np.bincount(depth, self._ratio)
        share = _means(np.bincount(depth, self._ratio * held), tilted, 0.0)
        return float(np.average(share, weights=reached))

    def interval(self, refits: int = 200, seed: int = 0) -> tuple[float, float]:
        """The 95 % interval of fitted Q evaluation: Q is fitted anew to `refits` samples of the games."""
        rng = np.random.default_rng(seed)
        games = len(self._fold)
        firsts = self._state_of_pair[self._pair[self._begins[:-1]]]
        found = []
        for _ in range(refits):
            counts = rng.multinomial(games, np.full(games, 1 / games)).astype(float)
            begin = 0.0
            for fold in range(FOLDS):
                _, v = self.fitted(counts * (self._fold != fold))
                begin += float((counts * (self._fold == fold)) @ v[firsts])
            found.append(begin / games)
        return _percentiles(np.array(found))


def _means(total: np.ndarray, count: np.ndarray, otherwise: float) -> np.ndarray:
    means: np.ndarray = np.where(count > 0, total / np.maximum(count, 1e-300), otherwise)
    return means


def _log(probability: float) -> float:
    return math.log(probability) if probability > 0 else -math.inf
