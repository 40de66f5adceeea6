"""Training as a command: one folder a run, with its configuration, its log and the agent.

run.json                what was asked for, resolved; which base and data
log.jsonl               one JSON object a line: "step", "validation", and last "result"
adapter_*, base.json    the policy: `PeftModel.from_pretrained(base, folder)` reads it
value/ ...              further adapters;  value_heads.safetensors  everything else
checkpoint/             the same after the last whole round, with the optimiser, to go on from
tensorboard/            the curves
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import json
import os
import pkgutil
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TextIO

import gymnasium
import torch
import tyro
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor
from tqdm.auto import tqdm

import baselines
from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics
from baselines.core.fit import Progress, fit, new_progress, optimizer_state, restore_optimizer
from baselines.core.model import LM, load_base
from baselines.core.policy import LMPolicy
from lmrlgym import (
    Dataset,
    Seeds,
    Summary,
    TextEnv,
    Trajectory,
    data_path,
    evaluate,
    normalise,
    rollout,
    summarise,
)  # fmt: skip
from lmrlgym import __version__ as version

HEADS = "value_heads.safetensors"
_GAMES_A_SEED = 1_000_000


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
    threads: int = 0
    """torch threads; 0 leaves it alone"""
    validate_every: int = 0
    """rounds between games on validation seeds, for the learning curve; 0: none"""
    validation_games: int = 100
    """games of such a validation"""
    repeats: int = 8
    """size of the final evaluation by the environment's protocol (games a start in Maze); 0: none"""
    resume: bool = False
    """go on with the run in OUT; its own configuration counts"""


# ---- finding algorithms ----


def algorithm_names() -> list[str]:
    """The algorithms of this package: its modules that hold a subclass of `Algorithm`."""
    names = [module.name for module in pkgutil.iter_modules(baselines.__path__) if not module.ispkg]
    return [name for name in names if _classes(f"baselines.{name}")]


def find_algorithm(name: str) -> type[Algorithm]:
    """The algorithm `name`: a module of this package, or a dotted path to a module or `module:Class`.

    Raises `ValueError` if there is none.
    """
    path, _, class_name = name.partition(":")
    module = path if "." in path or class_name else f"baselines.{path}"
    try:
        classes = _classes(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ValueError(
            f"no algorithm {name!r}; there are: {', '.join(algorithm_names())}, "
            "or the dotted path of your own module"
        ) from error
    found = [c for c in classes if not class_name or c.__name__ == class_name]
    if len(found) != 1:
        raise ValueError(f"{module} holds {len(found)} algorithms{f' named {class_name}' * bool(class_name)}")
    return found[0]


def _classes(module_name: str) -> list[type[Algorithm]]:
    module = importlib.import_module(module_name)
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Algorithm) and value.__module__ == module.__name__
    ]


# ---- a run ----


@dataclass
class Counters:
    """What a run has used so far."""

    seconds: float = 0.0
    environment_steps: int = 0
    agent_tokens: int = 0
    partner_tokens: int = 0

    def add(self, games: Sequence[Trajectory]) -> None:
        """Count games that were played."""
        summary = summarise(games)
        self.environment_steps += sum(turn.is_action for game in games for turn in game.turns)
        self.agent_tokens += summary.agent_tokens
        self.partner_tokens += summary.partner_tokens


class Log:
    """log.jsonl and TensorBoard. Step metrics are averaged over a round, which is what resuming keeps."""

    def __init__(self, folder: Path, keep: int) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self.path = folder / "log.jsonl"
        lines = self.path.read_text().splitlines() if self.path.exists() else []
        with replacing_text(self.path) as file:
            file.writelines(line + "\n" for line in lines if _holds_still(line, keep))
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=keep + 1)
        self._waiting: list[Metrics] = []

    def step(self, metrics: Metrics) -> None:
        """Metrics of one gradient step."""
        self._waiting.append(metrics)

    def flush(self, gradient_steps: int) -> Metrics:
        """Write the mean of the waiting step metrics."""
        waiting, self._waiting = self._waiting, []
        means = {key: sum(m[key] for m in waiting) / len(waiting) for key in (waiting[0] if waiting else {})}
        self.write("step", gradient_steps, means)
        return means

    def write(self, kind: str, gradient_steps: int, values: Mapping[str, Any]) -> None:
        """One line, and its numbers as curves."""
        record = _plain({"kind": kind, "gradient_steps": gradient_steps, **values})
        with self.path.open("a") as file:
            file.write(json.dumps(record, allow_nan=False) + "\n")
        for key, value in values.items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                self._board.add_scalar(f"{kind}/{key}", value, gradient_steps)

    def close(self) -> None:
        """Write what TensorBoard holds back."""
        self._board.close()


def _holds_still(line: str, keep: int) -> bool:
    """Whether a line of a log belongs to what a checkpoint after `keep` gradient steps knows of."""
    try:
        record = json.loads(line)
    except ValueError:  # the run was killed while it wrote
        return False
    if record["kind"] in ("rollout", "result"):  # written after the checkpoint of their step
        return bool(record["gradient_steps"] < keep and record["kind"] == "rollout")
    return bool(record["gradient_steps"] <= keep)


class Run:
    """One training run in its folder: build, go on, play, log."""

    def __init__(self, name: str, training: Training, config: AlgorithmConfig, folder: Path) -> None:
        self.name, self.training, self.config, self.folder = name, training, config, folder
        self.data = None if config.games else load_dataset(self._data_name())
        self.algorithm = build(name, training, config)
        self.progress = new_progress(self.algorithm)
        self.counters = Counters()

    def start(self) -> None:
        """Begin anew: the starting policy, and run.json."""
        start = self.training.start
        if start is None and self.algorithm.needs_policy:
            start = self._clone_first()
        if start is not None:
            self.algorithm.lm.load_adapter(POLICY, start)
        self.algorithm.started()
        lm = self.algorithm.lm
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(
            self.folder / "run.json",
            {
                "algorithm": self.name,
                "training": _plain(dataclasses.asdict(self.training)),
                "config": _plain(dataclasses.asdict(self.config)),
                "base": {"name": lm.base_name, "sha256": lm.base_sha256},
                "start": None if start is None else str(start),
                "version": version,
            },
        )

    def _clone_first(self) -> Path:
        from baselines.bc import BC

        folder = self.folder / "bc"
        training = dataclasses.replace(
            self.training,
            out=folder,
            data=self._data_name(),
            repeats=0,
            resume=(folder / "run.json").is_file(),  # this training was killed before
        )
        config = BC.Config(
            seed=self.config.seed, rank=self.config.rank, max_new_tokens=self.config.max_new_tokens
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
        self.counters = Counters(**state["counters"])
        restore_optimizer(
            self.progress, self.algorithm.learned(), load_file(folder / "optimizer.safetensors")
        )

    def fit(self) -> Summary | None:
        """Train to the end, evaluate, and write the agent into the folder."""
        log = Log(self.folder, self.progress.gradient_steps)
        total = self.config.rounds * self.config.steps
        bar = tqdm(total=total, initial=self.progress.gradient_steps, desc=self.folder.name, unit="step")
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
                log.write("validation", progress.gradient_steps, self._validate()._asdict())
            self._checkpoint()

        fit(self.algorithm, self._rounds(log), self.config, on_step, self.progress, after_round)
        bar.close()
        write_agent(self.algorithm, self.folder)
        summary = self._evaluate(log) if self.training.repeats else None
        log.close()
        return summary

    def _rounds(self, log: Log) -> Any:
        if self.data is not None:
            return lambda number: self.data

        def played(number: int) -> Sequence[Trajectory]:
            seed = Seeds.ONLINE + self.config.seed * _GAMES_A_SEED + number * self.config.games
            games = self._play(self.config.games, seed)
            self.counters.add(games)
            log.write("rollout", self.progress.gradient_steps, summarise(games)._asdict())
            return [game for game in games if game.info["stop_reason"] != "partner_error"]

        return played

    def _play(self, games: int, seed: int) -> list[Trajectory]:
        return rollout(
            self.training.env, self.algorithm.policy(), games, seed=seed,
            parallel=min(games, 128), env_kwargs=self.training.env_kwargs,
        )  # fmt: skip

    def _validate(self) -> Summary:
        return summarise(self._play(self.training.validation_games, Seeds.VALIDATION))

    def _evaluate(self, log: Log) -> Summary:
        training = self.training
        games = evaluate(
            training.env, self.algorithm.policy(), repeats=training.repeats,
            env_kwargs=training.env_kwargs, progress=True,
        )  # fmt: skip
        summary = summarise(games)
        log.write("result", self.progress.gradient_steps, self._result(summary))
        return summary

    def _result(self, summary: Summary) -> dict[str, Any]:
        training, lm = self.training, self.algorithm.lm
        learned = self.algorithm.learned().values()
        return {
            "command": command(self.name, training, self.config),
            "task": training.env,
            "env_kwargs": _plain(training.env_kwargs),
            "algorithm": self.name,
            "seed": self.config.seed,
            "base": lm.base_name,
            "parameters": sum(p.numel() for p in lm.model.parameters()),
            "learned_parameters": sum(p.numel() for p in learned),
            "batch": self.config.batch_size,
            "learning_rate": self.config.learning_rate,
            **dataclasses.asdict(self.counters),
            "peak_memory_bytes": peak_memory_bytes(lm.device),
            **{f"evaluation_{key}": value for key, value in summary._asdict().items()},
            **{
                f"score_{scoring}": normalise(
                    training.env, summary.return_mean, scoring, **training.env_kwargs
                )
                for scoring in ("optimal", "lmrl2023")
            },
        }

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


def checkpoint_folder(run: Path) -> Path | None:
    """The last whole checkpoint of `run`, if there is one."""
    found = [run / name for name in ("checkpoint", "checkpoint.old")]
    return next((folder for folder in found if (folder / "state.json").is_file()), None)


def build(name: str, training: Training, config: AlgorithmConfig) -> Algorithm:
    """The algorithm over its base, as it is before any training."""
    env = gymnasium.make(training.env, disable_env_checker=True, **training.env_kwargs).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"{training.env} is not a lmrlgym.TextEnv, got {type(env).__name__}")
    device = _device(training.device)
    base = load_base(training.base, device, _dtype(training.dtype, device))
    return find_algorithm(name)(LM(base), config, env.context)


def _device(name: str) -> torch.device:
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"there is no device {name!r} here: {str(error).splitlines()[0]}") from error


def _dtype(name: str, device: torch.device) -> torch.dtype:
    known = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
    known["auto"] = known["bfloat16" if device.type == "cuda" else "float32"]
    if name not in known:
        raise ValueError(f"dtype must be one of {', '.join(known)}, got {name!r}")
    return known[name]


def load_dataset(name: str) -> Dataset:
    """As `Dataset.load`, but raises `ValueError` for one that is not there, too."""
    try:
        return Dataset.load(name)
    except FileNotFoundError as error:
        raise ValueError(str(error)) from error


def default_dataset(env_id: str, env_kwargs: Mapping[str, Any]) -> str:
    """The mixed set that is shipped for this environment. Raises `ValueError` if there is none."""
    for path in sorted(data_path().glob("*/*mixed-v0.card.json")):
        card = json.loads(path.read_text())
        if card.get("env_id") == env_id and card.get("env_kwargs") == dict(env_kwargs):
            return f"{path.parent.name}/{path.name.removesuffix('.card.json')}"
    raise ValueError(f"no dataset is shipped for {env_id} with {dict(env_kwargs)}; give one with --data")


def train(name: str, training: Training, config: AlgorithmConfig) -> Summary | None:
    """Train algorithm `name` and return its evaluation (None if `training.repeats` is 0).

    Raises `ValueError` for a folder that already holds a run (unless it is resumed), an unknown
    algorithm, base or dataset.
    """
    folder = training.out or default_folder(name, training, config)
    if training.threads:
        torch.set_num_threads(training.threads)
    if training.resume:
        stored, training, config = read_run(folder)
        run = Run(stored, dataclasses.replace(training, out=folder), config, folder)
        run.restore()
    else:
        if (folder / "run.json").exists():
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
                else:
                    words += [f"--{flag}", str(value)]
    return " ".join(words)


def default_folder(name: str, training: Training, config: AlgorithmConfig) -> Path:
    """runs/ALGORITHM-ENVIRONMENT-SEED"""
    return Path("runs") / f"{name}-{training.env.rsplit('/', 1)[-1]}-{config.seed}"


def read_run(folder: Path) -> tuple[str, Training, AlgorithmConfig]:
    """(algorithm, training, config) of the run in `folder`. Raises `ValueError` if it holds none."""
    try:
        record = json.loads((folder / "run.json").read_text())
        name = record["algorithm"]
        paths = {k: Path(v) if v else None for k, v in record["training"].items() if k in ("out", "start")}
        training = Training(**{**record["training"], **paths})
        return name, training, find_algorithm(name).Config(**record["config"])
    except (OSError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"{folder} holds no run: {error}") from error


def load_algorithm(folder: Path, **changes: Any) -> Algorithm:
    """The trained agent in `folder`; `changes` replace fields of its configuration, such as beta."""
    name, training, config = read_run(folder)
    algorithm = build(name, training, dataclasses.replace(config, **changes))
    restore_agent(algorithm, folder)
    return algorithm


def load_policy(folder: str | Path, temperature: float | None = None) -> LMPolicy:
    """The trained agent in `folder` as a policy; `temperature` None is the one it was trained with."""
    return load_algorithm(Path(folder)).policy(temperature)


def write_agent(algorithm: Algorithm, folder: Path) -> None:
    """Adapters and heads, as the module's docstring says."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in algorithm.adapters():
        algorithm.lm.save_adapter(name, folder if name == POLICY else folder / name)
    heads = {name: value.detach().contiguous().cpu().clone() for name, value in algorithm.heads().items()}
    if heads:
        save_file(heads, folder / HEADS)


@torch.no_grad()
def restore_agent(algorithm: Algorithm, folder: Path) -> None:
    """The inverse of `write_agent`. Raises `ValueError` for another base or other shapes."""
    for name in algorithm.adapters():
        algorithm.lm.load_adapter(name, folder if name == POLICY else folder / name)
    heads = algorithm.heads()
    stored: dict[str, Tensor] = {}
    if (folder / HEADS).is_file():
        with safe_open(folder / HEADS, "pt") as file:
            stored = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
    if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in heads.items()}:
        raise ValueError(f"the heads in {folder} are not those of {type(algorithm).__name__}")
    for key, value in stored.items():
        heads[key].copy_(value)


@contextmanager
def replacing_text(path: Path) -> Iterator[TextIO]:
    """A file to write beside `path`, which takes its place when it is whole."""
    beside = path.with_name(path.name + ".partial")
    with beside.open("w", newline="") as file:
        yield file
    os.replace(beside, path)


def write_json(path: Path, value: Any) -> None:
    """`value` as JSON, replacing `path` at once."""
    with replacing_text(path) as file:
        file.write(json.dumps(value, indent=1) + "\n")


def peak_memory_bytes(device: torch.device) -> int:
    """The most memory used so far: of the GPU, or of the process on a CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as JSON gives them back; a number that is none becomes null."""
    text = json.dumps(dict(values), default=str)
    plain: dict[str, Any] = json.loads(text, parse_constant=lambda name: None)
    return plain


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
