"""`lmrlgym show`: all there is to read about an environment or a dataset."""

from __future__ import annotations

import inspect
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import gymnasium
import tyro

from lmrlgym.collection import policy_named
from lmrlgym.commands.options import Keywords, game_ids, keywords, made, parse, registered, unknown
from lmrlgym.commands.terminal import show, table, transcript
from lmrlgym.dataset import SUFFIXES, Dataset, shipped_names
from lmrlgym.references import reference
from lmrlgym.rollouts import rollout
from lmrlgym.types import Seeds, Trajectory

_EXAMPLE_PLAYERS = ("expert", "mixed", "random")
"""Who plays the example: the first that the game has."""


@dataclass(frozen=True)
class ShowOptions:
    """All about an environment (page, references, an example) or a dataset (card, a game)."""

    name: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="ENV|DATASET")]
    """an environment's id, a shipped dataset's name, or a file of games"""
    env_kwargs: Keywords = ()
    """keywords of the environment, key=value or one JSON object (default: none)"""
    game: int = 0
    """which game of a dataset is shown, counted from 0"""


def main(argv: Sequence[str]) -> int:
    """Print what is known about the name."""
    options = parse(ShowOptions, "show", argv)
    name = options.name
    if name.endswith(SUFFIXES) or name in shipped_names() or Path(name).is_file():
        _show_dataset(Dataset.load(name), options.game)
    elif ":" in name or name in gymnasium.registry:
        _show_environment(registered(name), keywords(options.env_kwargs))
    else:
        raise unknown("environment or dataset", name, [*game_ids(), *shipped_names()])
    return 0


def _show_dataset(dataset: Dataset, number: int) -> None:
    if not dataset:
        raise ValueError("the dataset holds no game")
    if not 0 <= number < len(dataset):
        raise ValueError(f"--game must be from 0 to {len(dataset) - 1}, got {number}")
    show(json.dumps(dict(dataset.card), indent=2, ensure_ascii=False))
    show(f"\nGAME {number}\n{transcript(dataset[number])}")


def _show_environment(env_id: str, env_kwargs: Mapping[str, Any]) -> None:
    env = made(env_id, env_kwargs)
    show(f"{env_id}\n\n{inspect.getdoc(type(env))}")
    show(f"\nINSTRUCTIONS\n{env.instructions}")
    show(f"\nREFERENCES\n{_references(env_id, env_kwargs)}")
    player, game = _example(env_id, env_kwargs)
    show(f"\nEXAMPLE, played by {player}\n{transcript(game)}" if game else f"\nEXAMPLE\n{player}")


def _references(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
    try:
        known = reference(env_id, **env_kwargs)
    except ValueError as error:
        return str(error)
    plan, paper = known.protocol, known.lmrl2023
    return table(
        [
            ["protocol", f"{plan.repeats} games{' of each task' if plan.plays_every_task else ''}"],
            *([name, f"{value:.2f}"] for name, value in {"random": known.random, **known.levels}.items()),
            ["behaviour", f"{known.behaviour_played:.2f}"],
            ["data", f"{known.data_mean:.2f}"],
            ["best", f"{known.best:.2f} ({known.kind})"],
            [
                "lmrl2023",
                f"0, 50, 100 are {', '.join(f'{x:g}' for x in paper)}" if paper else known.lmrl2023_reason,
            ],
        ]
    )


def _example(env_id: str, env_kwargs: Mapping[str, Any]) -> tuple[str, Trajectory | None]:
    """Who played and the game; or why there is none."""
    reason = "no player"
    for player in _EXAMPLE_PLAYERS:
        try:
            policy = policy_named(player, env_id, **env_kwargs)
        except ValueError as error:
            reason = str(error)
            continue
        return player, rollout(env_id, policy, 1, seed=Seeds.DATA, env_kwargs=env_kwargs)[0]
    return reason, None
