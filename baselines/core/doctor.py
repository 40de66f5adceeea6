"""Does what is learned fit what is acted on? Four checks of a base, on short games of any environment.

Each check looks at tokens and numbers from outside, and has its own way to what they should be: what acting
really read and sampled, the texts of the game, the model without any adapter, the probabilities kept while
sampling. A failed check is an `AssertionError` that says what was found.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import gymnasium
import numpy as np
import torch
from numpy.random import Generator
from torch import Tensor

from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig
from baselines.core.generate import Sampled, Sampler
from baselines.core.model import LM, load_base
from baselines.core.run import Training, device_named, dtype_named
from baselines.core.tokens import Encoder, action_tokens, stack
from lmrlgym import Action, History, Policy, Seeds, TextEnv, Trajectory, Turn, policy_named, visible

_SAID, _SAMPLED = 24, 2
"""Utterances of a game of a scripted player, and of a game of the base: sliding windows must slide in one."""
_GAMES = 2
"""Games of the base in each environment, side by side."""
_NEW_TOKENS = 8
_WEIGHTS = 0.1
"""Spread of the adapter's weights: enough that what it changes is no rounding."""
_CLEARLY = 5
"""So many times the rounding that is seen with the adapter off is none."""


class Played(NamedTuple):
    """A game, and for each utterance of the agent what acting read before it, and sampled."""

    game: Trajectory
    prompts: tuple[tuple[int, ...], ...]
    sampled: tuple[Sampled, ...] = ()


@dataclass
class _Listening:
    """A sampler that keeps what it reads and says."""

    sampler: Sampler
    heard: list[tuple[tuple[int, ...], Sampled]]

    def sample(self, prompts: Sequence[tuple[int, ...]], rngs: Sequence[Generator]) -> list[Sampled]:
        said = self.sampler.sample(prompts, rngs)
        self.heard += zip(prompts, said, strict=True)
        return said


class Examination:
    """The checks of `base` on games of `env_ids`, each a method that says in a few words what it looked at.

    `device` and `dtype` are those of `lmrlgym train`. Raises `ValueError` for a base that there is not, or
    that is not supported.
    """

    def __init__(
        self, base: str, env_ids: Sequence[str], device: str = "auto", dtype: str = "auto", seed: int = 0
    ) -> None:
        where = device_named(device)
        self.base = load_base(base or Training("").base, where, dtype_named(dtype, where))
        self.seed = seed
        config = AlgorithmConfig(seed=seed, rank=4, max_new_tokens=_NEW_TOKENS)
        self.algorithm = Algorithm(LM(self.base), config, None)
        self.tolerance = max(1e-3, 64 * torch.finfo(self.base.model.dtype).eps)
        self._env_ids = env_ids
        self._scripted: dict[str, Played] = {}
        self._sampled: dict[str, list[Played]] = {}
        self._fresh_gap = 0.0

    def describe(self) -> str:
        """The base in a few words."""
        model = self.base.model
        parameters = sum(parameter.numel() for parameter in model.parameters())
        return (
            f"{self.base.name}, sha256 {self.base.sha256[:12]}, {parameters / 1e6:.1f} M parameters of "
            f"{str(model.dtype).removeprefix('torch.')} on {model.device}, {len(self.base.tokenizer)} tokens"
        )

    def play(self) -> str:
        """Play the games that the other checks look at."""
        opening, _ = made(self._env_ids[0]).reset(seed=Seeds.VALIDATION)
        read = self.algorithm.encoder.turn(Turn(opening, False))
        self._fresh_gap = self._gap(self._logits(read, POLICY), self._logits_of_base(read))
        self._give_weights()
        for number, env_id in enumerate(self._env_ids):
            encoder = self._encode_for(env_id)
            scripted = _played([made(env_id)], _scripted(env_id), _SAID, Seeds.VALIDATION + number)[0]
            self._scripted[env_id] = Played(scripted, _prompts(encoder, scripted))
            self._sampled[env_id] = self._sample(env_id, Seeds.VALIDATION + number)
        games = len(self._env_ids) * (1 + _GAMES)
        return f"{games} short games of {_environments(len(self._env_ids))}"

    def _give_weights(self) -> None:
        generator = torch.Generator().manual_seed(self.seed)
        with torch.no_grad():
            for _, weight in sorted(self.algorithm.lm.adapter(POLICY).items()):
                weight.copy_(_WEIGHTS * torch.randn(weight.shape, generator=generator))

    def _encode_for(self, env_id: str) -> Encoder:
        self.algorithm.encoder = Encoder(self.base.tokenizer, made(env_id).context)
        return self.algorithm.encoder

    def _sample(self, env_id: str, seed: int) -> list[Played]:
        policy = self.algorithm.policy(width=_GAMES)
        listening = _Listening(policy.sampler, [])
        policy.sampler = listening  # type: ignore[assignment]
        games = _played([made(env_id) for _ in range(_GAMES)], policy, _SAMPLED, seed)
        found = []
        for i, game in enumerate(games):
            prompts, sampled = zip(*(pair for pair in listening.heard[i::_GAMES] if pair[0]), strict=True)
            found.append(Played(game, prompts, sampled))
        return found

    # ---- the checks ----

    def tokens(self) -> str:
        """What acting reads and says is what learning reads, and both are the text."""
        utterances = 0
        for env_id, games in self._every_game():
            encoder = self._encode_for(env_id)
            _named(env_id, check_text, encoder, self._scripted[env_id].game)
            for played in [*games, respelt(encoder, self._scripted[env_id].game)]:
                _named(env_id, check_tokens, encoder, played)
                utterances += len(played.prompts)
        check_marks(self.algorithm.encoder)
        return f"{utterances} utterances"

    def masks(self) -> str:
        """The tokens that are learned from are those of the agent's utterances, paid on the last."""
        tokens = 0
        for env_id, games in self._every_game():
            encoder = self._encode_for(env_id)
            for played in games:
                tokens += _named(env_id, check_masks, encoder, played.game)
        return f"{tokens} action tokens"

    def adapters(self) -> str:
        """Switched off, an adapter leaves the base as it was, even after acting; switched on, it does not."""
        off = on = 0.0
        for read in (games[0].prompts[-1] for games in self._sampled.values()):
            plain = self._logits_of_base(read)
            off = max(off, self._gap(self._logits(read, None), plain))
            on = max(on, self._gap(self._logits(read, POLICY), plain))
        _require(
            self._fresh_gap <= self.tolerance,
            f"a new adapter changes the logits of the base by up to {self._fresh_gap:.2g}",
        )
        _require(off <= self.tolerance, f"with the adapter off, logits are up to {off:.2g} from the base's")
        _require(
            on > max(self.tolerance, _CLEARLY * off),
            f"an adapter with weights changes the logits by {on:.2g} at most: it is not read",
        )
        return f"logits within {off:.1g}, adapter on {on:.2g}"

    def log_probs(self) -> str:
        """What was said has, for the learner, the log-probability that it was drawn with."""
        widest, compared = 0.0, 0
        for env_id, games in self._sampled.items():
            encoder = self._encode_for(env_id)
            for played in games:
                history, said = _before(played.game)[-1], played.sampled[-1]
                drawn = torch.tensor(said.log_probs, dtype=torch.float64)
                gap = self._gap(self._learned_log_probs(encoder, history, said), drawn)
                _require(
                    gap <= self.tolerance,
                    f"{env_id}: the learner's log-probability of a token is {gap:.2g} from the one it was "
                    f"sampled with, more than {self.tolerance:.1g}",
                )
                widest, compared = max(widest, gap), compared + len(drawn)
        return f"{compared} sampled tokens within {widest:.1g}"

    def _every_game(self) -> list[tuple[str, list[Played]]]:
        return [(env_id, [self._scripted[env_id], *self._sampled[env_id]]) for env_id in self._scripted]

    @torch.no_grad()
    def _logits(self, prompt: tuple[int, ...], adapter: str | None) -> Tensor:
        """(V,) after `prompt`, by the passes of learning."""
        lm = self.algorithm.lm
        ids = torch.tensor([prompt], device=lm.device)
        return lm.read(lm.hidden(ids, torch.ones_like(ids), adapter)[0, -1])

    @torch.no_grad()
    def _logits_of_base(self, prompt: tuple[int, ...]) -> Tensor:
        """(V,) of the model that has never had an adapter."""
        model = self.base.model
        ids = torch.tensor([prompt], device=model.device)
        logits: Tensor = model(input_ids=ids, use_cache=False, logits_to_keep=1).logits[0, -1]
        return logits

    @staticmethod
    def _gap(ours: Tensor, theirs: Tensor) -> float:
        return float((ours - theirs).abs().max())

    @torch.no_grad()
    def _learned_log_probs(self, encoder: Encoder, history: History, said: Sampled) -> Tensor:
        """Of the tokens of one utterance, as the algorithms compute them from a game that ends with it."""
        # As it was sampled: a game adds the newline that a cut utterance lacks, which takes its tokens away.
        turn = Turn("", True, tokens=said.tokens, log_probs=said.log_probs)
        game = Trajectory("", {}, (*visible(history, encoder.context), turn), True, False)
        lm = self.algorithm.lm
        batch = stack([encoder.trajectory(game)]).to(lm.device)
        s = action_tokens(batch)
        states = lm.states(batch.ids, batch.mask, POLICY, s.row, s.at)
        log_prob = self.algorithm.said_by(lm.read, states, s.action).log_prob
        return log_prob[-len(said.tokens) :].double().cpu()


# ---- games ----


def made(env_id: str) -> TextEnv:
    """One game. Raises `ValueError` for an environment that is no `TextEnv`."""
    env = gymnasium.make(env_id, disable_env_checker=True).unwrapped
    if not isinstance(env, TextEnv):
        raise ValueError(f"{env_id} is not a lmrlgym.TextEnv, got {type(env).__name__}")
    return env


def _scripted(env_id: str) -> Policy:
    """The game's random player, or else one that always says the same."""
    try:
        return policy_named("random", env_id)
    except ValueError:
        return _Greeter()


class _Greeter:
    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str]:
        return ["hello\n" if history else "" for history in histories]


def _played(envs: Sequence[TextEnv], policy: Policy, utterances: int, seed: int) -> list[Trajectory]:
    """Games side by side, cut after so many utterances."""
    rngs = [np.random.default_rng(np.random.SeedSequence([seed + i, 1])) for i in range(len(envs))]
    ended = [False] * len(envs)
    for i, env in enumerate(envs):
        env.reset(seed=seed + i)
    for _ in range(utterances):
        seen = [
            () if over else visible(env.history, env.context) for env, over in zip(envs, ended, strict=True)
        ]
        if not any(seen):
            break
        for i, action in enumerate(policy.act(seen, rngs)):
            if not ended[i]:
                ended[i] = _is_over(envs[i], action)
    return [
        Trajectory(str(env), {}, env.history, over, not over) for env, over in zip(envs, ended, strict=True)
    ]


def _is_over(env: TextEnv, action: str | Action) -> bool:
    _, _, terminated, truncated, _ = env.step(action)
    return terminated or truncated


def _before(game: Trajectory) -> list[History]:
    """The history of each utterance."""
    return [game.turns[:i] for i, turn in enumerate(game.turns) if turn.is_action]


def _prompts(encoder: Encoder, game: Trajectory) -> tuple[tuple[int, ...], ...]:
    """What is read before each utterance."""
    return tuple(encoder.prompt(history) for history in _before(game))


def respelt(encoder: Encoder, game: Trajectory) -> Played:
    """The same game, had its agent sampled every letter as a token of its own where there is one."""
    turns = []
    for turn in game.turns:
        letters = [encoder.turn(Turn(letter, True)) for letter in turn.text]
        tokens = tuple(token for letter in letters for token in letter)
        is_same = turn.is_action and encoder.said(tokens, ()).text == turn.text
        turns.append(turn._replace(tokens=tokens) if is_same else turn)
    other = replace(game, turns=tuple(turns))
    return Played(other, _prompts(encoder, other))


# ---- what is checked of one game ----


def check_text(encoder: Encoder, game: Trajectory) -> None:
    """The tokens of a game that was said as text spell it, and are those of the text as a whole."""
    text = "".join(turn.text for turn in game.turns)
    ids = tuple(token for turn in game.turns for token in encoder.turn(turn))
    spelt = str(encoder.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))
    _require(
        spelt == text,
        f"the tokens of the turns spell {_where(spelt, text)!r} where the game says {_where(text, spelt)!r}",
    )
    whole = tuple(encoder.tokenizer.encode(text, add_special_tokens=False))
    if whole != ids:
        shared = next(i for i, (a, b) in enumerate(zip((*whole, -1), (*ids, -1), strict=False)) if a != b)
        turns = [encoder.tokenizer.decode([token]) for token in ids[shared : shared + 2]]
        merged = encoder.tokenizer.decode([whole[shared]]) if shared < len(whole) else ""
        raise AssertionError(
            f"the tokenizer merges across turns: the text has the token {merged!r} where its turns, "
            f"which are encoded one by one, have {turns}"
        )


def _where(text: str, other: str) -> str:
    """A few characters of `text` from where it differs from `other`."""
    pairs = enumerate(zip(text, other, strict=False))
    first = next((i for i, (a, b) in pairs if a != b), min(len(text), len(other)))
    return text[first : first + 20]


def check_marks(encoder: Encoder) -> None:
    """A special token's name, said in a game, stays text."""
    special = {int(token): str(name) for name, token in encoder.tokenizer.get_added_vocab().items()}
    for name in special.values():
        became = set(encoder.turn(Turn(f"{name}\n", False))) & special.keys()
        _require(not became, f"the text {name!r} becomes the special token itself")


def check_tokens(encoder: Encoder, played: Played) -> None:
    """Every utterance is learned in the very tokens it was said in, after the very tokens that were read."""
    learned = encoder.trajectory(played.game)
    windows = [
        tuple(learned.ids[learned.mask == number].tolist()) for number in learned.mask.unique().tolist()
    ]
    said = [turn for turn in played.game.turns if turn.is_action]
    _require(
        len(said) == len(played.prompts),
        f"the agent was asked {len(played.prompts)} times and said {len(said)} utterances",
    )
    for turn, sampled in zip(said, played.sampled, strict=False):
        _require(
            encoder.said(*sampled).text != turn.text or turn.tokens in (sampled.tokens, ()),
            f"{turn.text!r} was sampled as the tokens {sampled.tokens} and is kept as {turn.tokens}",
        )
    for number, (turn, prompt) in enumerate(zip(said, played.prompts, strict=True)):
        wanted = (*prompt, *encoder.turn(turn))
        _require(
            any(window[: len(wanted)] == wanted for window in windows),
            f"utterance {number} ({turn.text!r}) was said after {len(prompt)} tokens, and the learner reads "
            "no text that begins with them and it",
        )


def check_masks(encoder: Encoder, game: Trajectory) -> int:
    """The number of action tokens of `game`, each in its utterance, seen after what the agent saw."""
    learned = encoder.trajectory(game)
    marked = learned.is_action.nonzero()[:, 0].tolist()
    begin = 0
    for i, turn in enumerate(game.turns):
        if not turn.is_action:
            continue
        tokens = encoder.turn(turn)
        at = marked[begin : begin + len(tokens)]
        begin += len(tokens)
        found = learned.ids[at].tolist()
        _require(
            found == list(tokens),
            f"the tokens marked as the agent's are {encoder.tokenizer.decode(found)!r} where it said "
            f"{turn.text!r}",
        )
        if not at:
            continue
        window = learned.mask[at[0]]
        same = (learned.mask == window).nonzero()[:, 0]
        prompt = learned.ids[same[same < at[0]]].tolist()
        _require(
            at == list(range(at[0], at[0] + len(at))) and bool((learned.mask[at] == window).all()),
            f"the tokens of {turn.text!r} do not follow each other",
        )
        _require(
            tuple(prompt) == encoder.prompt(game.turns[:i]),
            f"{turn.text!r} is learned after {encoder.tokenizer.decode(prompt[-8:])!r}, which is not what "
            "the agent saw",
        )
        paid = learned.reward[at].tolist()
        _require(
            paid == [0.0] * (len(at) - 1) + [float(np.float32(turn.reward))],
            f"{turn.text!r} earned {turn.reward:g}, its tokens earn {paid}",
        )
    _require(len(marked) == begin, f"{len(marked) - begin} tokens are marked that the agent did not say")
    _require(not bool(learned.reward[~learned.is_action].any()), "tokens that the agent did not say are paid")
    return begin


def _named(env_id: str, check: Callable[..., int | None], *arguments: object) -> int:
    """What `check` says; an `AssertionError` begins with the environment's id."""
    try:
        return check(*arguments) or 0
    except AssertionError as error:
        raise AssertionError(f"{env_id}: {error}") from error


def _environments(count: int) -> str:
    return "1 environment" if count == 1 else f"{count} environments"


def _require(fact: bool, message: str) -> None:
    if not fact:
        raise AssertionError(message)
