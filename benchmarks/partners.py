"""What batching is worth to a partner that is a model: `python -m benchmarks.partners` prints one row.

Answers a second to the first question of `--width` games, asked together and one at a time, by turns in
the same run: the ratio travels from machine to machine, rates do not.
"""

from __future__ import annotations

import json
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import gymnasium
import tyro

from lmrlgym import PartnerEnv, Query

QUESTIONS = {
    "lmrlgym/TwentyQuestions-v0": "Is it something you would find in a kitchen?\n",
    "lmrlgym/GuessMyCity-v0": "Does the city lie by the sea?\n",
    "lmrlgym/CarDealer-v0": "Hello! What is your budget?\n",
}


@dataclass(frozen=True)
class Options:
    """What the command is told."""

    partner: tyro.conf.Positional[str] = "hf:tiny-v1"
    """hf:MODEL or http(s)://HOST/v1#MODEL"""
    env: str = "lmrlgym/TwentyQuestions-v0"
    """id of a dialogue game"""
    width: int = 64
    """games asked together"""
    repeats: int = 5
    """how often both ways take turns; medians are printed"""
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
    row = measured(asked)
    print(json.dumps(row._asdict()) if asked.json else row)
