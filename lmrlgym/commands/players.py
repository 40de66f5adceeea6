"""Players as the command line names them: scripted ones, a person, a model, an endpoint, a trained agent."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from lmrlgym.collection import policy_named
from lmrlgym.commands.agents import agents
from lmrlgym.distributed import MadeThere
from lmrlgym.policies.endpoint import EndpointPolicy
from lmrlgym.policies.human import HumanPolicy
from lmrlgym.policies.language_model import LanguageModelPolicy, Usage
from lmrlgym.rollouts import Policy, json_values


@dataclass(frozen=True)
class Player:
    """A policy and what the command line must know of it."""

    policy: Policy
    usage: Usage | None = None
    """The tokens it counts by itself; None: they are counted from its actions."""
    is_person: bool = False


@dataclass(frozen=True)
class TrainedRun:
    """What `run.json` says a training run was trained on."""

    folder: Path
    env_id: str
    env_kwargs: Mapping[str, Any]

    def checked_keywords(self, env_id: str, env_kwargs: Mapping[str, Any], *, force: bool) -> dict[str, Any]:
        """The keywords to play with: the run's, but `split` as given.

        Raises `ValueError` for another environment than the run's, unless `force`.
        """
        if force:
            return dict(env_kwargs)
        if env_id != self.env_id:
            raise ValueError(
                f"{self.folder} was trained on {self.env_id}, not {env_id}; --force plays it anyway"
            )
        given, own = json_values(env_kwargs), dict(self.env_kwargs)
        # What was learned on one split is there to be tested on the other.
        split = {"split": given.pop("split")} if "split" in given else {}
        if given and given != {name: value for name, value in own.items() if name not in split}:
            raise ValueError(
                f"{self.folder} was trained with {dict(self.env_kwargs)}, not {dict(env_kwargs)}; "
                "--force plays it anyway"
            )
        return own | split


def run_of(name: str) -> TrainedRun | None:
    """The training run in the folder `name`; None if that is no such folder.

    Raises `ValueError` if its run.json is not that of a training run.
    """
    folder = Path(name)
    if not (folder / "run.json").is_file():
        return None
    try:
        training = json.loads((folder / "run.json").read_text(encoding="utf-8"))["training"]
        return TrainedRun(folder, training["env"], training["env_kwargs"])
    except KeyError as error:
        raise ValueError(f"{folder} is not the folder of a training run: run.json lacks {error}") from error
    except (OSError, ValueError, TypeError) as error:
        raise ValueError(f"{folder} is not the folder of a training run: {error}") from error


def player_of(
    name: str,
    env_id: str,
    env_kwargs: Mapping[str, Any],
    instructions: str,
    temperature: float | None,
    max_tokens: int,
) -> Player:
    """The player `name` of `env_id`. Raises `ValueError` for a name that is none.

    `instructions` are for models from elsewhere, as are `temperature` (None: 0, or a run's own) and
    `max_tokens`.
    """
    if name == "human":
        return Player(HumanPolicy(), is_person=True)
    if name.startswith("hf:"):
        model = LanguageModelPolicy(
            name.removeprefix("hf:"), instructions, temperature=temperature or 0.0, max_tokens=max_tokens
        )
        return Player(model, model.usage)
    if name.startswith(("http://", "https://")):
        endpoint = EndpointPolicy(name, instructions, temperature=temperature or 0.0, max_tokens=max_tokens)
        return Player(endpoint, endpoint.usage)
    if run_of(name) is not None:
        return Player(agents("run").load_policy(name, temperature))
    try:
        return Player(policy_named(name, env_id, **env_kwargs))
    except ValueError as error:
        others = "human, hf:MODEL, http(s)://HOST/v1#MODEL, or a folder that holds a run.json"
        raise ValueError(f"{error}; or {others}") from error


def travelling(name: str, make: Callable[[], Player], usage: Usage) -> Player:
    """The player `name` for a cluster: a model is made by each worker, and counts its tokens in `usage`.

    `make` makes the player, here or there. Scripts are made here, which finds out at once whether they exist.
    """
    if name.startswith(("hf:", "http://", "https://")):
        return Player(MadeThere(partial(_policy_made, make)), usage)
    if run_of(name) is not None:
        return Player(MadeThere(partial(_policy_made, make)))
    return make()


def _policy_made(make: Callable[[], Player]) -> Policy:
    return make().policy
