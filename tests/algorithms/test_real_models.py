"""Bases of other families than the shipped one, as they come from the hub: with marks, tied or not."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import PeftModel
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    BloomConfig,
    Gemma2Config,
    GPT2Config,
    PreTrainedConfig,
    Qwen2Config,
)

from baselines.core.algorithm import POLICY
from baselines.core.generate import left_padded
from baselines.core.model import LM, Base, Caches, load_base
from baselines.core.policy import LMPolicy
from baselines.core.pretrain import train_tokenizer
from baselines.core.tokens import Encoder
from baselines.testing import check_algorithm, example_games
from benchmarks import base as cost
from benchmarks import gpu
from lmrlgym import Turn, rollout

Family = Callable[..., PreTrainedConfig]

END, BEGIN = "<|im_end|>", "<|im_start|>"
VOCABULARY, WIDTH = 280, 32
MAZE = "lmrlgym/Maze-v0"
SHAPE: dict[str, Any] = {
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "hidden_size": WIDTH,
    "initializer_range": 0.3,
}
LLAMA_LIKE: dict[str, Any] = {**SHAPE, "intermediate_size": 48, "num_key_value_heads": 2, "head_dim": 8}
MARKS = {"bos_token_id": 271, "eos_token_id": 270, "pad_token_id": 0}


def config(family: Family, tied: bool = True) -> PreTrainedConfig:
    """Two layers of width 32; wide weights, so that every token and place makes a difference."""
    shape = LLAMA_LIKE if family in (Qwen2Config, Gemma2Config) else SHAPE
    # The model knows more tokens than the tokenizer, as models whose table is rounded up do.
    return family(vocab_size=VOCABULARY, tie_word_embeddings=tied, **shape, **MARKS)


def write(folder: Path, made: PreTrainedConfig) -> Path:
    """A checkpoint with random weights and a tokenizer that has the two marks of a chat."""
    tokenizer = train_tokenizer([turn.text for game in example_games() for turn in game.turns], 270)
    tokenizer.add_special_tokens({"eos_token": END, "additional_special_tokens": [BEGIN]})
    tokenizer.save_pretrained(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        AutoModelForCausalLM.from_config(made).save_pretrained(folder)
    return folder


FAMILIES = {
    "gpt2": config(GPT2Config),
    "gpt2-untied": config(GPT2Config, tied=False),
    "qwen2": config(Qwen2Config),
    "qwen2-untied": config(Qwen2Config, tied=False),
}


@pytest.fixture(scope="module", params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp(request.param), FAMILIES[request.param])


@pytest.fixture(scope="module")
def loaded(folder: Path) -> Base:
    return load_base(str(folder))


@pytest.fixture(scope="module")
def trained(loaded: Base) -> LM:
    """With an adapter that makes a difference."""
    lm = LM(loaded)
    lm.add_adapter(POLICY, 4, 0)
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for weight in lm.adapter(POLICY).values():
            weight.copy_(torch.randn(weight.shape, generator=generator) / 4)
    return lm


STEM = list(range(20, 32))
WINDOWS = [[*STEM, 40, 41, 42], [*STEM, 50, 51], [*STEM, 60], [5, 9, 2, 7, 8, 6, 4]]
"""Three share a beginning of 12 tokens and differ in length; one shares nothing."""


@torch.no_grad()
def plain(lm: LM, adapter: str | None, window: Sequence[int]) -> Tensor:
    """(T, V) logits of one text alone: the whole model, no mask, no places, no cache, no layout."""
    lm.hidden(torch.tensor([[1]]), torch.tensor([[1]]), adapter)  # switches to the adapter
    logits: Tensor = lm.model(input_ids=torch.tensor([window]), use_cache=False).logits[0]
    return logits


@pytest.mark.parametrize("adapter", [None, POLICY])
@torch.no_grad()
def test_windows_laid_out_together_read_as_each_alone(trained: LM, adapter: str | None) -> None:
    ids = torch.tensor([[token for window in WINDOWS for token in window]])
    mask = torch.tensor([[number for number, window in enumerate(WINDOWS, 1) for _ in window]])
    together = trained.read(trained.hidden(ids, mask, adapter))[0]
    alone = torch.cat([plain(trained, adapter, window) for window in WINDOWS])
    torch.testing.assert_close(together, alone, atol=1e-4, rtol=1e-4)
    assert float(alone.std()) > 0.1, "a model that says the same everywhere proves nothing"


@pytest.mark.parametrize("adapter", [None, POLICY])
@torch.no_grad()
def test_texts_of_different_lengths_read_token_by_token_as_each_alone(
    trained: LM, adapter: str | None
) -> None:
    caches: Caches = {}
    ids, mask = left_padded([tuple(window[:-2]) for window in WINDOWS], trained.device)
    for step in (-2, -1, 0):
        hidden = trained.hidden(ids, mask, adapter, caches)
        for row, window in enumerate(WINDOWS):
            alone = plain(trained, adapter, window[: len(window) + step])
            torch.testing.assert_close(
                trained.read(hidden[row, -1]), alone[-1], atol=1e-4, rtol=1e-4, msg=f"{step}, {row}"
            )
        ids = torch.tensor([window[step] if step else 0 for window in WINDOWS])[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], dim=1)


def test_every_linear_layer_but_the_output_is_adapted_without_a_warning(loaded: Base) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        lm = LM(loaded)
        lm.add_adapter(POLICY, 4, 0)
    assert not [w for w in said if "fan_in_fan_out" in str(w.message)]
    # Two matrices each. GPT-2: queries, keys and values in one, the output, and two of the block
    # behind. Qwen2: those apart, four and three.
    layers = {"gpt2": 4, "qwen2": 7}[lm.model.config.model_type]
    assert len(lm.adapter(POLICY)) == 2 * 2 * layers
    assert not [name for name in lm.adapter(POLICY) if "head" in name or "embed" in name or "wte" in name]


@torch.no_grad()
def test_a_saved_adapter_is_read_by_peft_alone(trained: LM, folder: Path, tmp_path: Path) -> None:
    trained.save_adapter(POLICY, tmp_path)
    base = AutoModelForCausalLM.from_pretrained(folder)
    theirs = PeftModel.from_pretrained(base, str(tmp_path))(input_ids=torch.tensor([WINDOWS[0]])).logits[0]
    torch.testing.assert_close(theirs, plain(trained, POLICY, WINDOWS[0]), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("name", ["bc", "ilql"])
@pytest.mark.parametrize("family", ["gpt2", "qwen2-untied"])
def test_algorithms_keep_their_contract_over_it(name: str, family: str, tmp_path: Path) -> None:
    check_algorithm(name, write(tmp_path, FAMILIES[family]))


@pytest.mark.parametrize("family", [Gemma2Config, BloomConfig])
def test_a_base_that_would_be_misread_is_refused(family: Family, tmp_path: Path) -> None:
    # Gemma 2 squashes its logits; Bloom knows distances from the mask alone.
    made = family(vocab_size=VOCABULARY, **(LLAMA_LIKE if family is Gemma2Config else {}), **MARKS)
    if isinstance(made, BloomConfig):
        made.n_layer, made.n_head, made.hidden_size, made.initializer_range = 2, 4, WIDTH, 0.3
    base = load_base(str(write(tmp_path, made)))
    with pytest.raises(ValueError, match=rf"{made.model_type}\) computes states or logits"):
        LM(base)


# ---- marks that are no text ----


def script(encoder: Encoder, ids: Sequence[int], longest: int = 32) -> LMPolicy:
    """A player that says `ids` and nothing else. What it answers while it still reads does not count."""
    step = -1

    def next_logits(given: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        nonlocal step
        is_reading = int(mask[0, -given.shape[1] :].sum()) > 1
        step = 0 if is_reading else step + 1
        logits = torch.full((len(given), VOCABULARY), -math.inf)
        logits[:, ids[step]] = 0.0
        return logits

    return LMPolicy(next_logits, encoder, max_new_tokens=longest)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    return Encoder(load_base(str(write(tmp_path_factory.mktemp("marks"), FAMILIES["gpt2"]))).tokenizer, 1)


def ids_of(encoder: Encoder, text: str) -> tuple[int, ...]:
    return encoder.turn(Turn(text, True))


def mark_id(encoder: Encoder, mark: str) -> int:
    found = encoder.tokenizer.convert_tokens_to_ids(mark)
    assert isinstance(found, int)
    return found


def text_of(encoder: Encoder, ids: Sequence[int]) -> str:
    return str(encoder.tokenizer.decode(list(ids)))


@pytest.mark.parametrize("mark", [END, BEGIN])
def test_a_mark_ends_an_utterance_which_then_has_no_ids(encoder: Encoder, mark: str) -> None:
    player = script(encoder, [*ids_of(encoder, "move left"), mark_id(encoder, mark)])
    action = player.act([(Turn("hi\n", False),)], [np.random.default_rng(0)])[0]
    assert action == ("move left\n", (), (), None)


def test_a_newline_ends_an_utterance_which_keeps_its_ids(encoder: Encoder) -> None:
    ids = ids_of(encoder, "move left\n")
    action = script(encoder, [*ids, *ids]).act([(Turn("hi\n", False),)], [np.random.default_rng(0)])[0]
    assert action[:2] == ("move left\n", ids)
    assert action.log_probs == (0.0,) * len(ids)


def test_an_utterance_that_was_cut_shows_no_mark_and_the_game_gets_its_newline(encoder: Encoder) -> None:
    player = script(encoder, ids_of(encoder, "move left and away"), longest=2)
    game = rollout(MAZE, player, 1, env_kwargs={"max_moves": 1})[0]
    said = game.turns[1]
    assert said.text == text_of(encoder, ids_of(encoder, "move left and away")[:2]) + "\n"
    assert said.tokens == ()


def test_a_mark_that_is_written_out_in_a_game_is_ordinary_text(encoder: Encoder) -> None:
    ids = ids_of(encoder, f"you said {END}{BEGIN}\n")
    assert not set(ids) & {mark_id(encoder, mark) for mark in (END, BEGIN)}
    assert text_of(encoder, ids) == f"you said {END}{BEGIN}\n"


# ---- the commands that measure ----


def test_the_agents_over_a_real_model_start_from_the_cloned_policy_of_their_game(tmp_path: Path) -> None:
    planned = gpu.plan(gpu.Options(out=tmp_path, share=0.5))
    assert [(run.algorithm, run.training.out) for run in planned] == [
        (name, tmp_path / game / name) for game in ("maze", "wordle") for name in ("bc", "ilql", "ppo")
    ]
    starts = [run.training.start for run in planned]
    maze, wordle = tmp_path / "maze" / "bc", tmp_path / "wordle" / "bc"
    assert starts == [None, maze, maze, None, wordle, wordle]
    # Half of 32 games of each start of the maze, and of 4,096 of Wordle.
    assert [run.training.repeats for run in planned] == [16] * 3 + [2048] * 3
    assert all(run.config.rounds == round(type(run.config)().rounds / 2) for run in planned)


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=f"share must be above 0 and at most 1, got {share}"):
        gpu.plan(gpu.Options(share=share))


def test_what_a_base_costs_is_measured(folder: Path) -> None:
    options = cost.Options("bc", MAZE, base=str(folder), device="cpu", batch_size=2, steps=2, utterances=2)
    measured = cost.measure(options)
    assert min(measured) > 0
    with pytest.raises(ValueError, match="steps must be at least 2, got 1"):
        cost.measure(replace(options, steps=1))
