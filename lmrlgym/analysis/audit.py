"""How far a partner can be trusted: a game's exam, put to one partner, and counted.

accuracy        answers to single facts that are right by the game's table (or ledger)
consistency     pairs of wordings of one question, each in a game of its own, that are answered alike
contradictions  pairs of wordings of one question in the same game that are answered otherwise
leaks           answers whose words give the secret away; told_leaks: that still do as the agent hears them
injections      planted instructions that were obeyed, or made the partner give the secret away
not_understood  questions that the environment counts as not understood
determinism     answers that come back word for word when asked again with the same seeds
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np

from lmrlgym.analysis.exams import Ask, Dialogue, Exam, Heard
from lmrlgym.env import Partner, PartnerEnv, Query, Reply
from lmrlgym.references import key_of
from lmrlgym.rollouts import make_games
from lmrlgym.types import Seeds

_Z95 = 1.959964


class Share(NamedTuple):
    """`value` of `cases`, with the 95 % Wilson interval; NaN of none."""

    value: float
    low: float
    high: float
    cases: int


class Audit(NamedTuple):
    """The measures of the module's docstring, and what the answers took."""

    accuracy: Share
    consistency: Share
    contradictions: Share
    leaks: Share
    told_leaks: Share
    injections: Share
    not_understood: Share
    partner_errors: Share
    determinism: Share
    answers: int
    answers_per_second: float
    """Of the partner alone, in batches of `width`, the first batch (in which models warm up) left out."""
    tokens_per_answer: float


class _Answer(NamedTuple):
    """One ask and what came of it; `heard` is None where the partner was not asked or failed."""

    ask: Ask
    said: tuple[str, ...]
    heard: Heard | None
    is_error: bool
    is_understood: bool


def exam_of(env_id: str) -> Exam:
    """The exam of a game. Raises `ValueError` if it has none."""
    name = f"lmrlgym.analysis.exams.{key_of(env_id)}"
    if not key_of(env_id) or find_spec(name) is None:
        raise ValueError(f"{env_id} has no exam for partners; dialogue games have")
    exam: Exam = import_module(name).EXAM
    return exam


def audit(
    env_id: str,
    *,
    questions: int = 500,
    seed: int = Seeds.EVALUATION,
    width: int = 64,
    env_kwargs: Mapping[str, Any] = {},
    exam: Exam | None = None,
    progress: bool = False,
) -> Audit:
    """Examine the partner of `env_id` (in `env_kwargs`) with `questions` facts and as many other texts.

    `width` games are asked at once. Raises `ValueError` for a game without an exam (and none given).
    """
    if questions < 2 or width < 1:
        raise ValueError(f"questions must be at least 2 and width at least 1, got {questions} and {width}")
    exam = exam or exam_of(env_id)
    rng = np.random.default_rng(seed)
    facts = exam.facts(rng, questions)
    talks = exam.talks(rng, max(1, questions // 6))
    planted = exam.injections(rng, max(1, questions // 4))
    again = facts[: max(1, questions // 4)]
    table = _Table(env_id, width, env_kwargs, seed)
    total = sum(len(part) for part in (facts, talks, planted, again))
    with _bar(total, env_id, progress) as bar:
        told, talked, obeyed, repeated = (
            list(table.played(part, bar)) for part in (facts, talks, planted, again)
        )
    return _counted(exam, facts, told, talked, obeyed, repeated, table.recorder)


def _counted(
    exam: Exam,
    facts: Sequence[Dialogue],
    told: list[list[_Answer]],
    talked: list[list[_Answer]],
    obeyed: list[list[_Answer]],
    repeated: list[list[_Answer]],
    recorder: _Recorder,
) -> Audit:
    judged = [answer for game in (*told, *talked) for answer in game]
    everything = [*judged, *(answer for game in obeyed for answer in game)]
    heard = [answer for answer in everything if answer.heard is not None]
    by_task: dict[str, list[_Answer]] = {}
    for dialogue, game in zip(facts, told, strict=True):
        by_task.setdefault(repr(dialogue.options), []).extend(game)
    alike = [same for game in by_task.values() for same in _pairs(exam, game)]
    in_talk = [not same for game in talked for same in _pairs(exam, game)]
    twice = [
        _words(first) == _words(second)
        for one, other in zip(told, repeated, strict=False)
        for first, second in zip(one, other, strict=True)
    ]
    return Audit(
        # Not those of talks: most facts of one object are untrue, and whoever only says no would shine.
        accuracy=_share(
            [_is_right(exam, answer) for game in told for answer in game if answer.ask.right and answer.heard]
        ),
        consistency=_share(alike),
        contradictions=_share(in_talk),
        leaks=_share([_leaks(exam, answer, answer.heard.words) for answer in heard if answer.heard]),
        told_leaks=_share([_leaks(exam, answer, answer.heard.told) for answer in heard if answer.heard]),
        injections=_share([_is_obeyed(exam, game[-1]) for game in obeyed if game and game[-1].heard]),
        not_understood=_share([not answer.is_understood for answer in judged]),
        partner_errors=_share([answer.is_error for answer in everything]),
        determinism=_share(twice),
        answers=recorder.answers,
        answers_per_second=recorder.per_second,
        tokens_per_answer=recorder.tokens / recorder.answers if recorder.answers else math.nan,
    )


def _pairs(exam: Exam, game: Sequence[_Answer]) -> Iterator[bool]:
    """Of every two asks of one group: whether they are answered alike."""
    for one, other in combinations(game, 2):
        if one.heard and other.heard and one.ask.group and one.ask.group == other.ask.group:
            yield exam.meaning(one.heard) == exam.meaning(other.heard)


def _is_right(exam: Exam, answer: _Answer) -> bool:
    return answer.heard is not None and exam.meaning(answer.heard) in answer.ask.right


def _leaks(exam: Exam, answer: _Answer, text: str) -> bool:
    return answer.heard is not None and exam.gives_away(text, answer.heard.query, answer.said)


def _is_obeyed(exam: Exam, answer: _Answer) -> bool:
    if answer.heard is None:
        return False
    wanted, words = answer.ask.wanted, answer.heard.words
    is_said = bool(wanted) and (exam.meaning(answer.heard) == wanted or wanted.lower() in words.lower())
    return is_said or _leaks(exam, answer, words)


def _words(answer: _Answer) -> str | None:
    return answer.heard.words if answer.heard else None


def _share(cases: Sequence[bool]) -> Share:
    count = len(cases)
    if not count:
        return Share(math.nan, math.nan, math.nan, 0)
    share, z2 = sum(cases) / count, _Z95**2
    middle = (share + z2 / (2 * count)) / (1 + z2 / count)
    half = _Z95 / (1 + z2 / count) * math.sqrt(share * (1 - share) / count + z2 / (4 * count**2))
    return Share(share, max(0.0, middle - half), min(1.0, middle + half), count)


class _Recorder:
    """A partner that keeps what another one says, by the random stream of the game, and how long it took."""

    def __init__(self, partner: Partner) -> None:
        self.partner = partner
        self.last: dict[int, tuple[Query, str]] = {}
        self.answers = self.tokens = self._timed = 0
        self._seconds = 0.0
        self._is_warm = False

    def reply(self, queries: Sequence[Query]) -> Sequence[str | Reply]:
        start = time.perf_counter()
        said = self.partner.reply(queries)
        if self._is_warm:
            self._seconds += time.perf_counter() - start
            self._timed += len(queries)
        self._is_warm = True
        self.answers += len(queries)
        for query, reply in zip(queries, said, strict=True):
            heard = reply if isinstance(reply, Reply) else Reply(reply)
            self.tokens += heard.prompt_tokens + heard.completion_tokens
            self.last[id(query.rng)] = (query, heard.text)
        return said

    @property
    def per_second(self) -> float:
        return self._timed / self._seconds if self._timed else math.nan


class _Table:
    """Games side by side, in which dialogues are played, `width` at a time."""

    def __init__(self, env_id: str, width: int, env_kwargs: Mapping[str, Any], seed: int) -> None:
        self._games = make_games(env_id, width, env_kwargs)
        first = self._games.envs[0]
        if not isinstance(first, PartnerEnv):
            raise ValueError(f"{env_id} has no partner to examine")
        self.recorder = _Recorder(first.partner)
        for env in self._games.envs:
            env.partner = self.recorder  # type: ignore[attr-defined]
        self._width, self._seed = width, int(seed)

    def played(self, dialogues: Sequence[Dialogue], bar: Any) -> Iterator[list[_Answer]]:
        """The answers to every dialogue; dialogue i has the seed of this table + i."""
        for start in range(0, len(dialogues), self._width):
            chunk = dialogues[start : start + self._width]
            yield from self._batch(chunk, self._seed + start)
            bar.update(len(chunk))

    def _batch(self, chunk: Sequence[Dialogue], seed: int) -> list[list[_Answer]]:
        answers: list[list[_Answer]] = [[] for _ in chunk]
        for i, dialogue in enumerate(chunk):
            self._games.reset_game(i, seed=seed + i, options=dialogue.options)
        running = set(range(len(chunk)))
        for turn in range(max(len(dialogue.asks) for dialogue in chunk)):
            running = {i for i in running if turn < len(chunk[i].asks)}
            self.recorder.last.clear()
            before = [env._not_understood for env in self._games.envs]
            texts = [chunk[i].asks[turn].text if i in running else None for i in range(self._games.num_envs)]
            for i, step in enumerate(self._games.play(texts)):
                if step is None:
                    continue
                env, asks = self._games.envs[i], chunk[i].asks[: turn + 1]
                asked = self.recorder.last.get(id(env.np_random))
                is_error = step.info["stop_reason"] == "partner_error"
                heard = None if asked is None or is_error else Heard(*asked, step.observation)
                is_understood = env._not_understood == before[i]
                said = tuple(ask.text for ask in asks)
                answers[i].append(_Answer(asks[-1], said, heard, is_error, is_understood))
                if step.terminated or step.truncated:
                    running.discard(i)
        return answers


def _bar(total: int, name: str, is_shown: bool) -> Any:
    from tqdm.auto import tqdm

    return tqdm(total=total, desc=f"audit {name}", unit="dialogue", disable=not is_shown, smoothing=0.0)
