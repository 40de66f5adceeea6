"""A causal language model from Hugging Face as a player, untrained: `hf:MODEL`.

A model whose tokenizer has a chat template is told the game's instructions and gets the
conversation as chat messages. Any other continues the plain concatenation of what it sees. Needs
torch and transformers (the extra `baselines`), which are imported when a player is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.random import Generator

from lmrlgym.chat import to_messages
from lmrlgym.types import Action, History

MAX_TOKENS = 128
"""How long an answer may be, unless the caller says otherwise."""


def first_line(text: str) -> str:
    """What a model said: its first line that is not blank, after any thinking, and one newline."""
    spoken = text.rpartition("</think>")[2].strip()
    return spoken.split("\n", 1)[0].strip() + "\n"


@dataclass
class Usage:
    """What a player has cost so far, in tokens of its own tokenizer."""

    prompt_tokens: int = 0
    completion_tokens: int = 0


class LanguageModelPolicy:
    """Plays with the Hugging Face model `model` (a name or a folder, loaded from safetensors only).

    `temperature` 0 takes the likeliest token; above 0, tokens are sampled with each game's own
    generator. An utterance ends with its first line and has at most `max_tokens` tokens. Every
    position of a batch is computed, idle ones too, so that the width stays the same during a
    rollout: float32 rows differ between widths. Raises `ValueError` for a model that cannot be
    loaded and `ImportError` without the extra.
    """

    def __init__(
        self, model: str, instructions: str = "", *, temperature: float = 0.0, max_tokens: int = MAX_TOKENS
    ) -> None:
        if not (math.isfinite(temperature) and temperature >= 0):
            raise ValueError(f"temperature must be a number from 0, got {temperature}")
        if max_tokens < 1:
            raise ValueError(f"max_tokens must be at least 1, got {max_tokens}")
        self.instructions = instructions
        self.temperature = temperature
        self.max_tokens = max_tokens
        self.usage = Usage()
        self._tokenizer, self._model = _load(model)
        limit = self._model.config.get_text_config().to_dict().get("max_position_embeddings")
        self._longest_prompt = max(1, int(limit or self._tokenizer.model_max_length) - max_tokens)

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One line a game; "" for an idle position.

        An action carries its sampled ids and their log-probabilities (at temperature 1 if greedy) if
        they spell exactly what is said. Text that was trimmed, or ended by a chat model's own mark
        instead of a newline, has none.
        """
        playing = [bool(history) for history in histories]
        if not any(playing):
            return [Action("") for _ in histories]
        prompts = [self._prompt(history) if history else [self._padding] for history in histories]
        drawer = _Drawer(self._tokenizer, self._stops, self.temperature, playing, rngs)
        self._generate(prompts, drawer)
        self.usage.prompt_tokens += sum(len(p) for p, plays in zip(prompts, playing, strict=True) if plays)
        self.usage.completion_tokens += sum(len(ids) for ids in drawer.ids)
        return [drawer.action(row) if plays else Action("") for row, plays in enumerate(playing)]

    @property
    def _stops(self) -> frozenset[int]:
        """The ids that end an utterance by themselves."""
        ids = self._model.generation_config.eos_token_id
        return frozenset(() if ids is None else [ids] if isinstance(ids, int) else ids)

    @property
    def _padding(self) -> int:
        return next((i for i in (self._tokenizer.pad_token_id, *self._stops) if i is not None), 0)

    def _prompt(self, history: History) -> list[int]:
        """The ids of what the model reads; the oldest are cut where they do not fit."""
        if self._tokenizer.chat_template is None:
            ids = self._tokenizer("".join(turn.text for turn in history)).input_ids
        else:
            text = self._chat(to_messages(history, self.instructions))
            ids = self._tokenizer(text, add_special_tokens=False).input_ids
        return [int(i) for i in ids][-self._longest_prompt :]

    def _chat(self, messages: list[dict[str, str]]) -> str:
        from jinja2 import TemplateError

        def rendered(chat: list[dict[str, str]]) -> str:
            # A thinking model would spend its few tokens on thoughts; other templates ignore the switch.
            text: str = self._tokenizer.apply_chat_template(
                chat, tokenize=False, add_generation_prompt=True, enable_thinking=False
            )
            return text

        try:
            return rendered(messages)
        except TemplateError:  # some templates know no system role
            return rendered(_without_system(messages))

    def _generate(self, prompts: Sequence[Sequence[int]], drawer: _Drawer) -> None:
        """Draw one utterance per prompt into `drawer`."""
        import torch

        width = max(len(prompt) for prompt in prompts)
        ids = [[self._padding] * (width - len(p)) + list(p) for p in prompts]
        mask = [[0] * (width - len(p)) + [1] * len(p) for p in prompts]
        device = self._model.device
        with torch.inference_mode():
            self._model.generate(
                input_ids=torch.tensor(ids, device=device),  # (B, T), padded on the left
                attention_mask=torch.tensor(mask, device=device),
                max_new_tokens=self.max_tokens,
                do_sample=False,
                pad_token_id=self._padding,
                logits_processor=[drawer.draw],
                stopping_criteria=[drawer.finished],
            )


class _Drawer:
    """Draws every token of a batch of utterances and remembers them, one row a game.

    `transformers` generates greedily from what `draw` leaves possible: the drawn token alone.
    """

    def __init__(
        self,
        tokenizer: Any,
        stops: frozenset[int],
        temperature: float,
        playing: Sequence[bool],
        rngs: Sequence[Generator],
    ) -> None:
        self.ids: list[list[int]] = [[] for _ in playing]
        self._log_probs: list[list[float]] = [[] for _ in playing]
        self._tokenizer = tokenizer
        self._stops = stops
        self._temperature = temperature
        self._rngs = rngs
        self._open = list(playing)

    def draw(self, input_ids: Any, scores: Any) -> Any:
        """(B, V) scores with one finite entry a row, the drawn token's."""
        log_probs = (scores.float() / (self._temperature or 1.0)).log_softmax(-1)
        chosen = log_probs.argmax(-1).tolist()
        if self._temperature > 0:
            weights = log_probs.double().exp().cpu().numpy()
        for row, is_open in enumerate(self._open):
            # A row that has ended draws nothing, so that no game depends on its neighbours' lengths.
            if is_open and self._temperature > 0:
                chosen[row] = _drawn(weights[row], self._rngs[row].random())
        index = input_ids.new_tensor(chosen)[:, None]  # (B, 1)
        for row, log_prob in enumerate(log_probs.gather(-1, index)[:, 0].tolist()):
            if self._open[row]:
                self._keep(row, chosen[row], log_prob)
        return scores.new_full(scores.shape, -math.inf).scatter(-1, index, 0.0)

    def finished(self, input_ids: Any, scores: Any, **kwargs: Any) -> Any:
        """(B,) whether each utterance is over."""
        return input_ids.new_tensor([not is_open for is_open in self._open]).bool()

    def action(self, row: int) -> Action:
        """What was said in `row`."""
        raw = self._tokenizer.decode(self.ids[row])
        text = first_line(self._tokenizer.decode(self.ids[row], skip_special_tokens=True))
        if raw != text:
            return Action(text)
        log_probs = tuple(self._log_probs[row])
        return Action(text, tuple(self.ids[row]), log_probs, math.fsum(log_probs))

    def _keep(self, row: int, token: int, log_prob: float) -> None:
        self.ids[row].append(token)
        self._log_probs[row].append(log_prob)
        said = self._tokenizer.decode(self.ids[row], skip_special_tokens=True)
        self._open[row] = token not in self._stops and "\n" not in said.lstrip()


def _drawn(weights: np.ndarray, uniform: float) -> int:
    """The index where the running sum of `weights` passes the share `uniform` of it."""
    running = np.cumsum(weights)
    return int(min(np.searchsorted(running, uniform * running[-1], side="right"), len(weights) - 1))


def _without_system(messages: list[dict[str, str]]) -> list[dict[str, str]]:
    """The system message said at the head of the first user message instead."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


def _load(model: str) -> tuple[Any, Any]:
    """The tokenizer and the model, ready to generate; half precision on a GPU only."""
    try:
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
    except ImportError as error:
        raise ImportError(
            f"hf:{model} needs the extra: pip install 'lmrlgym[baselines]' ({error})"
        ) from error
    on_gpu = torch.cuda.is_available()
    try:
        tokenizer = AutoTokenizer.from_pretrained(model)
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            model, use_safetensors=True, dtype=torch.bfloat16 if on_gpu else torch.float32
        )
    except (OSError, ValueError) as error:
        raise ValueError(f"no language model {model!r} could be loaded: {error}") from error
    # A model's own penalties and temperature would change what `_Drawer` is given.
    stops = loaded.generation_config.eos_token_id
    loaded.generation_config = GenerationConfig(eos_token_id=stops)
    return tokenizer, loaded.to("cuda" if on_gpu else "cpu").eval()
