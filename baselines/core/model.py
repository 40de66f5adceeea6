"""A frozen language model with named LoRA adapters over it, and heads that read its hidden states.

Every distinct window of a batch is computed once (see `layout`), and heads read every distinct
state once.
"""

from __future__ import annotations

import copy
import ctypes
import json
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple, Self

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.tuners.lora import LoraLayer
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    DynamicCache,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.cache_utils import Cache
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.pytorch_utils import Conv1D

from baselines.core.layout import Layout, layout
from baselines.core.slots import ATTENTION, Slots
from lmrlgym import data_path, weights_sha256

Caches = dict[str, Cache]
"""One key-value cache an adapter, for reading a text on token by token; {} in the beginning."""

BASE_FILE = "base.json"
_MERGED_BYTES = 64 * 2**20
_HAS_GLIBC = platform.libc_ver()[0] == "glibc"


class Base(NamedTuple):
    """A pretrained model, its tokenizer, the name it was asked for and the sha256 of its weights."""

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    name: str
    sha256: str


def load_base(
    name: str = "tiny-v1", device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32
) -> Base:
    """The base `name`: a shipped one (tiny-v1), smollm2-135m, a folder, or a Hugging Face name.

    Raises `ValueError` if there is no such model.
    """
    folder = _base_folder(name)
    try:
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, trust_remote_code=False)
        # What is said in a game is text: "<|im_end|>" in it must not become the mark itself.
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False, split_special_tokens=True)
    except (OSError, ValueError) as error:
        raise ValueError(f"no base model {name!r}: {str(error).splitlines()[0]}") from error
    nn.Module.to(model, torch.device(device))
    model.eval().requires_grad_(False)
    return Base(model, tokenizer, name, weights_sha256(model))


def _base_folder(name: str) -> str:
    if name == "smollm2-135m":
        from baselines.core.smollm2 import smollm2_folder

        return smollm2_folder()
    try:
        return str(data_path("models", name))
    except FileNotFoundError:
        return name


class States(NamedTuple):
    """The states of N action tokens; equal ones are there once."""

    distinct: Tensor
    """(U, D) hidden states"""
    of: Tensor
    """(N,) -> U"""


class LM(nn.Module):
    """A frozen base with named adapters. `adapter=None` is the bare base.

    Adapters are switched here and only here: `peft.set_adapter` would also make the one it
    switches to trainable and freeze the others. Dropout is always off.

    `autocast` multiplies matrices in bfloat16 where whole windows are read, which is learning; acting,
    the states between the layers and everything that heads compute keep their precision. `recompute` keeps
    nothing but the states between the layers for the gradients, which then compute each layer again.

    Raises `ValueError` for a base whose states or logits are not read as a plain forward pass would
    (one that recurs, knows distance from the order of its input alone, or rescales its logits).
    """

    def __init__(self, base: Base, *, autocast: bool = False, recompute: bool = False) -> None:
        super().__init__()
        self.model: PreTrainedModel = copy.deepcopy(base.model)
        self.autocast = False
        self.tokenizer = base.tokenizer
        self.base_name = base.name
        self.base_sha256 = base.sha256
        self.peft: PeftModel | None = None
        self._layouts: tuple[Tensor, Tensor, Layout] | None = None
        self._lora_layers: list[LoraLayer] = []
        self._adapter: str | None = None
        if recompute:
            for layer in self.model.modules():
                if isinstance(layer, GradientCheckpointingLayer):
                    layer.forward = self._recomputed(layer.forward)
        self._require_plain()
        self.autocast = autocast
        if autocast and self.device.type == "cpu":
            # The fused attention was measured to be slower in bfloat16 on a CPU.
            self.model.set_attn_implementation("eager")

    @property
    def width(self) -> int:
        """D, the hidden width."""
        return int(self.model.config.hidden_size)

    @property
    def vocabulary(self) -> int:
        """V, the number of tokens the model can say."""
        return int(self.model.get_output_embeddings().weight.shape[0])

    @property
    def device(self) -> torch.device:
        """Where the base lives."""
        return self.model.device

    def train(self, mode: bool = True) -> Self:
        """Dropout stays off, whatever is asked for."""
        return super().train(False)

    def add_adapter(self, name: str, rank: int, seed: int) -> None:
        """A new adapter on every linear layer but the output; it changes nothing until it is trained."""
        config = LoraConfig(
            r=rank,
            lora_alpha=2 * rank,
            lora_dropout=0.0,
            target_modules="all-linear",
            task_type="CAUSAL_LM",
            # GPT-2's layers keep their weights the other way round.
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in self.model.modules()),
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            if self.peft is None:
                # The wrapper stays out of nn.Module's sight, or every weight would have two names.
                object.__setattr__(self, "peft", get_peft_model(self.model, config, adapter_name=name))
            else:
                self.peft.add_adapter(name, config)
        for parameter in self.adapter(name).values():
            parameter.requires_grad_(True)
        self.model.eval()
        self._lora_layers = [module for module in self.model.modules() if isinstance(module, LoraLayer)]

    def adapter(self, name: str) -> dict[str, nn.Parameter]:
        """The weights of adapter `name` by their place in the model."""
        mark = f".{name}."
        return {
            key.replace(mark, "."): value
            for key, value in self.model.named_parameters()
            if mark in key and "lora_" in key
        }

    def copy_adapter(self, source: str, target: str) -> None:
        """Give `target` the weights of `source`."""
        self.mix_adapter(source, target, 1.0)

    @torch.no_grad()
    def mix_adapter(self, source: str, target: str, share: float) -> None:
        """Move `target` towards `source` by `share` (1: all the way)."""
        sources = self.adapter(source)
        for key, value in self.adapter(target).items():
            value.lerp_(sources[key], share)

    def hidden(self, ids: Tensor, mask: Tensor, adapter: str | None, caches: Caches | None = None) -> Tensor:
        """(B, T, D) hidden states after the last norm.

        Without `caches`, `mask` (B, T) numbers windows as `Tokens.mask` does and padding comes
        after the text. With `caches`, `ids` (B, T) go on from what the caches hold, and `mask`
        (B, past + T) is 1 on text and 0 on padding, which comes before the text (with `Slots`, which
        know better, anywhere).
        """
        if caches is not None:
            return self._continued(ids, mask, adapter, caches)
        found = self._layout(ids, mask)
        return functional.embedding(found.index, self._flat(found, adapter))

    def states(self, ids: Tensor, mask: Tensor, adapter: str | None, row: Tensor, at: Tensor) -> States:
        """`hidden(ids, mask, adapter)[row, at]`, (N, D), without building the whole or repeating a state."""
        found = self._layout(ids, mask)
        rows, of = torch.unique(found.index[row, at], return_inverse=True)
        return States(functional.embedding(rows, self._flat(found, adapter)), of)

    @property
    def output_embedding(self) -> Tensor:
        """(V, D): what the base reads its logits with."""
        embedding: Tensor = self.model.get_output_embeddings().weight
        return embedding

    def read(self, hidden: Tensor) -> Tensor:
        """(..., V) the base's logits for hidden states (..., D)."""
        logits: Tensor = self.model.get_output_embeddings()(hidden)
        return logits

    @torch.no_grad()
    def _require_plain(self) -> None:
        """Read two windows that share a beginning, and compare with the model's own forward pass."""
        shared = torch.arange(1, 9, device=self.device) % self.vocabulary
        windows = torch.stack([shared, shared])
        windows[1, -1] = 0
        numbers = torch.tensor([[1], [2]], device=self.device).expand_as(windows)
        try:
            states = self.model.get_decoder()(input_ids=windows, use_cache=False).last_hidden_state
            logits = self.model(input_ids=windows, use_cache=False).logits
            ours = self.hidden(windows.reshape(1, -1), numbers.reshape(1, -1), None).view_as(states)
            alike = _alike(ours, states) and _alike(self.read(states), logits)
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError) as error:
            raise ValueError(self._not_plain) from error
        finally:
            self._layouts = None
        if not alike:
            raise ValueError(self._not_plain)

    @property
    def _not_plain(self) -> str:
        return (
            f"base {self.base_name!r} ({self.model.config.model_type}) computes states or logits in a way "
            "that is not supported here; models like Llama, Qwen, GPT-2, OPT or GPT-NeoX are"
        )

    def _layout(self, ids: Tensor, mask: Tensor) -> Layout:
        # The adapters of one loss read the same batch: find its windows once.
        known = self._layouts
        if known is None or known[0] is not ids or known[1] is not mask:
            known = self._layouts = (ids, mask, layout(ids, mask))
        return known[2]

    def _flat(self, found: Layout, adapter: str | None) -> Tensor:
        self._use(adapter)
        decoder = self.model.get_decoder()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.autocast):
            parts = [
                decoder(
                    input_ids=chunk.ids,
                    position_ids=chunk.positions,
                    attention_mask=None if chunk.mask is None else _additive(chunk.mask, self.model.dtype),
                    use_cache=False,
                ).last_hidden_state
                for chunk in found.chunks
            ]
        return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts])

    def _continued(self, ids: Tensor, mask: Tensor, adapter: str | None, caches: Caches) -> Tensor:
        self._use(adapter)
        if isinstance(caches, Slots):
            return self._in_slots(ids, adapter, caches)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        hidden: Tensor = self.model.get_decoder()(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=caches.setdefault(adapter or "", DynamicCache()),
            use_cache=True,
        ).last_hidden_state
        return hidden

    def _in_slots(self, ids: Tensor, adapter: str | None, slots: Slots) -> Tensor:
        with self._merged(adapter, slots), self._attending_to(slots) as told:
            hidden: Tensor = self.model.get_decoder()(
                input_ids=ids,
                attention_mask=_additive(slots.sees, self.model.dtype),
                position_ids=slots.positions,
                past_key_values=slots.cache(adapter or ""),
                use_cache=True,
                **told,
            ).last_hidden_state
        return hidden

    @contextmanager
    def _attending_to(self, slots: Slots) -> Iterator[dict[str, Any]]:
        """Let layers of fused attention leave out rows that rest; gives what they must be told."""
        config = self.model.config
        if config._attn_implementation != "sdpa" or self.device.type != "cpu":
            yield {}
            return
        config._attn_implementation = ATTENTION
        try:
            yield {"slots": slots}
        finally:
            config._attn_implementation = "sdpa"

    @contextmanager
    def _merged(self, adapter: str | None, slots: Slots) -> Iterator[None]:
        """Add the adapter to the weights meanwhile: small models spend their time between operations.

        The sums are kept with `slots`, since acting goes on with the same weights. They would be
        large for a large model, and coarser than its adapter in half precision.
        """
        adapted: list[Any] = list(self._lora_layers)
        layers = [layer.get_base_layer() for layer in adapted]
        own: list[Tensor] = [layer.weight.data for layer in layers]
        if (
            adapter is None
            or self.model.dtype != torch.float32
            or sum(weight.nbytes for weight in own) > _MERGED_BYTES
        ):
            yield
            return
        if adapter not in slots.merged:
            slots.merged[adapter] = [
                weight + layer.get_delta_weight(adapter) for weight, layer in zip(own, adapted, strict=True)
            ]
        self._use(None)
        try:
            for layer, weight in zip(layers, slots.merged[adapter], strict=True):
                layer.weight.data = weight
            yield
        finally:
            for layer, weight in zip(layers, own, strict=True):
                layer.weight.data = weight

    def _recomputed(self, forward: Callable[..., Any]) -> Callable[..., Any]:
        """`forward` of a layer, done again for the gradients with the adapter of the first time.

        The model's own switch does it only where dropout is on, and knows nothing of adapters.
        """

        def twice(*args: Any, **kwargs: Any) -> Any:
            if not torch.is_grad_enabled():
                return forward(*args, **kwargs)
            adapter = self._adapter

            def once(*args: Any, **kwargs: Any) -> Any:
                give_back_freed()
                self._use(adapter)
                return forward(*args, **kwargs)

            return checkpoint(once, *args, use_reentrant=False, preserve_rng_state=False, **kwargs)

        return twice

    def _use(self, adapter: str | None) -> None:
        self._adapter = adapter
        active = [] if adapter is None else [adapter]
        for layer in self._lora_layers:
            layer._active_adapter = active

    def save_adapter(self, name: str, folder: Path) -> None:
        """Write adapter `name` so that `PeftModel.from_pretrained(base, folder)` reads it."""
        assert self.peft is not None
        self.peft.save_pretrained(str(folder), selected_adapters=[name], save_embedding_layers=False)
        nested = folder / name
        if nested.is_dir():  # peft writes every adapter but "default" into a folder of its name
            for file in nested.iterdir():
                file.replace(folder / file.name)
            nested.rmdir()
        record = {"name": self.base_name, "sha256": self.base_sha256}
        (folder / BASE_FILE).write_text(json.dumps(record, indent=1))

    @torch.no_grad()
    def load_adapter(self, name: str, folder: Path) -> None:
        """Give the existing adapter `name` the weights in `folder`.

        Raises `ValueError` if there are none, they were trained over another base, or have other shapes.
        """
        try:
            record = json.loads((folder / BASE_FILE).read_text())
            saved = load_file(folder / "adapter_model.safetensors")
        except (OSError, ValueError, SafetensorError) as error:
            raise ValueError(f"{folder} holds no adapter: {error}") from error
        if record["sha256"] != self.base_sha256:
            raise ValueError(
                f"the adapter in {folder} belongs to base {record['name']} ({record['sha256'][:12]}), "
                f"not to {self.base_name} ({self.base_sha256[:12]})"
            )
        own = self.adapter(name)
        stored = {key.removeprefix("base_model.model."): value for key, value in saved.items()}
        if {k: v.shape for k, v in stored.items()} != {k: v.shape for k, v in own.items()}:
            raise ValueError(f"the adapter in {folder} has other shapes than adapter {name!r} (rank?)")
        for key, value in stored.items():
            own[key].copy_(value)


def give_back_freed() -> None:
    """Let the system have back what the C library keeps of memory that is free.

    What a layer frees lies between what is kept for the gradients, and glibc before 2.38 finds few of those
    places again for tensors, which are aligned: 8 MiB a layer with 135M parameters and 368 tokens.
    """
    if _HAS_GLIBC:
        ctypes.CDLL(None).malloc_trim(0)


def _alike(ours: Tensor, theirs: Tensor) -> bool:
    """Equal but for rounding: a thousandth of the largest in float32, a sixth in bfloat16."""
    tolerance = max(1e-3, 20 * torch.finfo(theirs.dtype).eps)
    return bool((ours - theirs).abs().max() <= tolerance * theirs.abs().max())


def _additive(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """0 where `mask` is true, else the lowest number."""
    return torch.zeros(mask.shape, dtype=dtype, device=mask.device).masked_fill(~mask, torch.finfo(dtype).min)


class Head(nn.Module):
    """D -> D (ReLU) -> `outputs`; it begins constant at `bias`, so early targets are sane.

    With an `embedding` (outputs, D), which does not learn, it is D -> D (ReLU) -> D -> `outputs` through
    that: what is learned of one token holds for those like it, and only the biases are a token's own.
    """

    def __init__(
        self, width: int, outputs: int, bias: float, seed: int, embedding: Tensor | None = None
    ) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.first = nn.Linear(width, width)
            self.second = nn.Linear(width, outputs if embedding is None else width, bias=embedding is None)
        nn.init.zeros_(self.second.weight)
        if embedding is None:
            nn.init.constant_(self.second.bias, bias)
        else:
            self.bias = nn.Parameter(torch.full((outputs,), bias))
        self.embedding: Tensor | None
        self.register_buffer(
            "embedding", None if embedding is None else embedding.detach().float(), persistent=False
        )

    def forward(self, hidden: Tensor) -> Tensor:
        """(..., outputs) of hidden states (..., D)."""
        out: Tensor = self.second(torch.relu(self.first(hidden.to(self.first.weight.dtype))))
        return out if self.embedding is None else nn.functional.linear(out, self.embedding, self.bias)


@torch.no_grad()
def mix_modules(source: nn.Module, target: nn.Module, share: float) -> None:
    """Move the parameters of `target` towards those of `source` by `share`."""
    for theirs, own in zip(source.parameters(), target.parameters(), strict=True):
        own.lerp_(theirs, share)
