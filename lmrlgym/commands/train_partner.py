"""`lmrlgym train-partner`: a language model that plays the partner of a dialogue game."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lmrlgym.collection import collect_replies
from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import EnvId, Flag, made, parse, registered
from lmrlgym.commands.terminal import show, watched
from lmrlgym.dataset import Dataset
from lmrlgym.types import Seeds

DIALOGUES = "replies.parquet"


@dataclass(frozen=True)
class TrainPartnerOptions:
    """Teach a language model to be the scripted partner, by cloning what that says in scripted dialogues.

    OUT becomes a training run; `--partner hf:OUT` and `partner="hf:OUT"` play with it.
    """

    env: EnvId
    """the environment's id"""
    out: Path = Path("runs/partner")
    """folder of the run"""
    base: str = "tiny-v1"
    """the frozen model: tiny-v1, smollm2-135m, a folder or a Hugging Face name"""
    games: int = 2000
    """scripted games to learn from"""
    level: str = "mixed"
    """who plays them: a scripted player of the game"""
    partner: str = "scripted"
    """whom to learn from"""
    balance: bool = True
    """learn from at most as many of the commonest reply as of all others: most guesses are answered no"""
    rounds: int = 20
    """rounds of training; a run can be resumed after each"""
    steps: int = 50
    """gradient steps a round"""
    batch_size: int = 64
    """replies a gradient step"""
    learning_rate: float = 2e-3
    """AdamW's learning rate at the start"""
    rank: int = 32
    """rank of the LoRA adapter"""
    seed: int = 0
    """training seed"""
    device: str = "auto"
    """cpu, cuda, ... ; auto: the GPU if there is one"""
    threads: int = 0
    """torch threads; 0 leaves it alone"""
    resume: Flag = False
    """go on with the run in OUT; its own configuration counts"""


def main(argv: Sequence[str]) -> int:
    """Collect the dialogues, train, and say how to play with the result."""
    options = parse(TrainPartnerOptions, "train-partner", argv)
    env_id = registered(options.env)
    made(env_id, {}).close()
    run = agents("run")
    replies = options.out / DIALOGUES
    if not options.resume:
        _write_replies(options, env_id, replies)
    training = run.Training(
        env=env_id, out=options.out, data=str(replies), base=options.base, device=options.device,
        threads=options.threads, repeats=0, resume=options.resume,
    )  # fmt: skip
    config = agents("registry").find_algorithm("bc").Config(
        seed=options.seed, rank=options.rank, rounds=options.rounds, steps=options.steps,
        batch_size=options.batch_size, learning_rate=options.learning_rate,
    )  # fmt: skip
    run.train("bc", training, config)
    show(f"written: {options.out}; ask it with lmrlgym audit {env_id} --partner hf:{options.out}")
    return 0


def _write_replies(options: TrainPartnerOptions, env_id: str, path: Path) -> None:
    """What the partner says. Raises `ValueError` if OUT holds a run already."""
    if (options.out / "run.json").exists():
        raise ValueError(f"{options.out} holds a run already: use --resume, or another --out")
    data = collect_replies(
        env_id, options.level, options.games, Seeds.DATA, progress=watched(), partner=options.partner
    )
    options.out.mkdir(parents=True, exist_ok=True)
    (balanced(data, options.seed) if options.balance else data).save(path)


def balanced(data: Dataset, seed: int) -> Dataset:
    """The replies without so many of the commonest one, drawn at random, that it is at most half of them."""
    (text, count), *_ = Counter(game.turns[-1].text for game in data).most_common(1)
    kept = len(data) - count
    if count <= kept or not kept:
        return data
    common = [place for place, game in enumerate(data) if game.turns[-1].text == text]
    left_out = set(np.random.default_rng(seed).choice(common, count - kept, replace=False).tolist())
    games = tuple(game for place, game in enumerate(data) if place not in left_out)
    return Dataset(games, {**data.card, "left_out": count - kept})
