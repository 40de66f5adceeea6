"""Makes a tiny base: a byte-level BPE tokenizer and a small Llama, trained on random and mixed play.

    python -m baselines.core.pretrain --out envs_data/models/tiny-v1

LoRA over a random base cannot learn, so the base must have seen the formats of the games; it is
shown no play better than the datasets' own. Its games have seeds from `Seeds.BASE_TEXT`.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from baselines.core.model import weights_sha256
from lmrlgym import Seeds, policy_named, rollout

PAD = "<|pad|>"


class Source(NamedTuple):
    """Games to read: of which environment, played how, and how many."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    level: str
    episodes: int


SOURCES = (
    Source("lmrlgym/Maze-v0", {}, "random", 300),
    Source("lmrlgym/Maze-v0", {}, "mixed", 600),
    Source("lmrlgym/Maze-v0", {"layout": "umaze"}, "random", 100),
    Source("lmrlgym/MazePartial-v0", {}, "random", 300),
    Source("lmrlgym/MazePartial-v0", {}, "mixed", 600),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "mixed", 140_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "mixed", 60_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-2315"}, "random", 4_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-2315"}, "mixed", 6_000),
)


@dataclass(frozen=True)
class Config:
    """What the base is made of."""

    out: Path
    """folder to write; it must not exist"""
    vocabulary: int = 512
    """size of the BPE vocabulary"""
    width: int = 128
    """hidden width"""
    layers: int = 3
    """decoder layers"""
    heads: int = 4
    """attention heads"""
    feed_forward: int = 512
    """inner width of the feed-forward blocks"""
    positions: int = 2048
    """longest text in tokens"""
    learning_rate: float = 3e-3
    """AdamW's, with a warm-up and a cosine"""
    tokens_a_step: int = 4096
    """text a gradient step"""
    longest: int = 384
    """games are cut to this many tokens"""
    steps: int = 4500
    """gradient steps"""
    seed: int = 0
    """initialisation and order of the text"""


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Phrases stay whole; newlines, digits and letters that are spelt one by one stand alone."""
    spelt = r" ?(?<![a-zA-Z])[a-z](?= [a-z](?![a-z])|\n)| ?[0-9]|\n"
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(spelt), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def train_tokenizer(texts: Sequence[str], vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE over `texts`; every text can be written with it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token=PAD)


def untrained(
    config: Config, tokenizer: PreTrainedTokenizerFast, weight_spread: float = 0.02
) -> LlamaForCausalLM:
    """The model before it has read anything; its weights are normal with deviation `weight_spread`."""
    torch.manual_seed(config.seed)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=config.width,
            intermediate_size=config.feed_forward,
            num_hidden_layers=config.layers,
            num_attention_heads=config.heads,
            num_key_value_heads=config.heads,
            max_position_embeddings=config.positions,
            initializer_range=weight_spread,
            tie_word_embeddings=True,
            pad_token_id=tokenizer.pad_token_id,
            bos_token_id=None,
            eos_token_id=None,
        )
    )


def play(sources: Sequence[Source]) -> list[list[str]]:
    """The turns of every game of every source."""
    games: list[list[str]] = []
    for number, source in enumerate(sources):
        policy = policy_named(source.level, source.env_id, **source.env_kwargs)
        played = rollout(
            source.env_id,
            policy,
            source.episodes,
            seed=Seeds.BASE_TEXT + number * 1_000_000,
            parallel=16,
            env_kwargs=source.env_kwargs,
            progress=True,
        )
        games += [[turn.text for turn in game.turns] for game in played]
    return games


def encode(games: Sequence[list[str]], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[np.ndarray]:
    """Each turn on its own, as the agents are trained."""
    known: dict[str, list[int]] = {}
    encoded = []
    for game in games:
        for text in game:
            if text not in known:
                known[text] = tokenizer.encode(text, add_special_tokens=False)
        ids = [token for text in game for token in known[text]]
        encoded.append(np.array(ids[:longest], dtype=np.int64))
    return encoded


def batches(
    games: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """(ids, mask) of games of similar length, `size` tokens each, for ever."""
    while True:
        order = np.argsort([len(game) + rng.random() for game in games], kind="stable")
        groups: list[list[int]] = []
        group: list[int] = []
        width = 0
        for i in order:
            width = max(width, len(games[i]))
            if group and width * (len(group) + 1) > size:
                groups.append(group)
                group, width = [], len(games[i])
            group.append(int(i))
        for number in rng.permutation(len(groups)):
            chosen = [torch.from_numpy(games[i]) for i in groups[number]]
            ids = torch.nn.utils.rnn.pad_sequence(chosen, batch_first=True)
            mask = torch.nn.utils.rnn.pad_sequence([torch.ones_like(c) for c in chosen], batch_first=True)
            yield ids, mask.bool()


def train(model: LlamaForCausalLM, games: Sequence[np.ndarray], config: Config) -> dict[str, float]:
    """Next-token prediction on everything that is said, for `config.steps`."""
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01
    )
    begin, read, mean = time.perf_counter(), 0, math.nan
    text = batches(games, config.tokens_a_step, np.random.default_rng(config.seed))
    bar = tqdm(range(config.steps), unit="step", desc="pretraining")
    for step in bar:
        ids, mask = next(text)
        rate = config.learning_rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / config.steps)))
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1.0, (step + 1) / 100)
        hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
        said = mask[:, 1:]
        loss = torch.nn.functional.cross_entropy(model.lm_head(hidden[said]), ids[:, 1:][said])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        read += int(said.sum())
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        bar.set_postfix(loss=f"{mean:.4f}", tokens=f"{read:,}")
    return {"tokens": read, "loss": round(mean, 4), "seconds": round(time.perf_counter() - begin)}


def main(config: Config) -> None:
    """Play, train the tokenizer and the model, and write both with the record of how."""
    if config.out.exists():
        raise SystemExit(f"{config.out} exists already; bases are versioned, not replaced")
    games = play(SOURCES)
    tokenizer = train_tokenizer(
        ["".join(game) for game in games[:: max(1, len(games) // 20_000)]], config.vocabulary
    )
    encoded = encode(games, tokenizer, config.longest)
    model = untrained(config, tokenizer)
    result = train(model, encoded, config)
    torch.nn.Module.to(model, torch.bfloat16)
    partial = config.out.with_name(config.out.name + ".partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    record = {
        "command": f"python -m baselines.core.pretrain --out {config.out.name}",
        "config": {key: value for key, value in asdict(config).items() if key != "out"},
        "sources": [source._asdict() for source in SOURCES],
        "games": len(games),
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": weights_sha256(model),
        **result,
    }
    (partial / "card.json").write_text(json.dumps(record, indent=1) + "\n")
    os.replace(partial, config.out)
    tqdm.write(json.dumps(record, indent=1))


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
