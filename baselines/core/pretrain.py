"""Makes a tiny base: a byte-level BPE tokenizer and a small Llama, trained on random and mixed play.

    python -m baselines.core.pretrain --out envs_data/models/tiny-v1

LoRA over a random base cannot learn, so the base must have seen the formats of the games; it is
shown no play better than the datasets' own. What a game hides may be told at the end of a
random game ("= c r a n e"): to foretell it, a model must understand the answers, which the few good
moves of mixed play teach slowly. Its games have seeds from `Seeds.BASE_TEXT`.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from baselines.core.model import load_base
from lmrlgym import Seeds, Trajectory, policy_named, rollout, weights_sha256

PAD = "<|pad|>"


class Source(NamedTuple):
    """Games to read: of which environment, played how, and how many."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    level: str
    episodes: int
    tells: bool = False
    """cut the games after a random answer and tell what was hidden"""


_V1 = (
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

MIXTURES = {
    "v1": _V1,
    "words": (
        *_V1[:5],
        Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "mixed", 150_000),
        Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "random", 250_000, tells=True),
        Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "mixed", 40_000),
        Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "random", 20_000, tells=True),
        Source("lmrlgym/Wordle-v0", {"vocabulary": "common-2315"}, "mixed", 10_000),
        Source("lmrlgym/Wordle-v0", {"vocabulary": "common-2315"}, "random", 20_000, tells=True),
    ),
}
"""What the shipped bases have read, by name."""


@dataclass(frozen=True)
class Config:
    """What the base is made of."""

    out: Path
    """folder to write; it must not exist"""
    start: str = ""
    """base to go on from, with a tokenizer of its own; "": none"""
    mixture: str = "v1"
    """what to read, a name in MIXTURES"""
    optimizer: Literal["adamw", "muon"] = "adamw"
    """muon: for the matrices of the layers; the embedding, which is also the output, keeps AdamW"""
    bfloat16: bool = False
    """multiply matrices in bfloat16; twice as fast where the processor can"""
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
    muon_learning_rate: float = 5e-3
    """Muon's, scaled to AdamW's size of steps"""
    tokens_a_step: int = 4096
    """text a gradient step"""
    longest: int = 384
    """games are cut to this many tokens"""
    steps: int = 4500
    """gradient steps"""
    seed: int = 0
    """initialisation and order of the text"""


def pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    """Phrases stay whole; newlines, digits, letters that are spelt one by one and chess men stand alone."""
    letters = r" ?(?<![a-zA-Z])[a-z](?= [a-z](?![a-z])|\n)"
    men = r" ?(?<![a-zA-Z])[KQRBNPkqrbnp](?= [0-9/KQRBNPkqrbnpa-hx](?![a-zA-Z])|   w)"
    squares = r" ?(?<![a-zA-Z])[a-hx](?= [0-9x](?![a-zA-Z]))| ?/(?= )"
    spelt = rf"{letters}|{men}|{squares}| ?[0-9]|\n"
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
            env_kwargs={**source.env_kwargs, **({"privileged": True} if source.tells else {})},
            progress=True,
        )
        texts = [[turn.text for turn in game.turns] for game in played]
        games += _telling(texts, played, number) if source.tells else texts
    return games


def _telling(texts: list[list[str]], played: Sequence[Trajectory], number: int) -> list[list[str]]:
    """The games cut after a random answer, and then the word that was hidden."""
    rng = np.random.default_rng(Seeds.BASE_TEXT + number)
    told = []
    for turns, game in zip(texts, played, strict=True):
        answers = rng.integers(1, max(2, min(len(turns) // 2, 6)))
        told.append([*turns[: 1 + 2 * int(answers)], "= " + " ".join(game.info["secret"]) + "\n"])
    return told


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
    optimizers = _optimizers(model, config)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    begin, read, mean = time.perf_counter(), 0, math.nan
    text = batches(games, config.tokens_a_step, np.random.default_rng(config.seed))
    bar = tqdm(range(config.steps), unit="step", desc="pretraining")
    for step in bar:
        ids, mask = next(text)
        share = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / config.steps))
        share *= min(1.0, (step + 1) / 100)
        said = mask[:, 1:]
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
            logits = model.lm_head(hidden[said])
        loss = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][said])
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, own in zip(optimizers, rates, strict=True):
            for group, rate in zip(optimizer.param_groups, own, strict=True):
                group["lr"] = rate * share
            optimizer.step()
        read += int(said.sum())
        mean = loss.item() if math.isnan(mean) else 0.98 * mean + 0.02 * loss.item()
        bar.set_postfix(loss=f"{mean:.4f}", tokens=f"{read:,}")
    return {"tokens": read, "loss": round(mean, 4), "seconds": round(time.perf_counter() - begin)}


def _optimizers(model: LlamaForCausalLM, config: Config) -> list[torch.optim.Optimizer]:
    matrices, others = [], list(model.parameters())
    if config.optimizer == "muon":
        embedding = _embedding(model)
        matrices = [p for p in others if p.ndim == 2 and p is not embedding]
        others = [p for p in others if p.ndim != 2 or p is embedding]
    adamw = torch.optim.AdamW(others, lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    if not matrices:
        return [adamw]
    rate = config.muon_learning_rate
    muon = torch.optim.Muon(matrices, lr=rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw")
    return [muon, adamw]


def _embedding(model: LlamaForCausalLM) -> Tensor:
    """(V, D), which is also the output."""
    embedding = model.get_input_embeddings()
    assert isinstance(embedding, torch.nn.Embedding)
    return embedding.weight


def continued(start: str, tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """The base `start` with another tokenizer: a new token begins as the mean of its old tokens."""
    base = load_base(start)
    model = base.model
    assert isinstance(model, LlamaForCausalLM)
    model.requires_grad_(True).train()
    old = _embedding(model).detach().clone()
    known = base.tokenizer.get_vocab()
    pieces = [
        [known[token]] if token in known else base.tokenizer.encode(tokenizer.decode([i]))
        for i, token in enumerate(tokenizer.convert_ids_to_tokens(list(range(len(tokenizer)))))
    ]
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    new = _embedding(model)
    with torch.no_grad():
        for i, ids in enumerate(pieces):
            new[i] = old[ids].mean(dim=0)
    model.config.pad_token_id = tokenizer.pad_token_id
    return model


def main(config: Config) -> None:
    """Play, train the tokenizer and the model, and write both with the record of how."""
    if config.out.exists():
        raise SystemExit(f"{config.out} exists already; bases are versioned, not replaced")
    if config.mixture not in MIXTURES:
        raise SystemExit(f"mixture must be one of {', '.join(MIXTURES)}, got {config.mixture!r}")
    games = play(MIXTURES[config.mixture])
    tokenizer = train_tokenizer(
        ["".join(game) for game in games[:: max(1, len(games) // 20_000)]], config.vocabulary
    )
    encoded = encode(games, tokenizer, config.longest)
    model = continued(config.start, tokenizer) if config.start else untrained(config, tokenizer)
    if config.bfloat16:  # the fused attention was measured to be slower there
        model.set_attn_implementation("eager")
    result = train(model, encoded, config)
    torch.nn.Module.to(model, torch.bfloat16)
    partial = config.out.with_name(config.out.name + ".partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    record = {
        "command": _command(config),
        "config": {key: value for key, value in asdict(config).items() if key != "out"},
        "sources": [source._asdict() for source in MIXTURES[config.mixture]],
        "games": len(games),
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": weights_sha256(model),
        **result,
    }
    (partial / "card.json").write_text(json.dumps(record, indent=1) + "\n")
    os.replace(partial, config.out)
    tqdm.write(json.dumps(record, indent=1))


def _command(config: Config) -> str:
    words = ["python -m baselines.core.pretrain"]
    for key, value in asdict(config).items():
        if value != getattr(Config, key, None):
            flag = "--" + key.replace("_", "-")
            words.append(flag if value is True else f"{flag} {value.name if key == 'out' else value}")
    return " ".join(words)


if __name__ == "__main__":
    import tyro

    main(tyro.cli(Config))
