"""Many runs by one command: every environment with every setup and seed, one run folder each.

    OUT/ENVIRONMENT/SETUP-SEED        a run (see `baselines.core.run`)
    OUT/ENVIRONMENT/_start-SEED-RANK  a cloned policy that runs start from, where no bc run can serve

A sweep is resumed by giving it again: finished runs are left alone, killed ones go on.
"""

from __future__ import annotations

import dataclasses
import json
import os
import re
import signal
import threading
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Any, NamedTuple

import gymnasium

from baselines.core.algorithm import AlgorithmConfig
from baselines.core.registry import find_algorithm
from baselines.core.run import Training, asked_in, default_dataset, load_dataset, read_run, train
from baselines.core.store import plain

QUICK_STEPS, QUICK_GAMES = 40, 25
_VALIDATIONS, _VALIDATION_GAMES = 5, 50
_BC = "bc"
OUTPUT = "output.txt"
RETRIES = 3
"""How often a run goes on whose process was killed."""


@dataclass(frozen=True)
class Setup:
    """An algorithm and the options that differ from its defaults."""

    algorithm: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """What to train: `environments` are (id, keywords), `setups` by the name that tables show.

    `training` holds options of `Training` for all runs, and under an environment's id those for its runs;
    `options` more options of algorithms, by environment id and then by setup.
    """

    out: Path
    environments: Sequence[tuple[str, Mapping[str, Any]]]
    setups: Mapping[str, Setup]
    seeds: Sequence[int]
    training: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    quick: bool = False


class Job(NamedTuple):
    """One run of a sweep."""

    algorithm: str
    training: Training
    config: AlgorithmConfig

    @property
    def folder(self) -> Path:
        """Where it is."""
        assert self.training.out is not None
        return self.training.out


class Outcome(NamedTuple):
    """What became of a run: "trained", "skipped" (it was finished) or what went wrong."""

    folder: Path
    what: str

    @property
    def failed(self) -> bool:
        """Whether it has no result."""
        return self.what not in ("trained", "skipped")


Runner = Callable[[Sequence[Job]], Iterator[Outcome]]
"""Attempts runs, each after the one it starts from, and gives their outcomes as they end."""


def read_sweep(file: Path, out: Path, *, quick: bool = False) -> Sweep:
    """The sweep that a TOML file describes (docs/compare.md shows one). Raises `ValueError` if it is none."""
    try:
        found = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise ValueError(f"{file} is no sweep: {error}") from error
    unknown = set(found) - {"envs", "algorithms", "seeds", "training", "setups", "options"}
    if unknown:
        raise ValueError(f"{file} has unknown keys {', '.join(sorted(unknown))}")
    setups = {name: Setup(name) for name in found.get("algorithms", ())}
    for name, table in found.get("setups", {}).items():
        rest = dict(table)
        setups[name] = Setup(rest.pop("algorithm", name), rest)
    environments = [
        (each, {}) if isinstance(each, str) else (each["id"], {k: v for k, v in each.items() if k != "id"})
        for each in found.get("envs", ())
    ]
    return Sweep(
        out, environments, setups, found.get("seeds", [0]), found.get("training", {}),
        found.get("options", {}), quick,
    )  # fmt: skip


def jobs(sweep: Sweep) -> list[Job]:
    """Every run, starting policies first where others need them.

    Raises `ValueError` for an unknown environment option, algorithm, dataset or option, before anything is
    trained.
    """
    if not (sweep.environments and sweep.setups and sweep.seeds):
        raise ValueError("a sweep wants at least one environment, one algorithm and one seed")
    twice = {seed for seed in sweep.seeds if list(sweep.seeds).count(seed) > 1}
    if twice:
        raise ValueError(f"seeds are named twice: {', '.join(map(str, sorted(twice)))}")
    if min(sweep.seeds) < 0:
        raise ValueError(f"seeds must be 0 or more, got {min(sweep.seeds)}")
    found: dict[Path, Job] = {}
    for env_id, env_kwargs in sweep.environments:
        for seed in sweep.seeds:
            for name in sorted(sweep.setups, key=lambda name: sweep.setups[name].algorithm != _BC):
                for job in _with_start(sweep, env_id, env_kwargs, name, seed):
                    found.setdefault(job.folder, job)
    for job in found.values():
        if not job.config.games or job.training.data:
            name = job.training.data or default_dataset(job.training.env, job.training.env_kwargs)
            load_dataset(name, job.training.env)
    return list(found.values())


def _with_start(
    sweep: Sweep, env_id: str, env_kwargs: Mapping[str, Any], name: str, seed: int
) -> Iterator[Job]:
    """The run, after the cloned policy that it starts from, if it needs one."""
    kind = find_algorithm(sweep.setups[name].algorithm)
    config = _config(sweep, env_id, name, seed)
    training = _training(sweep, env_id, env_kwargs, name, config)
    if kind.needs_policy and training.start is None:
        start = _start(sweep, env_id, env_kwargs, config)
        yield start
        training = dataclasses.replace(training, start=start.folder)
    yield Job(sweep.setups[name].algorithm, training, config)


def _start(sweep: Sweep, env_id: str, env_kwargs: Mapping[str, Any], config: AlgorithmConfig) -> Job:
    """The bc run of the same seed, if its adapter has the same rank; else a cloned policy of its own."""
    if _BC in sweep.setups and sweep.setups[_BC].algorithm == _BC:
        cloned = _config(sweep, env_id, _BC, config.seed)
        if cloned.rank == config.rank:
            return Job(_BC, _training(sweep, env_id, env_kwargs, _BC, cloned), cloned)
    plain = dataclasses.replace(sweep, setups={"_start": Setup(_BC, {"rank": config.rank})}, options={})
    cloned = _config(plain, env_id, "_start", config.seed)
    training = _training(plain, env_id, env_kwargs, "_start", cloned)
    folder = training.out.with_name(f"_start-{config.seed}-{config.rank}") if training.out else None
    return Job(_BC, dataclasses.replace(training, out=folder, repeats=0, validate_every=0), cloned)


def _config(sweep: Sweep, env_id: str, name: str, seed: int) -> AlgorithmConfig:
    setup = sweep.setups[name]
    kind = find_algorithm(setup.algorithm).Config
    options = {**setup.options, **sweep.options.get(env_id, {}).get(name, {})}
    unknown = set(options) - {each.name for each in dataclasses.fields(kind)}
    if unknown:
        raise ValueError(f"{setup.algorithm} has no option {', '.join(sorted(unknown))} (setup {name!r})")
    config = kind(**{**options, "seed": seed})
    if sweep.quick:
        rounds = 2
        games = min(config.games, QUICK_GAMES)
        config = dataclasses.replace(config, rounds=rounds, steps=QUICK_STEPS // rounds, games=games)
    return config


def _training(
    sweep: Sweep, env_id: str, env_kwargs: Mapping[str, Any], name: str, config: AlgorithmConfig
) -> Training:
    general = {key: value for key, value in sweep.training.items() if key not in gymnasium.registry}
    own = {**general, **sweep.training.get(env_id, {})}
    unknown = set(own) - {each.name for each in dataclasses.fields(Training)}
    if unknown:
        raise ValueError(f"training has no option {', '.join(sorted(unknown))}")
    asked: dict[str, Any] = {
        "validate_every": 0 if sweep.quick else max(1, config.rounds // _VALIDATIONS),
        "validation_games": _VALIDATION_GAMES,
        **({"episodes": QUICK_GAMES} if sweep.quick else {}),
        **own,
        "label": "" if name == sweep.setups[name].algorithm else name,
    }
    asked["betas"] = tuple(asked.get("betas", ())) if hasattr(config, "beta") else ()
    folder = sweep.out / environment_folder(env_id, env_kwargs) / f"{_filename(name)}-{config.seed}"
    return Training(env=env_id, env_kwargs=dict(env_kwargs), out=folder, **asked)


def environment_folder(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
    """A folder's name for an environment with its keywords."""
    words = [f"{key}={value}" for key, value in sorted(env_kwargs.items())]
    return _filename("-".join([env_id.removeprefix("lmrlgym/"), *words]))


def _filename(text: str) -> str:
    return re.sub(r"[^\w.=+-]", "_", text)


def run_sweep(
    sweep: Sweep,
    processes: int = 1,
    report: Callable[[Outcome], None] = lambda outcome: None,
    runner: Runner | None = None,
    kept: Sequence[str] = (),
) -> list[Outcome]:
    """Train what is not finished yet; one failed run does not stop the others.

    Runs whose run.json is one of the texts `kept`, but for folders, are left out, if none starts from them.

    `processes` 1 trains in this process, more train so many runs at once, each in a process of its own
    with one thread; a `runner` given trains elsewhere. Raises `ValueError` as `jobs` does.
    """
    if processes < 1:
        raise ValueError(f"jobs must be at least 1, got {processes}")
    planned = _without_kept(jobs(sweep), kept)
    if runner is None:
        runner = partial(in_processes, processes=processes) if processes > 1 else in_turn
    outcomes = []
    for outcome in runner(planned):
        outcomes.append(outcome)
        report(outcome)
    return outcomes


def _without_kept(planned: Sequence[Job], kept: Sequence[str]) -> list[Job]:
    """The runs that are not kept, and those which they start from."""
    try:
        held = {_identity(*asked_in(json.loads(text))) for text in kept}
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"one of the kept runs is of no documented form: {error}") from error
    wanted = [job for job in planned if _identity(*job) not in held]
    needed = {job.folder for job in wanted} | {job.training.start for job in wanted}
    return [job for job in planned if job.folder in needed]


def _identity(algorithm: str, training: Training, config: AlgorithmConfig) -> str:
    """All that was asked of a run, but for folders."""
    asked = dataclasses.replace(training, out=None, start=None, resume=False)
    return json.dumps(
        [algorithm, *(plain(dataclasses.asdict(part)) for part in (asked, config))], sort_keys=True
    )


def in_turn(planned: Sequence[Job]) -> Iterator[Outcome]:
    """Train in this process, one run after the other."""
    return map(attempt, planned)


def in_processes(planned: Sequence[Job], processes: int) -> Iterator[Outcome]:
    """Train `processes` runs at once, each in a process of its own; outcomes come as runs end.

    A run waits for the one it starts from. One whose process is killed goes on in another, at most
    `RETRIES` times. Whoever stops asking for outcomes, as an interruption does, stops the processes.
    """
    waiting = list(planned)
    unfinished = {job.folder for job in planned}
    kills = dict.fromkeys(unfinished, 0)
    running: dict[Connection, tuple[Job, SpawnProcess]] = {}
    try:
        while waiting or running:
            ready = [job for job in waiting if job.training.start not in unfinished]
            for job in ready[: processes - len(running)]:
                waiting.remove(job)
                running.update([_begun(job)])
            for pipe in wait(list(running)):
                assert isinstance(pipe, Connection)
                job, process = running.pop(pipe)
                try:
                    outcome = pipe.recv()
                except EOFError:
                    kills[job.folder] += 1
                    if kills[job.folder] <= RETRIES:
                        waiting.insert(0, job)
                        continue
                    outcome = Outcome(job.folder, f"its process was killed {kills[job.folder]} times")
                process.join()
                unfinished.discard(job.folder)
                yield outcome
    finally:
        for _, process in running.values():
            process.terminate()
            process.join()


def _begun(job: Job) -> tuple[Connection, tuple[Job, SpawnProcess]]:
    """A process that trains, and the pipe through which its outcome comes; closed if it is killed."""
    context = get_context("spawn")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(sender, job))
    process.start()
    sender.close()
    return receiver, (job, process)


def _send(pipe: Connection, job: Job) -> None:
    """What such a process does. It ends with its parent, which alone hears an interruption."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = parent_process()
    assert parent is not None

    def end_with_parent() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    pipe.send(attempt_quietly(job))


def attempt_quietly(job: Job) -> Outcome:
    """As `attempt`, with one thread; what training says goes to `output.txt` in the run's folder."""
    import torch

    torch.set_num_threads(1)
    try:
        job.folder.mkdir(parents=True, exist_ok=True)
        file = (job.folder / OUTPUT).open("a", encoding="utf-8")
    except OSError as error:
        return _failure(job, error)
    with file, redirect_stdout(file), redirect_stderr(file):
        return attempt(job)


def attempt(job: Job) -> Outcome:
    """Train one run, or go on with it, if it is not finished; what goes wrong is told."""
    try:
        return Outcome(job.folder, _trained(job))
    except Exception as error:  # whatever went wrong, the other runs still count
        return _failure(job, error)


def _failure(job: Job, error: Exception) -> Outcome:
    return Outcome(job.folder, f"{type(error).__name__}: {str(error).strip() or 'no message'}")


def _trained(job: Job) -> str:
    exists = (job.folder / "run.json").is_file()
    if exists:
        name, training, config = read_run(job.folder)
        asked = dataclasses.replace(job.training, resume=training.resume)
        if (name, training, config) != (job.algorithm, asked, job.config):
            raise ValueError(
                f"{job.folder} holds another run: {_difference(training, asked, config, job.config)}"
            )
        if is_finished(job.folder):
            return "skipped"
    train(job.algorithm, dataclasses.replace(job.training, resume=exists), job.config)
    return "trained"


def _difference(*pairs: Any) -> str:
    """What two configurations disagree on."""
    found = []
    for one, other in zip(pairs[::2], pairs[1::2], strict=True):
        theirs, own = dataclasses.asdict(one), dataclasses.asdict(other)
        found += [
            f"{key} is {theirs.get(key)!r}, asked is {own.get(key)!r}"
            for key in {**theirs, **own}
            if theirs.get(key) != own.get(key)
        ]
    return "; ".join(found) or "another algorithm"


def is_finished(folder: Path) -> bool:
    """Whether the run in `folder` has its last word: a result, or the weights if it is not evaluated."""
    try:
        _, training, _ = read_run(folder)
        if not training.repeats:
            return (folder / "adapter_model.safetensors").is_file()
        lines = (folder / "log.jsonl").read_text(encoding="utf-8").splitlines()
        return bool(lines) and json.loads(lines[-1]).get("kind") == "result"
    except (OSError, ValueError):
        return False
