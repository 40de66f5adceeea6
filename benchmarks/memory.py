"""What learning takes of memory: `python -m benchmarks.memory [--quick] [--json FILE]`.

The highest resident memory of a process that takes two ILQL steps, against one that holds what the 2023
release holds: the cloned policy, a second whole model that learns with AdamW, and its target, a third. Both
have the same architecture with random weights (memory does not look at them), heads, batch and optimiser, and
both compute their layers again for the gradients (gradient checkpointing) and then give back the memory that
layers have freed; the rows `stored` do neither.
"""

from __future__ import annotations

import json as json_module
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

from baselines.core.fit import fit
from baselines.core.model import LM, Head, give_back_freed, load_base
from baselines.core.registry import find_algorithm
from baselines.core.run import peak_memory_bytes
from baselines.testing import example_games
from benchmarks.table import HEADER, Row, row_of, title, write

SIZES: dict[str, tuple[int, int, int, int, int]] = {
    "135M": (576, 1536, 30, 9, 49_152),
    "30M": (384, 1024, 12, 6, 16_384),
}
"""Name -> width, inner width, layers, heads and vocabulary; the largest is SmolLM2-135M's."""
_STEPS = 2
_BOTH_MIB = 10_000
"""Memory in which both sides fit at once."""


def make_base(size: str, folder: Path) -> None:
    """A model of `size` with random weights and the tokenizer of tiny-v1."""
    width, inner, layers, heads, vocabulary = SIZES[size]
    config = LlamaConfig(
        hidden_size=width, intermediate_size=inner, num_hidden_layers=layers, num_attention_heads=heads,
        num_key_value_heads=3, vocab_size=vocabulary, tie_word_embeddings=True, dtype="float32",
    )  # fmt: skip
    load_base().tokenizer.save_pretrained(folder)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)


def ours(folder: str, *, recompute: bool) -> None:
    """Two steps of ILQL as it is here."""
    ilql = find_algorithm("ilql")
    config = ilql.Config(rounds=1, steps=_STEPS, batch_size=8)
    algorithm = ilql(LM(load_base(folder), recompute=recompute), config, None)
    algorithm.started()
    fit(algorithm, lambda number: example_games(), config, lambda number, metrics: None)


def copies(folder: str, *, recompute: bool) -> None:
    """Two steps of a loss of the same shape over three whole models."""
    policy, learned, target = (AutoModelForCausalLM.from_pretrained(folder) for _ in range(3))
    policy.requires_grad_(False)
    for parameter in policy.parameters():
        parameter.data = parameter.data.clone()  # or it would stay on the disk, since nothing here reads it
    target.requires_grad_(False)
    if recompute:
        learned.gradient_checkpointing_enable({"use_reentrant": False})
        learned.train()  # transformers asks for it; these models have no dropout
        for layer in learned.get_decoder().layers:
            layer.register_forward_pre_hook(lambda *_: give_back_freed())  # as ours do
    width, vocabulary = learned.config.hidden_size, learned.config.vocab_size
    heads = [Head(width, vocabulary, 0.0, 1), Head(width, vocabulary, 0.0, 2), Head(width, 1, 0.0, 3)]
    targets = [Head(width, vocabulary, 0.0, 1), Head(width, vocabulary, 0.0, 2), Head(width, 1, 0.0, 3)]
    parameters = [*learned.parameters(), *(p for head in heads for p in head.parameters())]
    optimizer = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
    games = find_algorithm("bc")(LM(load_base()), find_algorithm("bc").Config(), None).prepare(
        example_games()
    )
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss = torch.zeros(())
        for game in games:
            hidden = learned.get_decoder()(game.ids[None]).last_hidden_state[0, :-1][game.is_action[1:]]
            with torch.no_grad():
                other = target.get_decoder()(game.ids[None]).last_hidden_state[0, :-1][game.is_action[1:]]
                goals = [head(other) for head in targets]
            for head, goal in zip(heads, goals, strict=True):
                found = head(hidden)
                loss = loss + (found - goal - 1).square().mean() + found.logsumexp(dim=-1).mean()
        loss.backward()
        optimizer.step()


def peaks_mib(folder: Path, *, recompute: bool) -> tuple[float, float]:
    """The highest resident memory, in MiB, of a process that does it our way and of one with copies.

    They compute at the same time where both fit into what memory the machine has left.
    """
    codes = (
        f"import benchmarks.memory as m; m.report({way!r}, {str(folder)!r}, {recompute})"
        for way in ("ours", "copies")
    )
    with ThreadPoolExecutor(2 if _available_mib() > _BOTH_MIB else 1) as pool:
        ours, theirs = pool.map(_peak_mib, codes)
    return ours, theirs


def _peak_mib(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return float(json_module.loads(done.stdout.splitlines()[-1]))


def _available_mib() -> float:
    meminfo = Path("/proc/meminfo")
    lines = meminfo.read_text().splitlines() if meminfo.exists() else []
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("MemAvailable")), 0.0)


def report(way: str, folder: str, recompute: bool) -> None:
    """Do it, and print the peak of this process in MiB."""
    torch.set_num_threads(1)
    {"ours": ours, "copies": copies}[way](folder, recompute=recompute)
    print(peak_memory_bytes(torch.device("cpu")) / 2**20)


def rows(sizes: list[str], repeats: int, *, recompute: bool = True) -> list[Row]:
    """A row a size; the one of 135M is the promised one."""
    found = []
    for size in sizes:
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            make_base(size, folder)
            pairs = [peaks_mib(folder, recompute=recompute) for _ in range(repeats)]
        name = "memory/ilql_vs_copies" + ("" if size == "135M" else f"/{size}")
        found.append(row_of(name if recompute else f"{name}/stored", "MiB", pairs))
    return found


def main(quick: bool = False, json: Path | None = None) -> None:
    """Print the table of memory.

    Args:
        quick: One repeat of the promised row; memory hardly differs between repeats.
        json: Also write the table to this file.
    """
    repeats = 1 if quick else 5
    print(f"{title(repeats)}\n\n{HEADER}", flush=True)
    sizes = ["135M"] if quick else ["30M", "135M"]
    found = rows(sizes, repeats)
    if not quick:
        found += rows(sizes, repeats, recompute=False)
    for one in found:
        print(one)
    if json is not None:
        write(json, found)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
