"""A critic against the truth: what a learned Q or V says, and what playing on from there really pays.

The truth at a decision is the mean discounted return of playing on with a player: the solver's best
play, the data's player or the agent itself. Discounts count the agent's tokens, as those of the
algorithms do. With g_i what is earned from the last token of an utterance a_i on, and n_i its tokens,

    g_i = r_i + gamma^n_{i+1} g_{i+1}
    Q(h, t_1 ... t_k) = E[gamma^(n - k) g],    V(h, t_1 ... t_k) = E[gamma^(n - k - 1) g]

the expectation over the utterances that begin with t_1 ... t_k; for best play it is the largest
instead. So the Q of an utterance is that of its last token, and its earlier tokens are worth the best
(or the mean) of what they leave open.

What a game hides is taken into account by playing on in every task that would have told the same so
far, all equally likely. Games without chance are exact for best play, which does not draw; where the
newest observation is all that counts and the states are few, players that draw are evaluated by linear
equations (without a turn limit, which no observation tells); else by repeated play.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, Protocol

import numpy as np

from lmrlgym.analysis.statistics import Interval, interval
from lmrlgym.env import PartnerEnv, TextEnv, visible
from lmrlgym.rollouts import Policy, make_games
from lmrlgym.types import Action, History, Trajectory, Turn

Ids = tuple[int, ...]
Target = Literal["best", "data", "agent"]
MOST_TASKS = 500
"""Games with more hidden tasks play on in their own alone."""
MOST_STATES = 300
SAMPLES = 400
"""Actions drawn in each state where players are evaluated by equations."""
_WIDTH = 128
_STREAM = 3
BINS = 8


class Critic(Protocol):
    """A learned Q, V or both."""

    gamma: float

    def ids(self, turn: Turn) -> Ids:
        """The tokens of an utterance."""
        ...

    def read(self, asked: Sequence[tuple[History, Turn]]) -> list[Sequence[tuple[float, float]]]:
        """(Q, V) at each token of each utterance after its history; NaN where there is no such head."""
        ...


class Place(NamedTuple):
    """A decision of a game: its history, and how to come there again."""

    seed: int | None
    options: dict[str, Any]
    history: History
    said: Turn


class Chance(NamedTuple):
    """An utterance that may be said, what is earned from its last token on, and how often it is said."""

    ids: Ids
    worth: float
    weight: float = 1.0


@dataclass
class Level:
    """Pairs of what the critic says and what is true."""

    said: list[float] = field(default_factory=list)
    exact: list[float] = field(default_factory=list)
    variance: list[float] = field(default_factory=list)
    """of `exact` as an estimate"""

    def add(self, said: float, exact: tuple[float, float]) -> None:
        """One pair; what is not a number is left out."""
        if not math.isnan(said) and not math.isnan(exact[0]):
            self.said.append(said)
            self.exact.append(exact[0])
            self.variance.append(exact[1])


class Measured(NamedTuple):
    """How a critic does on one level, each distinct decision counted once."""

    cases: int
    bias: Interval
    """mean of critic - exact"""
    rmse: float
    noise: float
    """root of the mean variance of the exact values, which `rmse` contains; 0: exact"""
    spearman: float
    calibration: tuple[tuple[int, float, float], ...]
    """(cases, mean of the critic, mean of the exact values) from the lowest to the highest said"""


class CriticAudit(NamedTuple):
    """The measures by level, and how actions of one state are ranked."""

    levels: dict[str, Measured]
    within: dict[str, tuple[float, int]]
    """Mean of Spearman's rank correlation over a state's actions, and the states it is over."""
    how: str
    """How the exact values were found."""
    places: int


def places_of(games: Sequence[Trajectory], context: int | None, count: int, seed: int = 0) -> list[Place]:
    """At most `count` distinct decisions (as the agent sees them) of `games`, drawn by `seed`, in order."""
    found: dict[tuple[str, ...], Place] = {}
    for game in games:
        for i, turn in enumerate(game.turns):
            if turn.is_action and turn.text:
                seen = tuple(each.text for each in visible(game.turns[:i], context))
                found.setdefault(seen, Place(game.seed, dict(game.options), game.turns[:i], turn))
    every = list(found.values())
    chosen = np.random.default_rng(seed).permutation(len(every))[:count]
    return [every[i] for i in sorted(chosen)]


def audit_critic(
    critic: Critic,
    player: Policy,
    target: Target,
    games: Sequence[Trajectory],
    *,
    played_as: str = "",
    states: int = 100,
    repeats: int = 32,
    seed: int = 0,
    solved: Callable[[History], Sequence[str]] | None = None,
) -> CriticAudit:
    """Hold `critic` against playing on with `player` from at most `states` decisions of `games`.

    `target` "best" takes the largest over the actions, else the player's own mean. `played_as` is the
    id in which `player` plays, where that is another one that pays alike; `repeats` counts where chance
    decides. `solved` gives the actions of a history where the game cannot list them. Raises `ValueError` for
    games without a decision, and for a partner that hides something.
    """
    first = games[0]
    truth = _Truth(first.env_id, dict(first.env_kwargs), player, critic, played_as, repeats, seed)
    places = places_of(games, truth.env.context, states, seed)
    if not places:
        raise ValueError("the games hold no decision of the agent")
    actions = [_actions(truth.at(place), place, critic, solved) for place in places]
    is_exact = target == "best" and not isinstance(truth.env, PartnerEnv)
    solved_by_equations = None if target == "best" else truth.equations(places, actions)
    if solved_by_equations is not None:
        known, count = solved_by_equations
        how = f"linear equations over {count} states, {SAMPLES} actions drawn in each"
    else:
        how = (
            "exact: best play in every task that fits" if is_exact else f"{repeats} games played on from each"
        )
        known = truth.played(places, actions, 1 if is_exact else repeats, own=target != "best")
    return _measured(critic, places, actions, known, target, how)


class _Known(NamedTuple):
    """What is true at a place: of every action, and of the player's own utterances (none for best play)."""

    of: list[tuple[float, float]]
    """(mean, variance of the mean) of each action's worth"""
    own: list[Chance]
    is_sampled: bool


def _actions(
    env: TextEnv, place: Place, critic: Critic, solved: Callable[[History], Sequence[str]] | None
) -> list[Turn]:
    """What may be said at a place, each once by its tokens: the sensible actions and what was said."""
    texts = env.candidates() or (solved(place.history) if solved else ())
    turns = [Turn(text if text.endswith("\n") else f"{text}\n", True) for text in texts]
    if place.said.text not in {turn.text for turn in turns}:
        turns.append(place.said)
    return [turn for turn in turns if critic.ids(turn)]


def _measured(
    critic: Critic,
    places: Sequence[Place],
    actions: Sequence[Sequence[Turn]],
    known: Sequence[_Known],
    target: Target,
    how: str,
) -> CriticAudit:
    levels = {name: Level() for name in ("turn Q", "turn Q of what was said", "turn V", "token Q", "token V")}
    ranks: dict[str, list[float]] = {"Q of the last token": [], "sum of Q - V over the tokens": []}
    asked = [(place.history, turn) for place, some in zip(places, actions, strict=True) for turn in some]
    read = iter(critic.read(asked))
    for place, some, truth in zip(places, actions, known, strict=True):
        values = [next(read) for _ in some]
        ids = [critic.ids(turn) for turn in some]
        chances = truth.own or [Chance(i, q) for i, (q, _) in zip(ids, truth.of, strict=True)]
        exact = _Prefixes(chances, critic.gamma, target == "best", truth.is_sampled)
        for turn, value, of_turn in zip(some, values, truth.of, strict=True):
            levels["turn Q"].add(value[-1][0], of_turn)
            if turn.text == place.said.text:
                levels["turn Q of what was said"].add(value[-1][0], of_turn)
        levels["turn V"].add(values[0][0][1], exact.v(()))
        seen: set[Ids] = set()
        for value, said, of_turn in zip(values, ids, truth.of, strict=True):
            for k, (q, v) in enumerate(value, start=1):
                if said[:k] not in seen:
                    seen.add(said[:k])
                    levels["token Q"].add(q, of_turn if k == len(said) else exact.q(said[:k]))
                if (*said[: k - 1], -1) not in seen:
                    seen.add((*said[: k - 1], -1))
                    levels["token V"].add(v, exact.v(said[: k - 1]))
        worth = [q for q, _ in truth.of]
        for name, rank in (
            ("Q of the last token", [value[-1][0] for value in values]),
            ("sum of Q - V over the tokens", [sum(q - v for q, v in value) for value in values]),
        ):
            if not math.isnan(found := spearman(rank, worth)):
                ranks[name].append(found)
    return CriticAudit(
        {name: measure(level) for name, level in levels.items() if level.said},
        {name: (float(np.mean(found)), len(found)) for name, found in ranks.items() if found},
        how,
        len(places),
    )


class _Prefixes:
    """Q and V after the first tokens of an utterance."""

    def __init__(self, chances: Sequence[Chance], gamma: float, is_best: bool, is_sampled: bool) -> None:
        self._chances, self._gamma, self._is_best, self._is_sampled = chances, gamma, is_best, is_sampled

    def q(self, prefix: Ids) -> tuple[float, float]:
        """(mean, variance of it) of Q at the last token of `prefix`; NaN if nothing goes on so."""
        k = len(prefix)
        fitting = [c for c in self._chances if c.ids[:k] == prefix]
        if not fitting:
            return math.nan, math.nan
        worth = np.array([self._gamma ** (len(c.ids) - k) * c.worth for c in fitting])
        if self._is_best:
            return float(worth.max()), 0.0
        if self._is_sampled:
            return _mean(worth)
        return float(np.average(worth, weights=[c.weight for c in fitting])), 0.0

    def v(self, prefix: Ids) -> tuple[float, float]:
        """The same of V after `prefix`: one token later, so discounted once more than Q at its end."""
        mean, variance = self.q(prefix)
        # With k = len(prefix) tokens said, the next one is number k + 1: gamma^(n - k - 1).
        return mean / self._gamma, variance / self._gamma**2


def _mean(values: np.ndarray) -> tuple[float, float]:
    """(mean, variance of the mean); NaN below two values."""
    if len(values) < 2:
        return math.nan, math.nan
    return float(values.mean()), float(values.var(ddof=1) / len(values))


# ---- playing on ----


class _Truth:
    """Games that go on from a place with a player."""

    def __init__(
        self,
        env_id: str,
        env_kwargs: dict[str, Any],
        player: Policy,
        critic: Critic,
        played_as: str,
        repeats: int,
        seed: int,
    ) -> None:
        self.env = make_games(env_id, 1, env_kwargs).envs[0]
        self._stage = make_games(played_as or env_id, 1, env_kwargs).envs[0]
        if isinstance(self.env, PartnerEnv) and self.env.context != 1:
            raise ValueError(f"{env_id} hides something in its partner: its critics cannot be audited")
        self._is_told_more = played_as not in ("", env_id)
        self._player, self._critic, self._seed = player, critic, seed

    def at(self, place: Place, env: TextEnv | None = None, options: dict[str, Any] | None = None) -> TextEnv:
        """The game as it was at `place`; of another environment or task if they are given."""
        env = deepcopy(env or self.env)
        if isinstance(env, PartnerEnv):
            return _chess_at(env, place)
        env.reset(seed=place.seed, options=place.options if options is None else options)
        for turn in place.history:
            if turn.is_action and env._running:
                env.step(turn.text)
        return env

    def fitting(self, place: Place) -> list[dict[str, Any]]:
        """The reset options of every task that would have told the same; the game's own without others."""
        if isinstance(self.env, PartnerEnv) or self.env.tasks > MOST_TASKS or set(place.options) - {"task"}:
            return [place.options]
        told = [turn.text for turn in place.history]
        found = []
        for task in range(self.env.tasks):
            there = self.at(place, options={"task": task})
            if [turn.text for turn in there.history] == told:
                found.append({"task": task})
        return found or [place.options]

    def played(
        self, places: Sequence[Place], actions: Sequence[Sequence[Turn]], repeats: int, own: bool
    ) -> list[_Known]:
        """Every action's worth by playing on; with `own`, the player's utterances and their worths too."""
        found = []
        for number, (place, some) in enumerate(zip(places, actions, strict=True)):
            stages = [self.at(place, self._stage, options) for options in self.fitting(place)]
            times = max(1, math.ceil(repeats / len(stages)))
            begins = [*some, None] if own else list(some)
            jobs = [(stage, begin) for begin in begins for stage in stages for _ in range(times)]
            ended = self._play(jobs, number)
            each = len(stages) * times
            worths = [np.array([c.worth for c in ended[i * each : (i + 1) * each]]) for i in range(len(some))]
            of = [(float(w.mean()), 0.0) if repeats == 1 else _mean(w) for w in worths]
            found.append(_Known(of, ended[len(some) * each :], own))
        return found

    def _play(self, jobs: Sequence[tuple[TextEnv, Turn | None]], number: int) -> list[Chance]:
        """Play every job to its end, saying its turn first, if it has one."""
        ended: list[Chance] = []
        for begin in range(0, len(jobs), _WIDTH):
            ended += self._play_side_by_side(jobs[begin : begin + _WIDTH], number * 1_000_003 + begin)
        return ended

    def _play_side_by_side(self, jobs: Sequence[tuple[TextEnv, Turn | None]], number: int) -> list[Chance]:
        envs = [deepcopy(env) for env, _ in jobs]
        rngs = [
            np.random.default_rng(np.random.SeedSequence([self._seed, _STREAM, number + i]))
            for i in range(len(envs))
        ]
        for env, rng in zip(envs, rngs, strict=True):
            env.np_random = np.random.default_rng(rng.integers(2**63))
        first: list[Ids] = [()] * len(envs)
        worth, rate = [0.0] * len(envs), [1.0] * len(envs)
        to_say = [turn.text if turn else "" for _, turn in jobs]
        running = set(range(len(envs)))
        while running:
            said = self._answers(envs, running, to_say, rngs)
            to_say = [""] * len(envs)
            for i in sorted(running):
                ids = self._ids(said[i])
                _, reward, terminated, truncated, _ = envs[i].step(said[i])
                if not first[i]:
                    first[i] = ids or (-1,)
                else:
                    rate[i] *= self._critic.gamma ** len(ids)
                worth[i] += rate[i] * float(reward)
                if terminated or truncated:
                    running.discard(i)
        return [Chance(ids, total) for ids, total in zip(first, worth, strict=True)]

    def _answers(
        self, envs: Sequence[TextEnv], running: set[int], to_say: Sequence[str], rngs: Sequence[Any]
    ) -> Sequence[str | Action]:
        """What is said next: what is to be said, else what the player says."""
        if all(to_say[i] for i in running):
            return to_say
        seen = [
            visible(env.history, env.context) if i in running and not to_say[i] else ()
            for i, env in enumerate(envs)
        ]
        answers = self._player.act(seen, rngs)
        return [text or answer for text, answer in zip(to_say, answers, strict=True)]

    def _ids(self, action: str | Action) -> Ids:
        if isinstance(action, Action):
            return self._critic.ids(Turn(action.text, True, tokens=action.tokens)) if action.text else ()
        return self._critic.ids(Turn(action, True)) if action else ()

    # ---- equations ----

    def equations(
        self, places: Sequence[Place], actions: Sequence[Sequence[Turn]]
    ) -> tuple[list[_Known], int] | None:
        """What is known at every place, and the states it follows from; None where these are too many, or
        the newest observation is not all that counts where the player plays."""
        env = self._stage
        if env.context != 1 or isinstance(env, PartnerEnv) or self._critic.gamma >= 1:
            return None
        stages = [[self.at(place, env, options) for options in self._hidden(place)] for place in places]
        table: dict[str, _State] = {}
        waiting = [stage for some in stages for stage in some]
        extra: dict[str, list[Turn]] = {}
        for some, there in zip(actions, stages, strict=True):
            for stage in there:
                extra.setdefault(stage.history[-1].text, []).extend(some)
        while waiting:
            here = waiting.pop()
            text = here.history[-1].text
            if text in table:
                continue
            if len(table) == MOST_STATES:
                return None
            table[text] = state = self._state(here, extra.get(text, []), len(table))
            waiting += [env for env in state.after.values() if env is not None]
        _solve(table, self._critic.gamma)
        found = [
            _solved([table[stage.history[-1].text] for stage in there], some)
            for there, some in zip(stages, actions, strict=True)
        ]
        return found, len(table)

    def _hidden(self, place: Place) -> list[dict[str, Any]]:
        """The tasks that fit, where the player is told more than the agent; else any one of them will do."""
        return self.fitting(place) if self._is_told_more else [place.options]

    def _state(self, env: TextEnv, also: Sequence[Turn], number: int) -> _State:
        seen = visible(env.history, env.context)
        drawn: list[str | Action] = []
        for begin in range(0, SAMPLES, _WIDTH):
            count = min(_WIDTH, SAMPLES - begin)
            words = [[self._seed, _STREAM, number, begin + i] for i in range(count)]
            rngs = [np.random.default_rng(np.random.SeedSequence(word)) for word in words]
            drawn += self._player.act([seen] * count, rngs)
        state = _State()
        for action in drawn:
            text = action.text if isinstance(action, Action) else action
            ids = self._ids(action)
            state.counts[ids, text] = state.counts.get((ids, text), 0) + 1
        for text in {*(text for _, text in state.counts), *(turn.text for turn in also)}:
            copy = deepcopy(env)
            _, reward, terminated, truncated, _ = copy.step(text)
            state.reward[text] = float(reward)
            state.after[text] = None if terminated or truncated else copy
        return state


@dataclass
class _State:
    """One observation: how often each utterance is said there, and where it leads."""

    counts: dict[tuple[Ids, str], int] = field(default_factory=dict)
    reward: dict[str, float] = field(default_factory=dict)
    after: dict[str, TextEnv | None] = field(default_factory=dict)
    worth: dict[str, float] = field(default_factory=dict)


def _solve(table: dict[str, _State], gamma: float) -> None:
    """Fill in the worths: V(s) = sum_a pi(a|s) gamma^(n_a - 1) (r + gamma V(s'))."""
    number = {text: i for i, text in enumerate(table)}
    matrix, constant = np.eye(len(table)), np.zeros(len(table))
    for text, state in table.items():
        i, total = number[text], sum(state.counts.values())
        for (ids, said), count in state.counts.items():
            share = count / total * gamma ** (max(len(ids), 1) - 1)
            constant[i] += share * state.reward[said]
            after = state.after[said]
            if after is not None:
                matrix[i, number[after.history[-1].text]] -= share * gamma
    values = np.linalg.solve(matrix, constant)
    for state in table.values():
        for said, after in state.after.items():
            following = 0.0 if after is None else float(values[number[after.history[-1].text]])
            state.worth[said] = state.reward[said] + gamma * following


def _solved(states: Sequence[_State], actions: Sequence[Turn]) -> _Known:
    """What is known where the game is in one of `states`, all equally likely."""
    own = [
        Chance(ids, state.worth[text], count / SAMPLES)
        for state in states
        for (ids, text), count in state.counts.items()
    ]
    of = [(float(np.mean([state.worth[turn.text] for state in states])), 0.0) for turn in actions]
    return _Known(of, own, False)


def _chess_at(env: PartnerEnv, place: Place) -> TextEnv:
    """A game that goes on from the position told last: it says all that matters."""
    from lmrlgym.envs.chess import read_position

    env.reset(seed=place.seed, options={"fen": read_position(place.history[-1].text)})
    return env


# ---- measures ----


def measure(level: Level) -> Measured:
    """The measures of the pairs of `level`."""
    said, exact = np.array(level.said), np.array(level.exact)
    error = said - exact
    return Measured(
        len(said),
        interval([error]),
        float(np.sqrt(np.mean(error**2))),
        float(np.sqrt(np.mean(level.variance))),
        spearman(said, exact),
        calibration(said, exact),
    )


def spearman(a: Sequence[float] | np.ndarray, b: Sequence[float] | np.ndarray) -> float:
    """Spearman's rank correlation; NaN below three pairs, or where one side is all alike."""
    from scipy.stats import spearmanr

    first, second = np.round(np.asarray(a, float), 9), np.round(np.asarray(b, float), 9)
    if len(first) < 3 or np.isnan(first).any() or np.ptp(first) == 0 or np.ptp(second) == 0:
        return math.nan
    return float(spearmanr(first, second).statistic)


def calibration(
    said: np.ndarray, exact: np.ndarray, bins: int = BINS
) -> tuple[tuple[int, float, float], ...]:
    """(cases, mean said, mean exact) of parts of equal size, by what was said."""
    parts = np.array_split(np.argsort(said, kind="stable"), min(bins, len(said)))
    return tuple((len(part), float(said[part].mean()), float(exact[part].mean())) for part in parts)
