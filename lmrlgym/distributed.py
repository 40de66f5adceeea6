"""Playing and training on a Ray cluster, which may be this machine: `collect`, `eval` and `sweep --ray`.

A game belongs to its seed and a run to its configuration, so that nothing depends on how many workers there
are, nor on which of them does what. Ray (the extra `ray`) hands out the work, and does it again
where a worker was killed; it is imported when a cluster is entered.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable
from urllib.parse import urlsplit

import gymnasium
from gymnasium.envs.registration import EnvSpec
from numpy.random import Generator

from lmrlgym.policies.human import HumanPolicy
from lmrlgym.policies.language_model import Usage
from lmrlgym.rollouts import Play, Policy, progress_bar, rollout
from lmrlgym.types import Action, History, Trajectory

RETRIES = 3
"""How often work is done again whose worker was killed."""
_REACHED_SECONDS = 5.0
_OBJECT_STORE_BYTES = 200 * 2**20
"""Of a cluster of our own: results are fetched as they come."""


class Cluster:
    """A Ray cluster, within `with`: the one at `address`, or one that lasts as long ("local", "local:4").

    `address` is HOST:PORT where this machine is part of the cluster, ray://HOST:PORT where it is not, or
    "local", which has a worker for each core, or as many as are asked for. Every worker has one thread, and
    `gpus` GPUs, which may be a part of one. `usage` adds up the tokens that policies counted themselves.

    Raises `ValueError` for what is no number of workers or GPUs; when it is entered, for what is no address
    and for one where nobody answers, and `ImportError` without Ray.
    """

    def __init__(self, address: str, gpus: float = 0.0) -> None:
        if gpus < 0:
            raise ValueError(f"gpus must be a number from 0, got {gpus}")
        self.address = address
        self.gpus = gpus
        self.usage = Usage()
        self._workers = _local_workers(address)
        self._ray: Any = None

    def __enter__(self) -> Self:
        if self._workers is None:
            _check_reached(self.address)
        self._ray = _imported()
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        # Ray's workers would give way to everything else on this machine, and hardly run where it is busy.
        os.environ.setdefault("RAY_worker_niceness", "0")
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
        if self._workers is None:
            try:
                self._ray.init(address=self.address, **quiet)
            except (ConnectionError, RuntimeError) as error:
                raise ValueError(
                    f"the cluster at {self.address} does not take us in ({error}): is this machine part "
                    "of it, and RAY_AUTH_MODE what it was for `ray start`?"
                ) from error
        else:
            self._ray.init(
                "local", num_cpus=self._workers or None, include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES, **quiet,
            )  # fmt: skip
        return self

    def __exit__(self, *error: object) -> None:
        self._ray.shutdown()

    def play(
        self,
        env: str,
        policy: Policy,
        episodes: int,
        *,
        seed: int = 0,
        tasks: Sequence[int] | None = None,
        parallel: int = 1,
        env_kwargs: Mapping[str, Any] = {},
        progress: bool = False,
    ) -> list[Trajectory]:
        """The games of `rollout`, played in chunks wherever there is room, each `parallel` games at a time.

        The policy travels to the workers by pickle. Raises what is raised there, and `ChildProcessError`
        where the workers of a chunk were killed again and again.
        """
        if parallel < 1:
            raise ValueError(f"parallel must be at least 1, got {parallel}")
        if isinstance(policy, HumanPolicy) or env_kwargs.get("partner") == "human":
            raise ValueError("a person sits at this terminal, not at a cluster's: leave --ray out")
        parts = chunks(episodes, parallel)
        table = _Table(gymnasium.spec(env), policy, min(parallel, max(episodes, 1)), dict(env_kwargs))
        asked = [
            ([seed + i for i in part], None if tasks is None else [tasks[i] for i in part]) for part in parts
        ]
        played: dict[int, list[Trajectory]] = {}
        with contextlib.closing(progress_bar(episodes, env, is_shown=progress)) as bar:
            for number, result in self.each(partial(_played, table), asked):
                if isinstance(result, ChildProcessError):
                    raise result
                played[number] = result.games
                self.usage.prompt_tokens += result.usage.prompt_tokens
                self.usage.completion_tokens += result.usage.completion_tokens
                bar.update(len(result.games))
        return [game for number in range(len(parts)) for game in played[number]]

    def each(
        self,
        call: Callable[..., Any],
        arguments: Sequence[tuple[Any, ...]],
        after: Sequence[int | None] | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """`call(*arguments[i])` for every i, as (i, result) in the order in which they end.

        Call i begins when call `after[i]`, an earlier one, has ended. The result of one whose workers were
        killed again and again is a `ChildProcessError`, as is that of those after it; what a call raises is
        raised here.
        """
        work = self._ray.put(_work(self._ray.cloudpickle.dumps(call), sees_gpus=self.gpus > 0))
        task = self._ray.remote(max_retries=RETRIES, num_cpus=1, num_gpus=self.gpus)(_done)
        references: list[Any] = []
        for i, given in enumerate(arguments):
            before = after[i] if after is not None else None
            waits_for = [] if before is None else [references[before]]
            references.append(task.remote(work, self._ray.cloudpickle.dumps(given), *waits_for))
        numbers = {reference: i for i, reference in enumerate(references)}
        del references
        while numbers:
            (reference,), _ = self._ray.wait(list(numbers), num_returns=1)
            yield numbers.pop(reference), self._result(reference)

    def _result(self, reference: Any) -> Any:
        errors = self._ray.exceptions
        try:
            return self._ray.get(reference)
        except errors.RaySystemError as error:
            reason = str(error).strip().splitlines()[-1]
            raise ImportError(
                f"a worker could not begin, every machine of a cluster needs this lmrlgym: {reason}"
            ) from error
        except errors.RayTaskError as error:
            raise (error.cause if isinstance(error.cause, Exception) else error) from error
        except (errors.WorkerCrashedError, errors.NodeDiedError, errors.OutOfMemoryError) as error:
            return ChildProcessError(f"its worker was killed {RETRIES + 1} times ({type(error).__name__})")


def chunks(games: int, parallel: int) -> list[range]:
    """The numbers of `games` games, cut into chunks that differ by one game at most.

    No chunk has fewer than `parallel` games unless all of them are fewer, so that each is played as wide
    as all would be: what a language model says depends on that.
    """
    count = max(games // parallel, min(games, 1))
    return [range(i * games // count, (i + 1) * games // count) for i in range(count)]


@dataclass(frozen=True)
class MadeThere:
    """A policy that travels as the call that makes it: a model is loaded where it plays, not sent."""

    make: Callable[[], Policy]

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> Sequence[str | Action]:
        """What the policy says that `make` makes."""
        return self._policy.act(histories, rngs)

    @cached_property
    def _policy(self) -> Policy:
        return self.make()

    def __reduce__(self) -> tuple[Callable[[], Policy], tuple[()]]:
        return self.make, ()


@contextlib.contextmanager
def playing(address: str | None, gpus: float = 0.0) -> Iterator[Play]:
    """How games are played at `address` (see `Cluster`); None: by this process."""
    if address is None:
        yield rollout
    else:
        with Cluster(address, gpus) as cluster:
            yield cluster.play


# ---- before there is a cluster ----


def _imported() -> Any:
    try:
        import ray
    except ImportError:
        raise ImportError("clusters need the extra, ray is missing: pip install 'lmrlgym[ray]'") from None
    return ray


def _local_workers(address: str) -> int | None:
    """How many "local" asks for, 0 for one a core; None if `address` is somewhere else."""
    match = re.fullmatch(r"local(?::(\d+))?", address)
    if match is None:
        return None
    if match[1] is not None and int(match[1]) < 1:
        raise ValueError(f"a cluster needs at least one worker, got {address!r}")
    return int(match[1] or 0)


def _check_reached(address: str) -> None:
    """Raise `ValueError` unless somebody answers there: Ray itself would wait for long."""
    url = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = url.hostname, url.port
    except ValueError:
        host = port = None
    if url.scheme not in ("", "ray") or host is None or port is None or url.path:
        raise ValueError(f"a cluster is HOST:PORT, ray://HOST:PORT, local or local:WORKERS, got {address!r}")
    try:
        socket.create_connection((host, port), timeout=_REACHED_SECONDS).close()
    except OSError as error:
        raise ValueError(f"no cluster answers at {address}: {error}") from error


# ---- what workers do ----


class _Work(NamedTuple):
    """What is called again and again, and where the caller stands."""

    version: str
    folder: str
    path: tuple[str, ...]
    sees_gpus: bool
    call: bytes
    """Pickled on its own: only with the caller's search path may its modules be found."""


def _work(call: bytes, *, sees_gpus: bool) -> _Work:
    """What this process wants done from where it stands."""
    from lmrlgym import __version__

    return _Work(__version__, os.getcwd(), tuple(sys.path), sees_gpus, call)


def _done(work: _Work, arguments: bytes, *before: Any) -> Any:
    """The result of one call. `before` has been waited for."""
    _stand_where_the_caller_stands(work)
    return _unpickled(work.call)(*pickle.loads(arguments))


def _stand_where_the_caller_stands(work: _Work) -> None:
    """One thread, the same code, modules and relative paths; a machine without the folder does without."""
    from lmrlgym import __version__

    if __version__ != work.version:
        raise ValueError(
            f"{socket.gethostname()} has lmrlgym {__version__}, not {work.version} as the caller has"
        )
    os.environ.update(OMP_NUM_THREADS="1", OMP_WAIT_POLICY="PASSIVE")
    if not work.sees_gpus:  # Ray would let workers that asked for none see them all
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    sys.path += [folder for folder in work.path if folder not in sys.path]
    with contextlib.suppress(OSError):
        os.chdir(work.folder)


@lru_cache(maxsize=1)
def _unpickled(call: bytes) -> Callable[..., Any]:
    """Kept for the next call: a policy that was loaded plays on."""
    found: Callable[..., Any] = pickle.loads(call)
    return found


class _Table(NamedTuple):
    """What the chunks of a rollout have in common."""

    spec: EnvSpec
    policy: Policy
    parallel: int
    env_kwargs: dict[str, Any]


class _Played(NamedTuple):
    games: list[Trajectory]
    usage: Usage


@runtime_checkable
class _Counts(Protocol):
    """A policy that counts its tokens itself."""

    usage: Usage


def _played(table: _Table, seeds: Sequence[int], tasks: Sequence[int] | None) -> _Played:
    """One chunk of games, and what they cost."""
    gymnasium.registry.setdefault(table.spec.id, table.spec)
    counter = table.policy.usage if isinstance(table.policy, _Counts) else Usage()
    prompt_tokens, completion_tokens = counter.prompt_tokens, counter.completion_tokens
    games = rollout(
        table.spec.id, table.policy, seed=seeds, tasks=tasks, parallel=table.parallel,
        env_kwargs=table.env_kwargs,
    )  # fmt: skip
    return _Played(
        games, Usage(counter.prompt_tokens - prompt_tokens, counter.completion_tokens - completion_tokens)
    )
