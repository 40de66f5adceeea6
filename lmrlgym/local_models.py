"""A language model on this machine that writes for many games at once: a Hugging Face name or a folder.

Decoders and encoder-decoders (T5), whole models and adapters that lmrlgym trained. Needs torch and
transformers (the extra `baselines`), which are imported when a model is loaded.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.random import Generator

from lmrlgym.chat import first_line
from lmrlgym.resources import data_path

Messages = list[dict[str, str]]
_WORTH_SHARING, _WORTH_A_PASS = 8, 128
"""Tokens."""


class Written(NamedTuple):
    """One line that a model wrote.

    `tokens` and `log_probs` (at temperature 1 if greedy) are there if they spell exactly `text`. Text that
    was trimmed, or ended by a model's own mark instead of a newline, has none.
    """

    text: str
    tokens: tuple[int, ...] = ()
    log_probs: tuple[float, ...] = ()
    prompt_tokens: int = 0
    completion_tokens: int = 0


class LocalModel:
    """The model `name`: a shipped base (tiny-v1), a folder, or a Hugging Face name; safetensors only.

    A folder may hold an adapter that `lmrlgym train` or `train-partner` made; it is merged into its base.
    Raises `ValueError` for a model that cannot be loaded and `ImportError` without the extra.
    """

    def __init__(self, name: str) -> None:
        self.tokenizer, self._model = _load(name)
        # What was trained here was trained on plain texts, whatever template its base came with.
        self._is_trained_here = _is_adapter(name)
        self.reads_chat = self.tokenizer.chat_template is not None and not self._is_trained_here

    def plain(self, text: str) -> list[int]:
        """The ids of a text that the model goes on from, as its tokenizer begins and ends texts.

        Marks of the model that stand in the text ("</s>") are read as the characters that they are.
        """
        ids = self.tokenizer(
            text, add_special_tokens=not self._is_trained_here, split_special_tokens=True
        ).input_ids
        return [int(i) for i in ids]

    def chat(self, messages: Messages) -> list[int]:
        """The ids of a chat, ending where the model is to speak. Marks of the model in it are broken up."""
        from jinja2 import TemplateError

        chat = [{**message, "content": self._unmarked(message["content"])} for message in messages]
        try:
            text = self._rendered(chat)
        except TemplateError:  # some templates know no system role
            text = self._rendered(_without_system(chat))
        return [int(i) for i in self.tokenizer(text, add_special_tokens=False).input_ids]

    def write(
        self,
        prompts: Sequence[Sequence[int]],
        rngs: Sequence[Generator],
        *,
        temperature: float,
        max_tokens: int,
    ) -> list[Written]:
        """One line a prompt, at most `max_tokens` long; "" for an empty prompt, an idle position.

        Temperature 0 takes the likeliest token; above 0, row i is drawn with `rngs[i]` alone, once a
        token. Idle positions are computed too: float32 rows differ between widths. A prompt that does not fit
        loses its oldest tokens.
        """
        busy = [bool(prompt) for prompt in prompts]
        if not any(busy):
            return [Written("") for _ in prompts]
        read = [self.fitting(prompt, max_tokens) or [self._padding] for prompt in prompts]
        drawer = _Drawer(self.tokenizer, self._stops, temperature, busy, rngs)
        self._generate(read, drawer, max_tokens)
        return [
            drawer.written(row, len(read[row])) if is_busy else Written("")
            for row, is_busy in enumerate(busy)
        ]

    def fitting(self, prompt: Sequence[int], max_tokens: int) -> list[int]:
        """The newest part of `prompt` that the model can read and still write `max_tokens`."""
        limit = self._model.config.get_text_config().to_dict().get("max_position_embeddings")
        return list(prompt[-max(1, int(limit or self.tokenizer.model_max_length) - max_tokens) :])

    def _rendered(self, chat: Messages) -> str:
        # A thinking model would spend its few tokens on thoughts; other templates ignore the switch.
        text: str = self.tokenizer.apply_chat_template(
            chat, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        return text

    def _unmarked(self, text: str) -> str:
        """`text` with a blank inside every mark of the model, so that a player cannot speak for others."""
        for mark in self._marks:
            text = text.replace(mark, f"{mark[0]} {mark[1:]}")
        return text

    @property
    def _marks(self) -> list[str]:
        added = self.tokenizer.added_tokens_decoder.values()
        found = {*self.tokenizer.all_special_tokens, *(token.content for token in added if token.special)}
        return sorted((mark for mark in found if len(mark) > 1), key=len, reverse=True)

    @property
    def _stops(self) -> frozenset[int]:
        """The ids that end an utterance by themselves."""
        ids = self._model.generation_config.eos_token_id
        return frozenset(() if ids is None else [ids] if isinstance(ids, int) else ids)

    @property
    def _padding(self) -> int:
        return next((i for i in (self.tokenizer.pad_token_id, *self._stops) if i is not None), 0)

    def _generate(self, prompts: Sequence[Sequence[int]], drawer: _Drawer, max_tokens: int) -> None:
        """Draw one utterance per prompt into `drawer`."""
        import torch

        is_decoder = not self._model.config.is_encoder_decoder
        shared = shared_beginning(prompts) if is_decoder else 0
        width = max(len(prompt) for prompt in prompts)
        with torch.inference_mode():
            ids, mask = self._padded(prompts, shared, width)
            self._model.generate(
                input_ids=ids,
                attention_mask=mask,
                past_key_values=self._read(prompts, shared, width) if is_decoder else None,
                max_new_tokens=max_tokens,
                do_sample=False,
                pad_token_id=self._padding,
                logits_processor=[drawer.draw],
                stopping_criteria=[drawer.finished],
            )

    def _padded(self, prompts: Sequence[Sequence[int]], shared: int, width: int) -> tuple[Any, Any]:
        """(B, T) ids and mask of prompts, padded before what is not shared."""
        import torch

        padding = [width - len(prompt) for prompt in prompts]
        ids = [
            [*p[:shared], *[self._padding] * n, *p[shared:]] for p, n in zip(prompts, padding, strict=True)
        ]
        mask = [[1] * shared + [0] * n + [1] * (width - shared - n) for n in padding]
        device = self._model.device
        return torch.tensor(ids, device=device), torch.tensor(mask, device=device)

    def _read(self, prompts: Sequence[Sequence[int]], shared: int, width: int) -> Any:
        """The keys and values of all prompts but their last tokens, padded to `width` like the prompts.

        What all begin with is read once, and prompts of similar lengths in one pass, with little padding.
        None where nothing can be saved, or the model's cache is no plain one: generation then reads itself.
        """
        from transformers.cache_utils import DynamicCache, DynamicLayer

        if len(prompts) == 1:
            return None
        beginning = self._cache_of(prompts[0][:shared]) if shared else DynamicCache(config=self._model.config)
        if type(beginning) is not DynamicCache or any(type(x) is not DynamicLayer for x in beginning.layers):
            return None
        whole: dict[int, tuple[Any, Any]] = {}
        for rows in alike([len(prompt) for prompt in prompts]):
            cache = self._passed([prompts[row] for row in rows], shared, copy.deepcopy(beginning))
            for layer, read in enumerate(cache.layers):
                if layer not in whole:
                    _, heads, _, size = read.keys.shape
                    whole[layer] = tuple(
                        read.keys.new_zeros(len(prompts), heads, width - 1, size) for _ in "kv"
                    )
                for kept, part in zip(whole[layer], (read.keys, read.values), strict=True):
                    own = part.shape[2] - shared
                    kept[rows, :, :shared] = part[:, :, :shared]
                    kept[rows, :, width - 1 - own :] = part[:, :, shared:]
        joined = DynamicCache()
        for layer, (keys, values) in whole.items():
            joined.update(keys, values, layer)
        return joined

    def _passed(self, prompts: Sequence[Sequence[int]], shared: int, cache: Any) -> Any:
        """`cache`, which holds the shared beginning in one row, with all prompts but their last tokens."""
        width = max(len(prompt) for prompt in prompts)
        ids, mask = self._padded(prompts, shared, width)
        if shared:
            cache.batch_repeat_interleave(len(prompts))
        if width - 1 == shared:
            return cache
        places = (mask.cumsum(-1) - 1).clamp(min=0)
        return self._model(
            input_ids=ids[:, shared:-1],
            attention_mask=mask[:, :-1],
            position_ids=places[:, shared:-1],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).past_key_values

    def _cache_of(self, beginning: Sequence[int]) -> Any:
        """The keys and values of one text."""
        import torch

        ids = torch.tensor([list(beginning)], device=self._model.device)
        return self._model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values


def alike(lengths: Sequence[int]) -> list[list[int]]:
    """Rows in groups of similar lengths: padding a group to its longest costs less than one more pass."""
    groups: list[list[int]] = []
    padded = 0
    for row in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        padded += lengths[groups[-1][0]] - lengths[row] if groups else 0
        if not groups or padded > _WORTH_A_PASS:
            groups.append([])
            padded = 0
        groups[-1].append(row)
    return groups


def shared_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all prompts begin with; 0 where that is too few to be worth a call of its own.

    At least one token of every prompt is left.
    """
    ordered = sorted(list(prompt) for prompt in prompts)
    first, last = ordered[0], ordered[-1]  # between them lie all others, which begin alike too
    longest = min(map(len, prompts)) - 1
    differs = (i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b)
    shared = min(longest, next(differs, longest))
    return shared if len(prompts) > 1 and shared >= _WORTH_SHARING else 0


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

    def written(self, row: int, prompt_tokens: int) -> Written:
        """What was written in `row` after a prompt of `prompt_tokens`."""
        ids = self.ids[row]
        text = first_line(self._tokenizer.decode(ids, skip_special_tokens=True))
        if self._tokenizer.decode(ids) != text:
            return Written(text, (), (), prompt_tokens, len(ids))
        return Written(text, tuple(ids), tuple(self._log_probs[row]), prompt_tokens, len(ids))

    def _keep(self, row: int, token: int, log_prob: float) -> None:
        self.ids[row].append(token)
        self._log_probs[row].append(log_prob)
        said = self._tokenizer.decode(self.ids[row], skip_special_tokens=True)
        self._open[row] = token not in self._stops and "\n" not in said.lstrip()


def _drawn(weights: np.ndarray, uniform: float) -> int:
    """The index where the running sum of `weights` passes the share `uniform` of it."""
    running = np.cumsum(weights)
    return int(min(np.searchsorted(running, uniform * running[-1], side="right"), len(weights) - 1))


def _without_system(messages: Messages) -> Messages:
    """The system message said at the head of the first user message instead."""
    if len(messages) < 2 or messages[0]["role"] != "system":
        return messages
    system, first, *rest = messages
    return [{**first, "content": f"{system['content']}\n\n{first['content']}"}, *rest]


# ---- loading ----


def _is_adapter(name: str) -> bool:
    """Whether `name` is a folder that holds an adapter of ours."""
    return all((Path(name) / file).is_file() for file in ("adapter_config.json", "base.json"))


def _load(name: str) -> tuple[Any, Any]:
    """The tokenizer and the model, ready to write; half precision on a GPU only."""
    try:
        import torch
        from transformers import GenerationConfig
    except ImportError as error:
        raise ImportError(f"hf:{name} needs the extra: pip install 'lmrlgym[baselines]' ({error})") from error
    try:
        tokenizer, model = _adapted(Path(name)) if _is_adapter(name) else _pretrained(_shipped(name))
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"no language model {name!r} could be loaded: {error}") from error
    own = model.generation_config
    # A model's own penalties and temperature would change what `_Drawer` is given.
    model.generation_config = GenerationConfig(
        eos_token_id=own.eos_token_id, decoder_start_token_id=own.decoder_start_token_id
    )
    return tokenizer, model.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _pretrained(name: str) -> tuple[Any, Any]:
    import torch
    from transformers import (
        AutoConfig,
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoTokenizer,
    )

    tokenizer = AutoTokenizer.from_pretrained(name)
    kind: Any = AutoModelForCausalLM
    if AutoConfig.from_pretrained(name).is_encoder_decoder:
        kind = AutoModelForSeq2SeqLM
    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return tokenizer, kind.from_pretrained(name, use_safetensors=True, dtype=dtype)


def _shipped(name: str) -> str:
    """The folder of a shipped base, or `name` itself."""
    try:
        return str(data_path("models", name))
    except FileNotFoundError:
        return name


def _adapted(folder: Path) -> tuple[Any, Any]:
    """The base with the adapter in `folder` merged into it. Raises `ValueError` for another base."""
    from peft import PeftModel

    record = json.loads((folder / "base.json").read_text(encoding="utf-8"))
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    base = _shipped(record["name"])
    tokenizer, model = _pretrained(base if base != record["name"] else config["base_model_name_or_path"])
    if (found := weights_sha256(model)) != record["sha256"]:
        raise ValueError(
            f"its adapter belongs to base {record['name']} ({record['sha256'][:12]}), "
            f"but the weights found have sha256 {found[:12]}"
        )
    return tokenizer, PeftModel.from_pretrained(model, str(folder)).merge_and_unload()


def weights_sha256(model: Any) -> str:
    """sha256 of all weights of a torch module as bfloat16, by name: the loading dtype does not count."""
    import torch

    digest = hashlib.sha256()
    for key, value in sorted(model.state_dict().items()):
        digest.update(key.encode())
        digest.update(value.detach().to("cpu", torch.bfloat16).contiguous().view(torch.uint8).numpy())
    return digest.hexdigest()
