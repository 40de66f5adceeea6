"""`lmrlgym sweep`: every environment with every algorithm and seed; given again, it goes on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from lmrlgym.analysis.runs import records_in
from lmrlgym.commands.agents import agents
from lmrlgym.commands.options import Flag, Keywords, RayAddress, keywords, made, parse, registered
from lmrlgym.commands.terminal import show
from lmrlgym.distributed import Cluster


@dataclass(frozen=True)
class SweepOptions:
    """Train every algorithm on every environment with every seed, one run folder each in OUT.

    Finished runs are skipped and killed ones go on. FILE describes a sweep in TOML instead of
    --envs, --algorithms and --seeds.
    """

    out: Path
    """folder of the runs"""
    file: tyro.conf.Positional[Path | None] = None
    """a sweep in TOML; None: the options say it"""
    envs: tuple[str, ...] = ()
    """environment ids"""
    algorithms: tuple[str, ...] = ()
    """algorithms: names, or dotted paths of your own"""
    seeds: tuple[int, ...] = (0, 1, 2)
    """training seeds"""
    env_kwargs: Keywords = ()
    """keywords of the environments, key=value or one JSON object"""
    base: str = "tiny-v1"
    """the frozen model"""
    quick: Flag = False
    """40 gradient steps and 25 games a run"""
    kept: Path | None = None
    """a file of `compare --keep`: finished runs that it holds are not trained again"""
    jobs: int = 1
    """runs trained at once, each in a process of its own; 1 trains in this one"""
    ray: RayAddress = None
    """train on a Ray cluster: HOST:PORT, ray://HOST:PORT, local or local:WORKERS"""
    ray_gpus: float = 0.0
    """GPUs of each run there; 0.5 lets two share one"""


def main(argv: Sequence[str]) -> int:
    """Train what is missing; 1 if a run failed."""
    options = parse(SweepOptions, "sweep", argv)
    if options.ray is not None and options.jobs != 1:
        raise ValueError("--jobs are processes of this machine: leave it out with --ray, whose workers train")
    if options.out.exists() and not options.out.is_dir():
        raise ValueError(f"--out wants a folder, {options.out} is a file")
    module = agents("sweep")
    if options.file is not None:
        if options.envs or options.algorithms:
            raise ValueError(f"{options.file} says what to train: leave --envs and --algorithms out")
        asked = module.read_sweep(options.file, options.out, quick=options.quick)
    else:
        given = keywords(options.env_kwargs)
        asked = module.Sweep(
            options.out,
            [(env_id, given) for env_id in options.envs],
            {name: module.Setup(name) for name in options.algorithms},
            options.seeds,
            {"base": options.base},
            quick=options.quick,
        )
    for env_id, env_kwargs in asked.environments:
        made(registered(env_id), env_kwargs)
    held = [] if options.kept is None else records_in(options.kept)
    kept = [record.run for record in held if record.is_finished]
    runner = None if options.ray is None else _Workers(Cluster(options.ray, options.ray_gpus), module)
    try:
        outcomes = module.run_sweep(
            asked, options.jobs, lambda one: show(f"{one.folder}: {one.what}"), runner, kept
        )
    except KeyboardInterrupt:
        show("interrupted: the same command goes on from the last whole round of each run")
        raise
    failed = sum(one.failed for one in outcomes)
    show(
        f"{len(outcomes)} runs in {options.out}, {failed} failed; lmrlgym compare {options.out} compares them"
    )
    return 1 if failed else 0


@dataclass(frozen=True)
class _Workers:
    """A sweep's runner: every run goes to a worker of `cluster`; `module` is that of sweeps."""

    cluster: Cluster
    module: Any

    def __call__(self, planned: Sequence[Any]) -> Iterator[Any]:
        numbers = {job.folder: number for number, job in enumerate(planned)}
        after = [numbers.get(job.training.start) for job in planned]
        arguments = [(job,) for job in planned]
        with self.cluster as cluster:
            for number, outcome in cluster.each(self.module.attempt_quietly, arguments, after):
                yield self._checked(planned[number].folder, outcome)

    def _checked(self, folder: Path, outcome: Any) -> Any:
        if isinstance(outcome, ChildProcessError):
            return self.module.Outcome(folder, str(outcome))
        if not outcome.failed and not self.module.is_finished(folder):
            return self.module.Outcome(folder, "trained, but not here: OUT must be a folder of all machines")
        return outcome
