"""`lmrlgym train`: one algorithm on one environment; the options are the algorithm's own."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import keywords, made, parse, registered
from lmrlgym.commands.terminal import show

_USAGE = """usage: lmrlgym train ALGORITHM ENV [options]

ALGORITHM: {algorithms}, or the dotted path of your own.
lmrlgym train ALGORITHM --help shows every option and default."""


def main(argv: Sequence[str]) -> int:
    """Train one agent. Without an algorithm, say which there are."""
    run = agents("run")
    if not argv or argv[0].startswith("-"):
        show(_USAGE.format(algorithms=", ".join(agents("registry").algorithm_names())))
        return 0
    name = argv[0]
    asked = parse(run.command_line(name), f"train {name}", argv[1:])
    training = dataclasses.replace(asked.training, env_kwargs=keywords(asked.env_kwargs))
    made(registered(training.env), training.env_kwargs)
    folder = training.out or run.default_folder(name, training, asked.config)
    summary = run.train(name, training, asked.config)
    if summary is not None:
        interval = f"[{summary.return_low:.2f}, {summary.return_high:.2f}]"
        show(f"{training.env}: mean return {summary.return_mean:.2f} {interval}, {summary.episodes} games")
    show(f"written: {folder}")
    return 0
