"""Training as a command: one folder a run, with its configuration, its log and the agent.

run.json                what was asked for, resolved; which base and data; what validation games chose
log.jsonl               one JSON object a line: "step", "validation", and last "result"
evaluation.parquet      the games of the final evaluation, with seeds, tasks and sampled tokens
adapter_*, base.json    the policy: `PeftModel.from_pretrained(base, folder)` reads it
value/ ...              further adapters;  value_heads.safetensors  everything else
checkpoint/             the same after the last whole round, with the optimiser, to go on from
tensorboard/            the curves
"""

from __future__ import annotations

import contextlib
import dataclasses
import inspect
import json
import os
import shutil
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import gymnasium
import torch
import tyro
from safetensors.torch import load_file, save_file
from tqdm.auto import tqdm

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics
from baselines.core.fit import Progress, fit, new_progress, optimizer_state, restore_optimizer
from baselines.core.model import LM, load_base
from baselines.core.policy import LMPolicy
from baselines.core.processes import processes
from baselines.core.registry import find_algorithm
from baselines.core.runlog import Counters, Log, NoLog, find_tracker, origin, prompt_tokens
from baselines.core.store import (
    checkpoint_folder,
    plain,
    restore_agent,
    write_agent,
    write_json,
)
from lmrlgym import (
    Dataset,
    Seeds,
    Summary,
    TextEnv,
    Trajectory,
    data_path,
    evaluate,
    normalise,
    reference,
    rollout,
    summarise,
)  # fmt: skip
from lmrlgym import __version__ as version

_GAMES_A_SEED = 1_000_000
_PARALLEL = 128
"""Games that are played at once, by one process."""
EVALUATION = "evaluation.parquet"


Keywords = Annotated[
    tuple[tuple[str, ...], ...],
    tyro.conf.UseAppendAction,
    tyro.conf.arg(metavar="KEY=VALUE|JSON", help="keywords of the environment"),
]


@dataclass(frozen=True)
class Training:
    """What every training run is told besides the algorithm's own configuration."""

    env: tyro.conf.Positional[str]
    """id of the environment, such as lmrlgym/Maze-v0"""
    out: Path | None = None
    """folder of the run; None: runs/ALGORITHM-ENVIRONMENT-SEED"""
    env_kwargs: tyro.conf.Suppress[dict[str, Any]] = field(default_factory=dict)
    """keywords of the environment"""
    data: str = ""
    """dataset to learn from: a shipped name or a file; "": the mixed set shipped for the environment"""
    base: str = "tiny-v1"
    """the frozen model: tiny-v1, smollm2-135m, a folder or a Hugging Face name"""
    start: Path | None = None
    """run whose policy training starts from; None: algorithms that need one first train bc in OUT/bc"""
    device: str = "auto"
    """cpu, cuda, ... ; auto: the GPU if there is one"""
    dtype: str = "auto"
    """of the frozen base: float32, bfloat16; auto: bfloat16 on a GPU, else float32"""
    autocast: bool = False
    """multiply matrices in bfloat16 while learning; about twice as fast where the processor can"""
    recompute: bool = False
    """gradient checkpointing: layers are computed again for the gradients, which saves memory, not time"""
    threads: int = 0
    """torch threads; 0 leaves it alone"""
    validate_every: int = 0
    """rounds between games on validation seeds, for the learning curve; 0: none"""
    validation_games: int = 100
    """games of such a validation"""
    betas: tuple[float, ...] = ()
    """values of beta to try on validation games after training; the best acts from then on; none: beta"""
    repeats: int = 8
    """size of the final evaluation by the environment's protocol (games a start in Maze); 0: none"""
    episodes: int | None = None
    """the most games of the final evaluation, spread evenly over its tasks; None: no limit"""
    label: str = ""
    """what tables call runs with this setup; "": the algorithm's name"""
    tracker: str = ""
    """package.module:function that gets the run's folder and every record of its log; "": none"""
    resume: bool = False
    """go on with the run in OUT; its own configuration counts"""


class Run:
    """One training run in its folder: build, go on, play, log."""

    def __init__(self, name: str, training: Training, config: AlgorithmConfig, folder: Path) -> None:
        self.name, self.training, self.config, self.folder = name, training, config, folder
        if training.betas and not hasattr(config, "beta"):
            raise ValueError(f"betas {training.betas} were given, but {name} acts without a beta")
        self.data = None if config.games else load_dataset(self._data_name(), training.env)
        self.algorithm = build(name, training, config)
        self.progress = new_progress(self.algorithm)
        self.tracker = find_tracker(training.tracker)
        self.counters = Counters()
        self.chosen: dict[str, Any] = {}
        self.all = processes()

    def start(self) -> None:
        """Begin anew: the starting policy, and run.json."""
        start = self.training.start
        if start is None and self.algorithm.needs_policy:
            start = self._clone_first()
        if start is not None:
            self.algorithm.lm.load_adapter(POLICY, start)
        self.algorithm.started()
        if self.all.is_first:
            self._write_record(start)

    def _write_record(self, start: Path | None) -> None:
        lm = self.algorithm.lm
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            self.folder / "run.json",
            {
                "algorithm": self.name,
                "training": plain(dataclasses.asdict(self.training)),
                "config": plain(dataclasses.asdict(self.config)),
                "base": {"name": lm.base_name, "sha256": lm.base_sha256},
                "data": self._data_record(start),
                "start": None if start is None else str(start),
                "version": version,
                **origin(),
            },
        )

    def _data_record(self, start: Path | None) -> dict[str, Any] | None:
        """Which games were learned from: the dataset, or online the one that the starting policy cloned."""
        if self.data is not None:
            return {"name": self._data_name(), "sha256": self.data.card.get("sha256", "")}
        begun = start / "run.json" if start is not None else None
        if begun is None or not begun.is_file():
            return None
        record: dict[str, Any] | None = json.loads(begun.read_text()).get("data")
        return record

    def _clone_first(self) -> Path:
        from baselines.bc import BC

        folder = self.folder / "bc"
        training = dataclasses.replace(
            self.training,
            out=folder,
            data=self._data_name(),
            repeats=0,
            betas=(),
            resume=(folder / "run.json").is_file(),  # this training was killed before
        )
        config = BC.Config(
            seed=self.config.seed,
            rank=self.config.rank,
            max_new_tokens=self.config.max_new_tokens,
            look_back=self.config.look_back,
        )
        train("bc", training, config)
        return folder

    def restore(self) -> None:
        """Go on from the last whole round, or begin anew where there is none yet."""
        folder = checkpoint_folder(self.folder)
        if folder is None:
            self.start()
            return
        restore_agent(self.algorithm, folder)
        state = json.loads((folder / "state.json").read_text())
        self.progress.round, self.progress.gradient_steps = state["round"], state["gradient_steps"]
        self.progress.trained_tokens = state.get("trained_tokens", 0)
        self.counters = Counters(**state["counters"])
        restore_optimizer(
            self.progress, self.algorithm.learned(), load_file(folder / "optimizer.safetensors")
        )

    def fit(self) -> Summary | None:
        """Train to the end, evaluate, and write the agent into the folder."""
        log = Log(self.folder, self.progress.gradient_steps, self.tracker) if self.all.is_first else NoLog()
        bar = tqdm(
            total=self.config.rounds * self.config.steps, initial=self.progress.gradient_steps,
            desc=self.folder.name, unit="step", disable=not self.all.is_first,
        )  # fmt: skip
        begin = time.perf_counter() - self.counters.seconds

        def on_step(number: int, metrics: Metrics) -> None:
            log.step(metrics)
            bar.update()

        def after_round(progress: Progress) -> None:
            self.counters.seconds = time.perf_counter() - begin
            means = log.flush(progress.gradient_steps)
            bar.set_postfix({key: f"{means[key]:.3f}" for key in list(means)[:1]})
            every = self.training.validate_every
            if every and (progress.round % every == 0 or progress.round == self.config.rounds):
                used = {f"used_{key}": value for key, value in self._used().items()}
                log.write("validation", progress.gradient_steps, {**self._validate()._asdict(), **used})
            if self.all.is_first:
                self._checkpoint()

        fit(self.algorithm, self._rounds(log), self.config, on_step, self.progress, after_round)
        bar.close()
        if self.training.betas:
            self._choose_beta(log)
        if self.all.is_first:
            write_agent(self.algorithm, self.folder)
        self.all.wait()  # the others may want to read it
        summary = self._evaluate(log) if self.training.repeats and self.all.is_first else None
        log.close()
        return summary

    def _used(self) -> dict[str, Any]:
        """What the run has cost so far."""
        return {**dataclasses.asdict(self.counters), "trained_tokens": self.progress.trained_tokens}

    def _rounds(self, log: Log | NoLog) -> Any:
        if self.data is not None:
            return lambda number: self.data

        def played(number: int) -> Sequence[Trajectory]:
            seed = Seeds.ONLINE + self.config.seed * _GAMES_A_SEED + number * self.config.games
            games = self._play(self.config.games, seed)
            self.counters.add(games, self.algorithm.encoder)
            log.write("rollout", self.progress.gradient_steps, summarise(games)._asdict())
            return [game for game in games if game.info["stop_reason"] != "partner_error"]

        return played

    def _play(self, games: int, seed: int) -> list[Trajectory]:
        """Games, shared by the processes; each is as wide as one alone, so that they are the same."""
        width = min(games, _PARALLEL)
        seeds = self.all.own(range(seed, seed + games))
        own = rollout(
            self.training.env, self.algorithm.policy(width=width), len(seeds), seed=seeds,
            parallel=width, env_kwargs=self.training.env_kwargs,
        )  # fmt: skip
        return self.all.all(own)

    def _validate(self) -> Summary:
        return summarise(self._play(self.training.validation_games, Seeds.VALIDATION))

    def _choose_beta(self, log: Log | NoLog) -> None:
        """Act with the one of `betas` that earns most in validation games; run.json keeps it as `chosen`."""
        earned: dict[float, float] = {}
        for beta in self.training.betas:
            self._act_with(beta)
            summary = self._validate()
            log.write("beta", self.progress.gradient_steps, {"beta": beta, **summary._asdict()})
            earned[beta] = summary.return_mean
        self._act_with(max(earned, key=lambda beta: earned[beta]))
        if self.all.is_first:
            record = json.loads((self.folder / "run.json").read_text())
            write_json(self.folder / "run.json", {**record, "chosen": self.chosen})

    def _act_with(self, beta: float) -> None:
        self.chosen = {"beta": beta}
        self.algorithm.config = dataclasses.replace(self.config, **self.chosen)

    def _evaluate(self, log: Log | NoLog) -> Summary:
        training = self.training
        games = evaluate(
            training.env, self.algorithm.policy(), repeats=training.repeats, episodes=training.episodes,
            env_kwargs=training.env_kwargs, progress=True,
        )  # fmt: skip
        summary = summarise(games)
        asked = command(self.name, training, self.config)
        Dataset(tuple(games), {"env_id": training.env, "command": asked}).save(self.folder / EVALUATION)
        prompts = sum(prompt_tokens(game, self.algorithm.encoder) for game in games)
        log.write("result", self.progress.gradient_steps, self._result(summary, prompts))
        return summary

    def _result(self, summary: Summary, prompts: int) -> dict[str, Any]:
        training, lm = self.training, self.algorithm.lm
        learned = self.algorithm.learned().values()
        return {
            "command": command(self.name, training, self.config),
            "task": training.env,
            "env_kwargs": plain(training.env_kwargs),
            "algorithm": self.name,
            "seed": self.config.seed,
            "base": lm.base_name,
            "parameters": sum(p.numel() for p in lm.model.parameters()),
            "learned_parameters": sum(p.numel() for p in learned),
            "batch": self.config.batch_size,
            "learning_rate": self.config.learning_rate,
            "chosen": self.chosen,
            **origin(),
            **self._used(),
            "peak_memory_bytes": peak_memory_bytes(lm.device),
            **{f"evaluation_{key}": value for key, value in summary._asdict().items()},
            "evaluation_prompt_tokens": prompts,
            "references": self._references(),
            "gamma_per_turn": self._gamma_per_turn(summary),
            **{f"score_{scoring}": self._score(summary, scoring) for scoring in ("optimal", "lmrl2023")},
        }

    def _gamma_per_turn(self, summary: Summary) -> float | None:
        """gamma counts per token: what it comes to for an utterance of the length just played."""
        gamma = dataclasses.asdict(self.config).get("gamma")
        turns = summary.length * (summary.episodes - summary.partner_errors)
        return None if gamma is None or not turns else float(gamma ** (summary.agent_tokens / turns))

    def _references(self) -> dict[str, Any] | None:
        """What the scores are made of; None for a game without references."""
        try:
            known = reference(self.training.env, **self.training.env_kwargs)
        except ValueError:
            return None
        paper = None if known.lmrl2023 is None else list(known.lmrl2023)
        return {"random": known.random, "best": known.best, "kind": known.kind, "lmrl2023": paper}

    def _score(self, summary: Summary, scoring: Literal["optimal", "lmrl2023"]) -> float | None:
        """None for a game without references, such as a user's own."""
        try:
            score = normalise(self.training.env, summary.return_mean, scoring, **self.training.env_kwargs)
        except ValueError:
            return None
        return score

    def _checkpoint(self) -> None:
        beside = self.folder / "checkpoint.partial"
        shutil.rmtree(beside, ignore_errors=True)
        write_agent(self.algorithm, beside)
        save_file(optimizer_state(self.progress, self.algorithm.learned()), beside / "optimizer.safetensors")
        write_json(
            beside / "state.json",
            {
                "round": self.progress.round,
                "gradient_steps": self.progress.gradient_steps,
                "trained_tokens": self.progress.trained_tokens,
                "counters": dataclasses.asdict(self.counters),
            },
        )
        # A kill between the two renames leaves the old checkpoint under its other name.
        last, old = self.folder / "checkpoint", self.folder / "checkpoint.old"
        shutil.rmtree(old, ignore_errors=True)
        if last.exists():
            os.replace(last, old)
        os.replace(beside, last)
        shutil.rmtree(old, ignore_errors=True)

    def _data_name(self) -> str:
        return self.training.data or default_dataset(self.training.env, self.training.env_kwargs)


def build(name: str, training: Training, config: AlgorithmConfig) -> Algorithm:
    """The algorithm over its base, as it is before any training."""
    env = gymnasium.make(training.env, disable_env_checker=True, **training.env_kwargs).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"{training.env} is not a lmrlgym.TextEnv, got {type(env).__name__}")
    device = device_named(training.device)
    base = load_base(training.base, device, dtype_named(training.dtype, device))
    return find_algorithm(name)(
        LM(base, autocast=training.autocast, recompute=training.recompute), config, env.context
    )


def device_named(name: str) -> torch.device:
    """The device `name` of `Training.device`. Raises `ValueError` where it is not there."""
    if name == "auto":
        own = processes().device
        if own is not None:
            return own
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"there is no device {name!r} here: {str(error).splitlines()[0]}") from error


def dtype_named(name: str, device: torch.device) -> torch.dtype:
    """The type `name` of `Training.dtype` on `device`. Raises `ValueError` for another name."""
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    known["auto"] = known["bfloat16" if device.type == "cuda" else "float32"]
    if name not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}, got {name!r}")
    return known[name]


def load_dataset(name: str, env_id: str) -> Dataset:
    """The dataset `name`. Raises `ValueError` if it is not there or holds games of another environment."""
    try:
        data = Dataset.load(name)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error
    others = {game.env_id for game in data} - {env_id}
    if others:
        raise ValueError(f"{name} holds games of {', '.join(sorted(others))}, not of {env_id}")
    return data


def default_dataset(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
    """The mixed set that is shipped for this environment. Raises `ValueError` if there is none."""
    for path in sorted(data_path().glob("*/*mixed-v0.card.json")):
        card = json.loads(path.read_text())
        if card.get("env_id") == env_id and card.get("env_kwargs") == dict(env_kwargs):
            return f"{path.parent.name}/{path.name.removesuffix('.card.json')}"
    raise ValueError(f"no dataset is shipped for {env_id} with {dict(env_kwargs)}; give one with --data")


def train(name: str, training: Training, config: AlgorithmConfig) -> Summary | None:
    """Train algorithm `name` and return its evaluation (None if `training.repeats` is 0).

    Of several processes the first one evaluates; the others return None, before it has.

    Raises `ValueError` for a folder that already holds a run (unless it is resumed), an unknown
    algorithm, base or dataset.
    """
    folder = training.out or default_folder(name, training, config)
    if training.threads:
        torch.set_num_threads(training.threads)
    forget_peak_memory()
    if training.resume:
        stored, training, config = read_run(folder)
        run = Run(stored, dataclasses.replace(training, out=folder), config, folder)
        run.restore()
    else:
        holds_run = (folder / "run.json").exists()
        processes().wait()  # none writes before all have looked
        if holds_run:
            raise ValueError(f"{folder} holds a run already: use --resume, or another --out")
        run = Run(name, training, config, folder)
        run.start()
    return run.fit()


def command(name: str, training: Training, config: AlgorithmConfig) -> str:
    """The command line that asks for this run: what differs from the defaults."""
    words = ["lmrlgym train", name, training.env]
    for part, default in ((training, Training(env=training.env)), (config, type(config)())):
        for one in dataclasses.fields(part):
            value = getattr(part, one.name)
            if value != getattr(default, one.name) and one.name not in ("out", "resume"):
                flag = one.name.replace("_", "-")
                if isinstance(value, bool):
                    words.append(f"--{flag}" if value else f"--no-{flag}")
                elif isinstance(value, Mapping):
                    words += [f"--{flag}", *(f"{key}={word}" for key, word in value.items())]
                elif isinstance(value, tuple):
                    words += [f"--{flag}", *map(str, value)]
                else:
                    words += [f"--{flag}", str(value)]
    return " ".join(words)


def default_folder(name: str, training: Training, config: AlgorithmConfig) -> Path:
    """runs/ALGORITHM-ENVIRONMENT-SEED"""
    return Path("runs") / f"{name}-{training.env.rsplit('/', 1)[-1]}-{config.seed}"


def read_run(folder: Path) -> tuple[str, Training, AlgorithmConfig]:
    """(algorithm, training, config) of the run in `folder`. Raises `ValueError` if it holds none."""
    try:
        return asked_in(json.loads((folder / "run.json").read_text()))
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} holds no run: {error}") from error


def asked_in(record: Mapping[str, Any]) -> tuple[str, Training, AlgorithmConfig]:
    """(algorithm, training, config) of a run.json; options that it is too old to know have their defaults.

    Raises `KeyError` or `TypeError` if it is none.
    """
    name = record["algorithm"]
    paths = {k: Path(v) if v else None for k, v in record["training"].items() if k in ("out", "start")}
    betas = tuple(record["training"].get("betas", ()))
    training = Training(**{**record["training"], **paths, "betas": betas})
    return name, training, find_algorithm(name).Config(**record["config"])


def load_algorithm(folder: Path, **changes: Any) -> Algorithm:
    """The trained agent in `folder`; `changes` replace fields of its configuration, such as beta."""
    name, training, config = read_run(folder)
    chosen = json.loads((folder / "run.json").read_text()).get("chosen", {})
    algorithm = build(name, training, dataclasses.replace(config, **{**chosen, **changes}))
    restore_agent(algorithm, folder)
    return algorithm


def load_policy(folder: str | Path, temperature: float | None = None) -> LMPolicy:
    """The trained agent in `folder` as a policy; `temperature` None is the one it was trained with."""
    return load_algorithm(Path(folder)).policy(temperature)


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory used so far: of the GPU, or of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    peak = [line.split()[1] for line in lines if line.startswith("VmHWM:")]
    if peak:
        return int(peak[0]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def forget_peak_memory() -> None:
    """Let the peak begin anew, where the system can: a process may train several agents."""
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


# ---- the command line ----


def command_line(name: str) -> type[Any]:
    """The options of `lmrlgym train NAME`, a dataclass: `training`, `config`, the words of env_kwargs."""
    kind = find_algorithm(name)
    options = dataclasses.make_dataclass(
        "Train",
        [
            ("training", tyro.conf.OmitArgPrefixes[Training]),
            ("config", tyro.conf.OmitArgPrefixes[kind.Config]),  # type: ignore[misc, name-defined]
            ("env_kwargs", Keywords, field(default=())),
        ],
    )
    options.__doc__ = inspect.getdoc(inspect.getmodule(kind)) or inspect.getdoc(kind)
    return options
