"""`check_algorithm`: the contract of every algorithm here, as a function for users' own.

Each failed check is an `AssertionError` that names the likely cause. It needs no network and no
model: `random_base` makes one that knows nothing but runs in milliseconds.
"""

from __future__ import annotations

import ast
import copy
import dataclasses
import inspect
import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from peft import PeftModel
from safetensors.torch import load_file
from torch import Tensor

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics
from baselines.core.fit import Progress, Rounds, fit, new_progress, optimizer_state, restore_optimizer
from baselines.core.generate import left_padded
from baselines.core.model import LM, Base, Caches, load_base
from baselines.core.pretrain import Config, train_tokenizer, untrained
from baselines.core.registry import find_algorithm
from baselines.core.store import HEADS, restore_agent, write_agent
from baselines.core.tokens import Tokens, stack
from lmrlgym import Seeds, Trajectory, Turn, rollout

CONTEXTS = (None, 1, 3)
"""How many turns agents of the checks see: all, the newest, a sliding window."""
_TOLERANCE = 1e-4
_UPDATES = 3
_ENV = "lmrlgym/Maze-v0"


def check_algorithm(algorithm: type[Algorithm] | str, base: str | Path | None = None) -> None:
    """Raise `AssertionError` with the likely cause unless `algorithm` keeps the contract.

    `algorithm` is a class, a module of baselines or a dotted path; `base` a name or folder that
    `load_base` takes (None: a tiny random one). Training is checked on the CPU in a temporary folder.
    """
    kind = find_algorithm(algorithm) if isinstance(algorithm, str) else algorithm
    _require(
        inspect.isclass(kind) and issubclass(kind, Algorithm),
        f"{kind!r} is not an algorithm: derive it from baselines.core.algorithm.Algorithm",
    )
    check_config(kind)
    check_docstring(kind)
    with TemporaryDirectory() as folder:
        model = load_base(str(base) if base else str(random_base(Path(folder, "base"))))
        for context in CONTEXTS:
            check_loss(kind, model, context)
        check_parts(kind, model)
        check_silent_games(kind, model)
        check_values(kind, model)
        check_update(kind, model)
        check_stepwise(kind, model)
        check_acting(kind, model)
        check_checkpoint(kind, model, Path(folder, "agent"))
        check_resume(kind, model, Path(folder, "offline"), games=0)
        check_resume(kind, model, Path(folder, "online"), games=4)


def _require(fact: bool, message: str) -> None:
    if not fact:
        raise AssertionError(message)


# ---- what the checks play with ----


def random_base(folder: Path) -> Path:
    """Write a Llama of width 32 with random weights and a byte-level tokenizer to `folder`."""
    tokenizer = train_tokenizer([turn.text for game in example_games() for turn in game.turns], 270)
    config = Config(folder, width=32, layers=2, feed_forward=48, positions=512)
    with torch.random.fork_rng(devices=[]):
        # Wide weights, so that every token and place makes a difference.
        untrained(config, tokenizer, weight_spread=0.3).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def example_games() -> list[Trajectory]:
    """Eight games of one to four actions: won, lost or cut short, paid -1 a wrong move."""
    moves = ("left", "right", "up", "down")
    games = []
    for number in range(8):
        length, is_cut = number % 4 + 1, number in (3, 6)
        turns = [Turn(f"room {number} of 8\n", False)]
        for i in range(length):
            is_won = i == length - 1 and not is_cut
            move = moves[(number + i) % 4]
            turns.append(Turn(f"go {move}\n", True, 0.0 if is_won else -1.0))
            turns.append(Turn("home\n" if is_won else f"room {i}, {move} of {number}\n", False))
        games.append(_game(turns, is_cut))
    return games


def _game(turns: Sequence[Turn], is_cut: bool = False) -> Trajectory:
    return Trajectory(_ENV, {}, tuple(turns), not is_cut, is_cut, info={"stop_reason": ""})


def small_config(kind: type[Algorithm], **changes: Any) -> AlgorithmConfig:
    """`kind`'s configuration, of a training that takes a moment and in which nothing waits its turn."""
    small = {"rank": 4, "rounds": 2, "steps": 2, "batch_size": 4, "games": 0, "max_new_tokens": 4}
    small |= {field.name: 0 for field in fields(kind.Config) if field.name == "value_rounds"}
    return kind.Config(**{**small, "learning_rate": 1e-2, "clip_norm": 0.0, **changes})


def started(
    kind: type[Algorithm], base: Base, config: AlgorithmConfig, context: int | None = None
) -> Algorithm:
    """An algorithm that has just started from a policy which differs from the base."""
    algorithm = kind(LM(base), config, context)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for _, weight in sorted(algorithm.lm.adapter(POLICY).items()):
            weight.copy_(torch.randn(weight.shape, generator=generator) / 4)
    algorithm.started()
    return algorithm


def prepared(algorithm: Algorithm) -> Tokens:
    """All example games that `algorithm` learns from, in one batch."""
    return stack(algorithm.prepare(example_games()))


def update(algorithm: Algorithm, batch: Tokens, times: int = 1) -> set[str]:
    """Gradient steps on `batch` and what follows each; the names of what the steps themselves moved."""
    progress, moved = new_progress(algorithm), set()
    for _ in range(times):
        before = _values(algorithm)
        progress.optimizer.zero_grad(set_to_none=True)
        loss, metrics = algorithm.loss(batch)
        loss.backward()
        algorithm.before_step(metrics)
        progress.optimizer.step()
        moved |= set(_changed(before, algorithm))
        algorithm.after_step()
    return moved


# ---- what is written down ----


def check_config(kind: type[Algorithm]) -> None:
    """Every option has a default and a help text, and survives run.json."""
    config = kind.Config
    name = config.__qualname__
    _require(
        dataclasses.is_dataclass(config) and issubclass(config, AlgorithmConfig),
        f"{name} must be a dataclass derived from AlgorithmConfig",
    )
    for field in dataclasses.fields(config):
        _require(
            field.default is not dataclasses.MISSING or field.default_factory is not dataclasses.MISSING,
            f"{name}.{field.name} has no default: the command line could not leave it out",
        )
        _require(
            any(field.name in _helps(part) for part in config.__mro__ if dataclasses.is_dataclass(part)),
            f"{name}.{field.name} has no help: write a docstring under the field",
        )
    made = config()
    read = config(**json.loads(json.dumps(dataclasses.asdict(made))))
    _require(read == made, f"{name} must hold JSON values only, to come back from run.json as it was")


def _helps(config: type) -> set[str]:
    """The fields that are followed by a docstring in the source of `config`."""
    body = ast.parse(textwrap.dedent(inspect.getsource(config))).body[0]
    assert isinstance(body, ast.ClassDef)
    return {
        line.target.id
        for line, following in zip(body.body, body.body[1:], strict=False)
        if isinstance(line, ast.AnnAssign)
        and isinstance(line.target, ast.Name)
        and isinstance(following, ast.Expr)
        and isinstance(following.value, ast.Constant)
        and isinstance(following.value.value, str)
    }


def check_docstring(kind: type[Algorithm]) -> None:
    """The module says which loss it is."""
    doc = getattr(inspect.getmodule(kind), "__doc__", None) or ""
    _require(
        any(line.startswith(" ") and "=" in line for line in doc.splitlines()),
        f"the docstring of {kind.__module__} must hold the loss as an indented equation",
    )


# ---- learning ----


def check_loss(kind: type[Algorithm], base: Base, context: int | None = None) -> None:
    """The loss is one finite number with a gradient, and what is logged are numbers."""
    algorithm = started(kind, base, small_config(kind), context)
    loss, metrics = algorithm.loss(prepared(algorithm))
    _require(loss.dim() == 0, f"the loss must be one number, got the shape {tuple(loss.shape)}")
    _require(math.isfinite(loss.item()), f"the loss is {loss.item()} with context={context}")
    _require(
        loss.requires_grad,
        "the loss has no gradient: it reads no learned parameter, or was computed under no_grad",
    )
    loss.backward()
    for name, parameter in algorithm.learned().items():
        gradient = parameter.grad
        _require(
            gradient is None or bool(gradient.isfinite().all()),
            f"the gradient of {name} is not finite with context={context}",
        )
    for name, value in metrics.items():
        _require(
            type(value) in (int, float) and math.isfinite(value),
            f"the metric {name!r} must be a finite Python number, got {value!r}: use .item()",
        )


def check_parts(kind: type[Algorithm], base: Base) -> None:
    """A batch that is computed in parts has the loss and the gradients of the whole."""
    whole, in_parts = (_step_in_parts(kind, base, parts) for parts in (1, 3))
    for found, wanted, what in zip(in_parts, whole, ("loss", "gradient"), strict=True):
        gap = (found - wanted).abs().max().item()
        _require(
            gap <= _TOLERANCE * max(1.0, wanted.abs().max().item()),
            f"the {what} of a batch in 3 parts is off by {gap:.2g}: the loss must be a mean over the action "
            "tokens of its batch; what looks at the whole batch belongs into before_step",
        )


def _step_in_parts(kind: type[Algorithm], base: Base, parts: int) -> tuple[Tensor, Tensor]:
    """(loss, gradients) of a step on all example games."""
    config = small_config(kind, rounds=1, steps=1, batch_size=len(example_games()), accumulate=parts)
    algorithm, losses = started(kind, base, config), list[float]()
    fit(algorithm, lambda number: example_games(), config, lambda step, found: losses.append(found["loss"]))
    gradients = [p.grad.flatten() for p in algorithm.learned().values() if p.grad is not None]
    return torch.tensor(losses), torch.cat(gradients)


def check_values(kind: type[Algorithm], base: Base) -> None:
    """A critic says one finite number an action token, and `values_of` says whose return that is."""
    algorithm = started(kind, base, small_config(kind))
    batch = prepared(algorithm)
    with torch.no_grad():
        found = [values for values in algorithm.values(batch) if values is not None]
    count = int(batch.is_action.sum())
    for values in found:
        _require(
            tuple(values.shape) == (count,) and bool(values.isfinite().all()),
            f"values must give {count} finite numbers, one an action token, got {tuple(values.shape)}",
        )
    _require(
        bool(found) == (kind.values_of != "none"),
        f"values_of is {kind.values_of!r}, but values gives {len(found)} kinds of numbers: an algorithm with "
        'a critic gives its numbers and says whose return they are, one without says "none"',
    )


def check_silent_games(kind: type[Algorithm], base: Base) -> None:
    """A game in which the agent said nothing has no action token: a mean over it would be NaN."""
    silent = [_game([Turn("hello\n", False)], is_cut=True), _game([Turn("hi\n", False), Turn("", True, 9.0)])]
    algorithm = started(kind, base, small_config(kind))
    for games in (silent, [*silent, *example_games()]):
        found = algorithm.prepare(games)
        _require(
            all(bool(game.is_action.any()) for game in found),
            "prepare keeps a game without an action token: let super().prepare drop it",
        )
    _require(len(found) > 0, "prepare leaves nothing when silent games are among others: drop those first")


def check_update(kind: type[Algorithm], base: Base) -> None:
    """Gradient steps move all of `learned()` and nothing else; nothing moves the base."""
    algorithm = started(kind, base, small_config(kind))
    learned = {id(parameter): name for name, parameter in algorithm.learned().items()}
    known = {id(parameter) for parameter in algorithm.parameters()}
    for number, name in learned.items():
        _require(number in known, f"learned() names {name}, which is no parameter of the algorithm")
    batch, before = prepared(algorithm), _values(algorithm)
    moved = update(algorithm, batch, _UPDATES)
    for place, parameter in algorithm.named_parameters():
        is_learned = id(parameter) in learned
        _require(
            is_learned or place not in moved, f"a gradient step moved {place}, which is not in learned()"
        )
        _require(
            not is_learned or place in moved,
            f"{_UPDATES} gradient steps left {place} where it was: it is in learned(), but the loss does "
            "not depend on it, or something froze it (peft.set_adapter does)",
        )
    for place in _changed(before, algorithm):
        _require(
            not place.startswith("lm.") or "lora_" in place,
            f"after_step moved {place}: the base is shared by all adapters and stays frozen",
        )


def _values(algorithm: Algorithm) -> dict[str, Tensor]:
    """A copy of all that the algorithm holds."""
    return {name: value.detach().clone() for name, value in _state(algorithm)}


def _state(algorithm: Algorithm) -> Iterator[tuple[str, Tensor]]:
    yield from algorithm.named_parameters()
    yield from algorithm.named_buffers()


def _changed(before: dict[str, Tensor], algorithm: Algorithm) -> list[str]:
    """The names of what is not, bit by bit, as it was."""
    return [name for name, value in _state(algorithm) if not torch.equal(before[name], value)]


# ---- acting ----


def check_stepwise(kind: type[Algorithm], base: Base) -> None:
    """Reading on token by token through caches gives the scores of whole texts, padded or alone."""
    algorithm = started(kind, base, small_config(kind))
    update(algorithm, prepared(algorithm), _UPDATES)
    texts = [algorithm.encoder.prompt(game.turns) for game in example_games()[:4]]
    ids, mask = left_padded(texts, algorithm.lm.device)
    whole = _scores(algorithm, ids, mask, {})
    caches: Caches = {}
    first = ids.shape[1] - 3
    stepwise = _scores(algorithm, ids[:, :first], mask[:, :first], caches)
    for end in range(first + 1, ids.shape[1] + 1):
        stepwise = _scores(algorithm, ids[:, end - 1 : end], mask[:, :end], caches)
    alone = torch.cat([_scores(algorithm, *left_padded([text], ids.device), {}) for text in texts])
    for found, how in ((stepwise, "token by token through caches"), (alone, "alone, without padding")):
        gap = (found - whole).abs().max().item()
        _require(
            gap <= _TOLERANCE,
            f"next_logits of texts read {how} differ by {gap:.2g} from one padded batch: read hidden "
            "states by lm.hidden(ids, mask, adapter, caches) and take the last position",
        )


@torch.no_grad()
def _scores(algorithm: Algorithm, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
    """(B, V) scores to act with, as log-probabilities: logits are free up to a constant."""
    logits = algorithm.next_logits(ids, mask, caches)
    wanted = (len(ids), algorithm.lm.vocabulary)
    _require(tuple(logits.shape) == wanted, f"next_logits must be {wanted}, got {tuple(logits.shape)}")
    return torch.log_softmax(logits.float(), dim=-1)


def check_acting(kind: type[Algorithm], base: Base) -> None:
    """Equal seeds say equal things, and playing changes nothing."""
    algorithm = started(kind, base, small_config(kind))
    before = _values(algorithm)
    learns = {name: parameter.requires_grad for name, parameter in algorithm.named_parameters()}
    histories = [game.turns[:1] for game in example_games()]

    def said() -> list[Any]:
        return algorithm.policy().act(histories, [np.random.default_rng(i) for i in range(len(histories))])

    first, again = said(), said()
    _require(first == again, "equal random streams said different things: draw from nothing else in acting")
    _require(not _changed(before, algorithm), "acting changed weights or buffers")
    _require(
        learns == {name: parameter.requires_grad for name, parameter in algorithm.named_parameters()},
        "acting changed what learns: switch adapters by lm.hidden alone, never by peft.set_adapter",
    )


# ---- keeping ----


def check_checkpoint(kind: type[Algorithm], base: Base, folder: Path) -> None:
    """A saved agent comes back the same, and its policy adapter loads with peft alone."""
    algorithm = started(kind, base, small_config(kind))
    update(algorithm, prepared(algorithm), _UPDATES)
    write_agent(algorithm, folder)
    other = kind(LM(base), small_config(kind, seed=1), None)
    restore_agent(other, folder)
    texts = [algorithm.encoder.prompt(game.turns) for game in example_games()]
    ids, mask = left_padded(texts, algorithm.lm.device)
    _require(
        torch.equal(_scores(algorithm, ids, mask, {}), _scores(other, ids, mask, {})),
        "a saved agent acts differently when it is back: adapters() and heads() must name all it acts by",
    )
    with torch.no_grad():
        ours = algorithm.lm.read(algorithm.lm.hidden(ids, mask, POLICY, {})[:, -1])
        theirs = PeftModel.from_pretrained(copy.deepcopy(base.model), str(folder)).eval()
        gap = theirs(input_ids=ids, attention_mask=mask, position_ids=_positions(mask)).logits[:, -1] - ours
    _require(
        gap.abs().max().item() <= _TOLERANCE,
        f"PeftModel.from_pretrained reads another policy from {POLICY!r} (off by {gap.abs().max():.2g})",
    )
    heads = {name: value for name, value in algorithm.heads().items() if "lora_" not in name}
    stored = load_file(folder / HEADS) if (folder / HEADS).exists() else {}
    _require(
        stored.keys() == heads.keys(),
        f"{HEADS} must hold the heads {sorted(heads)}, got {sorted(stored)}",
    )


def _positions(mask: Tensor) -> Tensor:
    return (mask.cumsum(dim=1) - 1).clamp(min=0)


def check_resume(kind: type[Algorithm], base: Base, folder: Path, games: int) -> None:
    """A training that was killed after a round and goes on ends bit by bit as one that was not.

    `games` > 0 learns from that many games a round, played with the policy of the moment.
    """
    config = small_config(kind, games=games)
    whole = started(kind, base, config)
    fit(whole, _rounds(whole, config), config, _ignore)
    killed = started(kind, base, config)
    progress = new_progress(killed)
    try:
        fit(killed, _rounds(killed, config), config, _ignore, progress, _kill)
    except _Killed:
        write_agent(killed, folder)
    again = kind(LM(base), config, None)
    restore_agent(again, folder)
    rest = new_progress(again)
    rest.round, rest.gradient_steps = progress.round, progress.gradient_steps
    restore_optimizer(rest, again.learned(), optimizer_state(progress, killed.learned()))
    fit(again, _rounds(again, config), config, _ignore, rest)
    differing = _changed(_values(whole), again)
    _require(
        not differing,
        f"training resumed {'online' if games else 'offline'} ends elsewhere ({', '.join(differing[:3])}): "
        "keep all state in parameters and buffers that adapters() and heads() name, draw from no global "
        "random stream, and set looks_at_weights if prepare depends on the weights",
    )


class _Killed(Exception):
    """Ends a training after a round."""


def _kill(progress: Progress) -> None:
    raise _Killed


def _ignore(step: int, metrics: Metrics) -> None:
    """Log nothing."""


def _rounds(algorithm: Algorithm, config: AlgorithmConfig) -> Rounds:
    data = example_games()
    if not config.games:
        return lambda number: data
    return lambda number: rollout(
        _ENV,
        algorithm.policy(),
        config.games,
        seed=Seeds.ONLINE + number * config.games,
        parallel=config.games,
        env_kwargs={"max_moves": 3},
    )
