"""How likely a trained agent is to say what others said: what off-policy evaluation needs of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from baselines.core.policy import LMPolicy
from baselines.core.run import EVALUATION, load_policy
from baselines.core.tokens import Encoder
from lmrlgym import Dataset, Trajectory, Turn

_WIDTH = 64
"""Games scored side by side, where the policy has no width of its own."""


class Scored(NamedTuple):
    """What an agent would have said."""

    log_probs: list[np.ndarray]
    """(utterances,) for each game"""
    uncommon: float
    """Share of the agent's own utterances whose tokens are not those its tokenizer gives their text; NaN
    where the run kept no games."""


def scored(
    folder: Path, games: Sequence[Trajectory], temperature: float | None = None, progress: bool = False
) -> Scored:
    """The agent of the run in `folder`, at `temperature` (None: its own), on games that anybody played.

    An utterance's probability is that of its tokens: those that were sampled, where the games hold tokens of
    the agent's own vocabulary, else the ones its tokenizer gives the text. Several sequences may spell one
    text, so the second is a lower bound; `uncommon` says how far it is off.
    """
    policy = load_policy(folder, temperature)
    found: list[np.ndarray] = []
    with tqdm(total=len(games), desc="scoring", unit="game", disable=not progress) as bar:
        for begin in range(0, len(games), _WIDTH):
            some = games[begin : begin + _WIDTH]
            found += _together(policy, [_own_tokens(policy.encoder, game.turns) for game in some])
            bar.update(len(some))
    return Scored(found, _uncommon(policy.encoder, folder))


def _together(policy: LMPolicy, games: Sequence[tuple[Turn, ...]]) -> list[np.ndarray]:
    """Games side by side, utterance by utterance, so that each reads on from where it is."""
    policy.sampler.width = policy.sampler.width or _WIDTH
    at = [[i for i, turn in enumerate(turns) if turn.is_action] for turns in games]
    found: list[list[float]] = [[] for _ in games]
    for number in range(max(len(each) for each in at)):
        prompts: list[tuple[int, ...]] = [()] * len(games)
        said: list[tuple[int, ...]] = [()] * len(games)
        for game, (turns, places) in enumerate(zip(games, at, strict=True)):
            if number < len(places):
                prompts[game] = policy.encoder.prompt(turns[: places[number]])
                said[game] = policy.encoder.turn(turns[places[number]])
        for game, log_prob in enumerate(policy.sampler.score(prompts, said)):
            if number < len(at[game]):
                found[game].append(log_prob)
    return [np.array(each, float) for each in found]


def _own_tokens(encoder: Encoder, turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns without the tokens of another vocabulary."""
    return tuple(
        turn if not turn.tokens or _spells(encoder, turn) else turn._replace(tokens=(), log_probs=())
        for turn in turns
    )


def _spells(encoder: Encoder, turn: Turn) -> bool:
    known = max(turn.tokens) < len(encoder.tokenizer)
    return known and encoder.said(turn.tokens, ()).text == turn.text


def _uncommon(encoder: Encoder, folder: Path) -> float:
    if not (folder / EVALUATION).is_file():
        return math.nan
    said = [turn for game in Dataset.load(folder / EVALUATION) for turn in game.turns if turn.tokens]
    uncommon = [encoder.turn(turn._replace(tokens=())) != turn.tokens for turn in said]
    return float(np.mean(uncommon)) if uncommon else math.nan
