"""Answers a second of a partner: `python -m benchmarks.partners` prints one row.

Of a model, to the first question of `--width` games, asked together and one at a time, by turns in the same
run: the ratio travels from machine to machine, rates do not.

Of `scripted`, to texts it has never read, and to all texts of the mixed set in the order they were played,
most of which it has then read before: in processor time, with one core. `--questions` names a CSV with a
column `question` that is read instead of the set's distinct texts.
"""

from __future__ import annotations

import csv
import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import gymnasium
import tyro

from lmrlgym import Dataset, PartnerEnv, Query

QUESTIONS = {
    "lmrlgym/TwentyQuestions-v0": "Is it something you would find in a kitchen?\n",
    "lmrlgym/GuessMyCity-v0": "Does the city lie by the sea?\n",
    "lmrlgym/CarDealer-v0": "Hello! What is your budget?\n",
}


@dataclass(frozen=True)
class Options:
    """What the command is told."""

    partner: tyro.conf.Positional[str] = "hf:tiny-v1"
    """hf:MODEL, http(s)://HOST/v1#MODEL or scripted"""
    env: str = "lmrlgym/TwentyQuestions-v0"
    """id of a dialogue game"""
    width: int = 64
    """games asked together"""
    repeats: int = 5
    """how often both ways take turns; medians are printed"""
    questions: Path | None = None
    """scripted: a CSV with a column `question`; None: the distinct texts of the mixed set"""
    json: bool = False
    """print one JSON object"""


class Row(NamedTuple):
    """Medians; `ratio` is the median of the ratios."""

    partner: str
    env: str
    width: int
    together_a_second: float
    alone_a_second: float
    ratio: float

    def __str__(self) -> str:
        return (
            f"{self.partner} in {self.env}: {self.together_a_second:.0f} answers/s in a batch of "
            f"{self.width}, {self.alone_a_second:.0f} one at a time, {self.ratio:.1f} times"
        )


class ScriptedRow(NamedTuple):
    """Answers a second of processor time."""

    env: str
    new_texts: int
    new_a_second: float
    played_texts: int
    played_a_second: float

    def __str__(self) -> str:
        return (
            f"scripted in {self.env}: {self.new_a_second:,.0f} answers/s to {self.new_texts:,} new texts, "
            f"{self.played_a_second:,.0f} to {self.played_texts:,} texts as they were played"
        )


FIRST = (
    "Is it big?",
    "Is it bigger than two feet and heavier than 2 kg?",
    "Is it as big as the Eiffel tower?",
    "Does it have more than three wheels?",
    "Could you fit it in a wallet, or lift it with your hands?",
    "Does it start with the letter z?",
    "Is it the largest animal in the world, but not a whale?",
)
"""Read before anything is measured: the first question of a kind reads tables and compiles patterns."""
SETS = {
    "lmrlgym/TwentyQuestions-v0": "twenty_questions/mixed-v0",
    "lmrlgym/GuessMyCity-v0": "guess_my_city/mixed-v0",
}


def measured_scripted(options: Options) -> ScriptedRow:
    """Once in a process: what has been read is kept, so that it is new only once.

    Raises `ValueError` for a game whose partner keeps a ledger, where a text is no question by itself.
    """
    if options.env not in SETS:
        raise ValueError(f"expected one of {sorted(SETS)}, got {options.env!r}")
    played = [turn.text for game in Dataset.load(SETS[options.env]) for turn in game.turns if turn.is_action]
    new = list(dict.fromkeys(played))
    if options.questions is not None:
        with options.questions.open(encoding="utf-8", newline="") as lines:
            new = list(dict.fromkeys(row["question"] for row in csv.DictReader(lines)))
    env = gymnasium.make(options.env).unwrapped
    env.reset(seed=0)
    assert isinstance(env, PartnerEnv)
    env.partner.reply(_queries(env, FIRST))
    rates = []
    for texts in (new, played):
        queries = _queries(env, texts)
        start = time.process_time()
        for query in queries:
            env.partner.reply([query])
        rates.append(len(queries) / (time.process_time() - start))
    return ScriptedRow(options.env, len(new), rates[0], len(played), rates[1])


def _queries(env: PartnerEnv, texts: Sequence[str]) -> list[Query]:
    """What the partner is asked; a guess that the rules themselves answer is no question for it."""
    asked = (env._ask(text) for text in texts)
    return [query for query in asked if isinstance(query, Query)]


def measured(options: Options) -> Row:
    """Ask both ways, by turns; the first round warms up and does not count."""
    games = [gymnasium.make(options.env, partner=options.partner).unwrapped for _ in range(options.width)]
    queries = []
    for seed, env in enumerate(games):
        env.reset(seed=seed)
        assert isinstance(env, PartnerEnv)
        asked = env._ask(QUESTIONS[options.env])
        assert isinstance(asked, Query)
        queries.append(asked)
    partner = games[0].partner  # type: ignore[attr-defined]
    rounds = []
    for _ in range(options.repeats + 1):
        together = _seconds(partner, [queries])
        rounds.append((together, _seconds(partner, [[query] for query in queries])))
    counted = rounds[1:]
    return Row(
        options.partner,
        options.env,
        options.width,
        options.width / statistics.median(together for together, _ in counted),
        options.width / statistics.median(alone for _, alone in counted),
        statistics.median(alone / together for together, alone in counted),
    )


def _seconds(partner: object, calls: Sequence[Sequence[Query]]) -> float:
    start = time.perf_counter()
    for call in calls:
        partner.reply(call)  # type: ignore[attr-defined]
    return time.perf_counter() - start


if __name__ == "__main__":
    asked = tyro.cli(Options)
    row = measured_scripted(asked) if asked.partner == "scripted" else measured(asked)
    print(json.dumps(row._asdict()) if asked.json else row)
