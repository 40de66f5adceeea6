"""Makes a tiny base: a byte-level BPE tokenizer and a small Llama, trained on random and mixed play.

    python -m baselines.core.pretrain --out envs_data/models/tiny-v1

LoRA over a random base cannot learn, so the base must have seen the formats of the games; it is
shown no play better than the datasets' own. What a game hides may be told at the end of a
random game ("= c r a n e"): to foretell it, a model must understand the answers, which the few good
moves of mixed play teach slowly. Where an agent sees one turn only, its games are read turn by turn.
Their seeds are those from `Seeds.BASE_TEXT`.

A base can be the beginning of another, which may have a larger vocabulary and more layers (`--start`).
"""

from __future__ import annotations

import copy
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from torch import Tensor
from tqdm.auto import tqdm
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from baselines.core.model import load_base
from lmrlgym import Seeds, Trajectory, policy_named, rollout, weights_sha256

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

PAD = "<|pad|>"


class Source(NamedTuple):
    """Games to read: of which environment, played how, and how many."""

    env_id: str
    env_kwargs: Mapping[str, Any]
    level: str
    episodes: int
    tells: bool = False
    """cut the games after a random answer and tell what was hidden"""
    by_turn: bool = False
    """read every observation with its action on its own, each pair once"""


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

_V2 = (
    Source("lmrlgym/Maze-v0", {}, "random", 300),
    Source("lmrlgym/Maze-v0", {}, "mixed", 600),
    Source("lmrlgym/Maze-v0", {"layout": "umaze"}, "random", 100),
    Source("lmrlgym/MazePartial-v0", {}, "random", 600),
    Source("lmrlgym/MazePartial-v0", {}, "mixed", 1_500),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "mixed", 30_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-431"}, "random", 10_000, tells=True),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-40"}, "mixed", 20_000),
    Source("lmrlgym/Wordle-v0", {"vocabulary": "common-2315"}, "mixed", 3_000),
    Source("lmrlgym/TextNav-v0", {}, "random", 1_500),
    Source("lmrlgym/TextNav-v0", {}, "mixed", 9_000),
    Source("lmrlgym/TextNavPartial-v0", {}, "random", 1_500),
    Source("lmrlgym/TextNavPartial-v0", {}, "mixed", 9_000),
    Source("lmrlgym/ChessEndgames-v0", {}, "mixed", 9_000, by_turn=True),
    Source("lmrlgym/ChessEndgames-v0", {}, "random", 1_000, by_turn=True),
    Source("lmrlgym/Chess-v0", {"partner": "random", "max_moves": 80}, "random", 600, by_turn=True),
    Source("lmrlgym/Chess-v0", {}, "mixed", 250, by_turn=True),
    Source("lmrlgym/TwentyQuestions-v0", {}, "mixed", 14_000),
    Source("lmrlgym/TwentyQuestions-v0", {}, "random", 8_000, tells=True),
    Source("lmrlgym/GuessMyCity-v0", {}, "mixed", 12_000),
    Source("lmrlgym/GuessMyCity-v0", {}, "random", 6_000, tells=True),
    Source("lmrlgym/CarDealer-v0", {}, "mixed", 9_000),
    Source("lmrlgym/CarDealer-v0", {}, "random", 1_000),
)

MIXTURES = {
    "v1": _V1,
    "v2": _V2,
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
    """base to go on from, with a tokenizer of its own and `layers` if it has fewer; "": none"""
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
    observation_weight: float = 1.0
    """weight of what is heard, against what is said"""
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
    """The turns of every game of every source; they begin with what is heard and take turns."""
    games: list[list[str]] = []
    for number, source in enumerate(sources):
        trajectories = played(source, number)
        texts = [[turn.text for turn in game.turns] for game in trajectories]
        if source.tells:
            texts = _telling(texts, trajectories, number)
        if source.by_turn:
            pairs = dict.fromkeys(
                (heard, said)
                for game in texts
                for heard, said in zip(game[::2], game[1::2], strict=False)
            )  # fmt: skip
            texts = [list(pair) for pair in pairs]
        games += texts
    return games


def played(source: Source, number: int) -> list[Trajectory]:
    """The games of a source, the `number`-th of a mixture, which have seeds of their own."""
    return rollout(
        source.env_id,
        policy_named(source.level, source.env_id, **source.env_kwargs),
        source.episodes,
        seed=Seeds.BASE_TEXT + number * 1_000_000,
        parallel=16,
        env_kwargs={**source.env_kwargs, **({"privileged": True} if source.tells else {})},
        progress=True,
    )


def _telling(texts: list[list[str]], played: Sequence[Trajectory], number: int) -> list[list[str]]:
    """The games cut after a random answer, and then what was hidden; a word of Wordle is spelt."""
    rng = np.random.default_rng(Seeds.BASE_TEXT + number)
    told = []
    for turns, game in zip(texts, played, strict=True):
        answers = rng.integers(1, max(2, min(len(turns) // 2, 6)))
        secret = str(game.info["secret"])
        spelt = " ".join(secret) if "Wordle" in game.env_id else secret
        told.append([*turns[: 1 + 2 * int(answers)], f"= {spelt}\n"])
    return told


def encode(games: Sequence[list[str]], tokenizer: PreTrainedTokenizerFast, longest: int) -> list[np.ndarray]:
    """(2, T) a game, cut to `longest`: its tokens, and 1 where one is said by the player.

    Each turn is encoded on its own, as the agents are trained.
    """
    known: dict[str, list[int]] = {}
    encoded = []
    for game in games:
        for text in game:
            if text not in known:
                known[text] = tokenizer.encode(text, add_special_tokens=False)
        ids = [token for text in game for token in known[text]]
        said = [turn % 2 for turn, text in enumerate(game) for _ in known[text]]
        encoded.append(np.array([ids[:longest], said[:longest]], dtype=np.int64))
    return encoded


def batches(
    games: Sequence[np.ndarray], size: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """(ids, kind) of games of similar length, `size` tokens each, for ever.

    A kind is 1 where a token was heard, 2 where it was said, 0 where there is none.
    """
    while True:
        groups = grouped([game.shape[1] for game in games], size, rng)
        groups = groups[:-1] or groups  # the longest games are left out where they do not fill a batch
        for number in rng.permutation(len(groups)):
            chosen = [torch.from_numpy(games[i]) for i in groups[number]]
            ids = torch.nn.utils.rnn.pad_sequence([game[0] for game in chosen], batch_first=True)
            kind = torch.nn.utils.rnn.pad_sequence([1 + game[1] for game in chosen], batch_first=True)
            yield ids, kind


def grouped(lengths: Sequence[int], size: int, rng: np.random.Generator) -> list[list[int]]:
    """Numbers of games of similar lengths, so many that, padded, they have at most `size` tokens."""
    groups: list[list[int]] = [[]]
    for i in np.argsort(np.asarray(lengths) + rng.random(len(lengths)), kind="stable"):
        if groups[-1] and lengths[i] * (len(groups[-1]) + 1) > size:
            groups.append([])
        groups[-1].append(int(i))
    return groups


def share_of_rate(step: int, steps: int, warm_up: int = 100) -> float:
    """What share of the learning rate a step has: a rise, then a cosine down to a fiftieth."""
    cosine = 0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * step / steps))
    return cosine * min(1.0, (step + 1) / warm_up)


def train(model: LlamaForCausalLM, games: Sequence[np.ndarray], config: Config) -> dict[str, float]:
    """Next-token prediction on everything that is said, for `config.steps`."""
    optimizers = _optimizers(model, config)
    rates = [[group["lr"] for group in optimizer.param_groups] for optimizer in optimizers]
    begin, read, mean = time.perf_counter(), 0, math.nan
    text = batches(games, config.tokens_a_step, np.random.default_rng(config.seed))
    bar = tqdm(range(config.steps), unit="step", desc="pretraining")
    for step in bar:
        ids, kind = next(text)
        share = share_of_rate(step, config.steps)
        real = kind[:, 1:] > 0
        weight = torch.where(kind[:, 1:][real] == 2, 1.0, config.observation_weight)
        with torch.autocast("cpu", torch.bfloat16, enabled=config.bfloat16):
            hidden = model.model(input_ids=ids[:, :-1]).last_hidden_state
            logits = model.lm_head(hidden[real])
        losses = torch.nn.functional.cross_entropy(logits.float(), ids[:, 1:][real], reduction="none")
        loss = (losses * weight).sum() / weight.sum()
        model.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, own in zip(optimizers, rates, strict=True):
            for group, rate in zip(optimizer.param_groups, own, strict=True):
                group["lr"] = rate * share
            optimizer.step()
        read += int(real.sum())
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


def continued(start: str, tokenizer: PreTrainedTokenizerFast, layers: int = 0) -> LlamaForCausalLM:
    """The base `start` with another tokenizer and at least `layers` layers.

    A new token begins as the mean of its old tokens; a new layer, on top, begins by changing nothing.
    """
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
    return _deeper(model, layers) if layers > model.config.num_hidden_layers else model


def _deeper(model: LlamaForCausalLM, layers: int) -> LlamaForCausalLM:
    config = copy.deepcopy(model.config)
    config.num_hidden_layers = layers
    deeper = LlamaForCausalLM(config)
    loaded = deeper.load_state_dict(model.state_dict(), strict=False)
    assert not loaded.unexpected_keys
    with torch.no_grad():
        for layer in list(deeper.model.layers)[model.config.num_hidden_layers :]:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
    return deeper


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
    if config.start:
        model = continued(config.start, tokenizer, config.layers)
    else:
        model = untrained(config, tokenizer)
    if config.bfloat16:  # the fused attention was measured to be slower there
        model.set_attn_implementation("eager")
    result = train(model, encoded, config)
    write_base(
        config.out, model, tokenizer, command=_command(config), config=config,
        sources=[source._asdict() for source in MIXTURES[config.mixture]], games=len(games), **result,
    )  # fmt: skip


def write_base(
    out: Path,
    model: LlamaForCausalLM,
    tokenizer: PreTrainedTokenizerBase,
    command: str,
    config: DataclassInstance,
    **record: Any,
) -> None:
    """Write a base in bfloat16 into the folder `out`, all or nothing; how it was made goes to card.json."""
    torch.nn.Module.to(model, torch.bfloat16)
    partial = out.with_name(out.name + ".partial")
    model.save_pretrained(partial)
    tokenizer.save_pretrained(partial)
    record = {
        "command": command,
        "config": {key: value for key, value in asdict(config).items() if key != "out"},
        "parameters": sum(p.numel() for p in model.parameters()),
        "weights_sha256": weights_sha256(model),
        **record,
    }
    (partial / "card.json").write_text(json.dumps(record, indent=1))
    for file in partial.glob("*.json"):
        file.write_text(file.read_text(encoding="utf-8").rstrip("\n") + "\n", encoding="utf-8")
    os.replace(partial, out)
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
