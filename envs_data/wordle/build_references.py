"""Makes references.json of this folder: `python envs_data/wordle/build_references.py` (a quarter of an hour).

Random play is exact: a guess drawn uniformly from n words misses with probability 1 - 1/n, so guess
number k is made and missed with (1 - 1/n)^k. Best play is the solver's,
over all guesses; the other players are played.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lmrlgym.collection import evaluate, policy_named
from lmrlgym.envs.wordle import HEADER, SHIPPED, TRIES, vocabulary_of
from lmrlgym.resources import replacing
from lmrlgym.rollouts import summarise
from lmrlgym.solvers.wordle import WordleSolver
from lmrlgym.types import Seeds, Turn

ENV_ID = "lmrlgym/Wordle-v0"
COMMAND = "python envs_data/wordle/build_references.py"
GAMES = 65_536
"""Of each player: sixteen times the protocol, so that a reference is four times as sharp as a result."""
PROTOCOL = {"tasks": None, "repeats": 4096, "first_seed": int(Seeds.EVALUATION)}
PAPER_WORDS = "5e56216aa777247798e4c1fd67eafb7478a387065b9e934ced99aed3943017f8"
PAPER_COUNT = 431
PAPER = {"min": -6, "avg": -4.121715, "max": -1.935}
REASON = "the paper's constants are those of its own 431 words, wordle_official_400.txt"


def random_return(words: int) -> float:
    return -sum((1 - 1 / words) ** guess for guess in range(1, TRIES + 1))


def played(level: str, env_kwargs: dict[str, Any]) -> float:
    """The mean return of `level` over `GAMES` games."""
    player = policy_named(level, ENV_ID, **env_kwargs)
    return round(summarise(evaluate(ENV_ID, player, repeats=GAMES, env_kwargs=env_kwargs)).return_mean, 4)


def data_mean(vocabulary: str) -> float | None:
    """The mean return of the shipped data of the mixed player, if there are any."""
    card = Path(__file__).parent / f"{vocabulary.replace('-', '')}-mixed-v0.card.json"
    return float(json.loads(card.read_text(encoding="utf-8"))["return_mean"]) if card.exists() else None


def entry(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The references of one configuration."""
    words = vocabulary_of(env_kwargs["vocabulary"])
    best = WordleSolver(words, counted="compat" not in env_kwargs)
    mixed = played("mixed", env_kwargs)
    random = random_return(len(words))
    return {
        "env_kwargs": env_kwargs,
        "random": random,
        "behaviour_played": mixed,
        "data_mean": None if "compat" in env_kwargs else data_mean(env_kwargs["vocabulary"]),
        "levels": {"random": random, "mixed": mixed, "expert": played("expert", env_kwargs)},
        "best": {"value": best.value((Turn(HEADER, False),)), "kind": best.kind},
        "protocol": PROTOCOL,
        "lmrl2023": None,
        "lmrl2023_reason": REASON,
    }


def paper_entry(env_kwargs: dict[str, Any]) -> dict[str, Any]:
    """The paper's word file, which is not shipped: its data and its best scripted player are the paper's."""
    return {
        "env_kwargs": {"vocabulary": f"sha256:{PAPER_WORDS}", **env_kwargs},
        "random": random_return(PAPER_COUNT),
        "behaviour_played": PAPER["avg"],
        "data_mean": PAPER["avg"],
        "levels": {
            "random": random_return(PAPER_COUNT),
            "mixed": PAPER["avg"],
            "expert": PAPER["max"],
        },
        "best": {"value": PAPER["max"], "kind": "best_known"},
        "protocol": PROTOCOL,
        "lmrl2023": PAPER,
        "lmrl2023_reason": "",
    }


def main() -> None:
    modes: tuple[dict[str, Any], ...] = ({}, {"compat": True})
    entries = [entry({"vocabulary": name, **mode}) for name in SHIPPED for mode in modes]
    entries += [paper_entry(mode) for mode in modes]
    with replacing(Path(__file__).parent / "references.json") as beside:
        text = json.dumps({ENV_ID: entries, "command": COMMAND}, indent=2)
        beside.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
