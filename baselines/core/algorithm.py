"""What an algorithm is: a loss over action tokens and a way to act. One file a subclass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from baselines.core.model import LM, Caches, States
from baselines.core.policy import LMPolicy
from baselines.core.tokens import Encoder, Tokens
from lmrlgym import Trajectory

Metrics = dict[str, float]
Whose = Literal["none", "best", "data", "agent"]
"""Whose return a critic estimates: nobody's, best play's, the data's player's, or its own agent's."""

POLICY = "policy"
"""The adapter that acts; it starts as the one of the run given as `start`, if any."""
_LEAST = {
    **dict.fromkeys(("rank", "rounds", "steps", "batch_size", "accumulate", "max_new_tokens"), 1),
    **dict.fromkeys(("seed", "piece", "look_back", "games", "temperature", "learning_rate", "clip_norm"), 0),
}
"""Options of every algorithm and the least they may be."""
_OUTPUTS = 2**25
"""Numbers over the vocabulary held at once while learning, 128 MiB in float32."""


@dataclass(frozen=True)
class AlgorithmConfig:
    """What every algorithm needs to know. Subclasses add their own and change defaults."""

    seed: int = 0
    """training seed: adapter and head initialisation, the order of the data, online games"""
    rank: int = 16
    """rank of the LoRA adapters"""
    learning_rate: float = 2e-3
    """AdamW's learning rate at the start"""
    learning_rate_end: float = 0.1
    """share of the learning rate left at the end; it falls along a cosine"""
    weight_decay: float = 0.0
    """AdamW's decoupled weight decay"""
    clip_norm: float = 1.0
    """largest norm of the gradient; 0 leaves it alone"""
    rounds: int = 10
    """rounds of training; a run can be resumed after each. Online, every round plays new games"""
    steps: int = 20
    """gradient steps a round"""
    batch_size: int = 64
    """games a gradient step"""
    accumulate: int = 1
    """parts a batch is computed in, one after the other: less memory, the same step"""
    piece: int = 0
    """cut games whose agent sees a sliding window into pieces of so many windows; 0: whole games"""
    later_pieces: float = 1.0
    """share of the pieces after a game's first that is learned from; they cost a window an action"""
    look_back: int = 0
    """turns the agent looks back at, where that is fewer than the environment shows; 0: all it shows"""
    games: int = 0
    """games played a round; 0 learns from the dataset instead"""
    temperature: float = 1.0
    """temperature of the sampled actions; 0 is greedy"""
    max_new_tokens: int = 16
    """longest utterance in tokens"""

    def __post_init__(self) -> None:
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")


class Values(NamedTuple):
    """What a critic says of the N tokens that were said; None: it has no such head."""

    q: Tensor | None = None
    """(N,) of the token said"""
    v: Tensor | None = None
    """(N,) of the state it was said in"""


class Algorithm(nn.Module):
    """Subclasses set `Config` and write `loss`, and more where they differ from behaviour cloning.

    `needs_policy` says that learning begins from a behaviour-cloned policy: without a `start` run,
    one is trained first. `looks_at_weights` says that `prepare` depends on the weights, so that it is
    done again every round. `values_of` says whose return the critic estimates, if there is one.
    `context` is how many turns the environment lets an agent see.
    """

    Config: ClassVar[type[AlgorithmConfig]] = AlgorithmConfig
    needs_policy: ClassVar[bool] = False
    looks_at_weights: ClassVar[bool] = False
    values_of: ClassVar[Whose] = "none"

    def __init__(self, lm: LM, config: AlgorithmConfig, context: int | None) -> None:
        super().__init__()
        self.lm = lm
        self.config = config
        self.encoder = Encoder(lm.tokenizer, _fewer(context, config.look_back))
        lm.add_adapter(POLICY, config.rank, config.seed)

    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
        """What to learn from in this round. Games in which the agent said nothing are left out."""
        games = (self.encoder.trajectory(trajectory) for trajectory in trajectories)
        return [tokens for tokens in games if bool(tokens.is_action.any())]

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        """The loss of a batch (B, T) and what to log about it.

        Both are means over its action tokens: a batch may be computed in parts, whose weights are theirs.
        """
        raise NotImplementedError

    def said_by(self, read: Callable[[Tensor], Tensor], states: States, action: Tensor) -> Said:
        """`said` of the outputs (U, V) that `read` makes of `states`, some of them at a time.

        Those of many states are made again for the gradients: over a large vocabulary they would be most
        of what learning holds.
        """
        rows = max(1, _OUTPUTS // self.lm.vocabulary)
        if len(states.distinct) <= rows:
            return said(read(states.distinct), states.of, action)
        values, normalisers, places = [], [], []
        for begin in range(0, len(states.distinct), rows):
            hidden = states.distinct[begin : begin + rows]
            place = ((states.of >= begin) & (states.of < begin + rows)).nonzero()[:, 0]
            value, normaliser = checkpoint(
                _spoken, read, hidden, states.of[place] - begin, action[place], use_reentrant=False
            )
            values.append(value)
            normalisers.append(normaliser)
            places.append(place)
        order = torch.cat(places).argsort()
        return Said(torch.cat(values)[order], torch.cat(normalisers).index_select(0, states.of))

    def started(self) -> None:
        """What follows when the policy adapter holds its starting weights, before the first step."""

    def before_step(self, metrics: Metrics) -> None:
        """What precedes a gradient step, when the gradients and `metrics` of the whole batch are there."""

    def after_step(self) -> None:
        """What follows a gradient step, such as moving target networks."""

    def values(self, batch: Tokens) -> Values:
        """What the critic says of the action tokens of a batch (B, T), in their order."""
        return Values()

    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        """(B, V) logits to act with, after text that goes on by `ids` (see `LM.hidden`)."""
        return self.lm.read(self.lm.hidden(ids, mask, POLICY, caches)[:, -1])

    def policy(self, temperature: float | None = None, width: int | None = None) -> LMPolicy:
        """The agent as it is now; `temperature` None is the configured one, `width` see `LMPolicy`."""
        return LMPolicy(
            self.next_logits,
            self.encoder,
            max_new_tokens=self.config.max_new_tokens,
            temperature=self.config.temperature if temperature is None else temperature,
            device=self.lm.device,
            width=width,
        )

    def learned(self) -> dict[str, nn.Parameter]:
        """The parameters that gradient steps move, by name."""
        return {f"{POLICY}.{key}": value for key, value in self.lm.adapter(POLICY).items()}

    def adapters(self) -> list[str]:
        """The adapters that belong to the agent; `POLICY` first."""
        return [POLICY]

    def heads(self) -> dict[str, Tensor]:
        """Everything that belongs to the agent but no adapter: head weights and buffers, by name."""
        return {
            **{name: value for name, value in self.named_parameters() if not name.startswith("lm.")},
            **{name: value for name, value in self.named_buffers() if not name.startswith("lm.")},
        }


def _fewer(context: int | None, look_back: int) -> int | None:
    """The turns that an agent sees of the `context` (None: all) that it is shown."""
    return context if look_back == 0 else min(look_back, context or look_back)


class Said(NamedTuple):
    """What outputs over the vocabulary say of the N tokens that were said."""

    value: Tensor
    """(N,) the output at the token"""
    log_normaliser: Tensor
    """(N,) log of the sum of exp over the vocabulary"""

    @property
    def log_prob(self) -> Tensor:
        """(N,) with the outputs as logits."""
        return self.value - self.log_normaliser


def said(outputs: Tensor, of: Tensor, action: Tensor) -> Said:
    """Read outputs (U, V) of U distinct states at the N tokens `action` said in the states `of` (N,)."""
    value, log_normaliser = _of_outputs(outputs, of, action)
    return Said(value, log_normaliser.index_select(0, of))


def _spoken(
    read: Callable[[Tensor], Tensor], hidden: Tensor, of: Tensor, action: Tensor
) -> tuple[Tensor, Tensor]:
    return _of_outputs(read(hidden), of, action)


def _of_outputs(outputs: Tensor, of: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
    """The output (N,) at each token, and the log-normaliser (U,) of each state."""
    value = outputs.reshape(-1).index_select(0, of * outputs.shape[-1] + action)
    return value, outputs.logsumexp(dim=-1)
