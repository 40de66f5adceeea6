"""How fast an agent learns: `python -m benchmarks.train [--quick] [--json FILE]`.

Gradient steps over tiny-v1 with LoRA adapters, in float32 on one thread. The padded way is the same
algorithm, with the same heads on the same action tokens, over every window of the batch padded to the
longest one. TRL's `SFTTrainer` (where it is installed: `pip install trl`) gets the same model, adapter, games
and batch, without packing and with it; the faster one counts. Rates are tokens of the batch's games, padding
apart, a second that the process computed.
"""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from baselines.core.algorithm import Algorithm
from baselines.core.fit import fit
from baselines.core.layout import Chunk, Layout
from baselines.core.model import LM, load_base
from baselines.core.registry import find_algorithm
from baselines.core.tokens import Encoder, Tokens
from benchmarks.table import HEADER, Row, cpu_seconds, row, row_of, title, write
from lmrlgym import Dataset, Trajectory, Turn

MAZE_GAMES, QUESTION_GAMES = 16, 12
"""Games a gradient step."""
RANK = 16
_MOST_QUESTIONS, _MEAN, _DEVIATION = 20, 14.9, 4.38
"""Of the published games of Twenty Questions."""
_PADDED_ROWS = 64
"""Windows of the padded way that are read at once; all would not fit into a small machine."""


class PaddedLM(LM):
    """The padded way: every window is a row, as wide as the longest."""

    def _layout(self, ids: Tensor, mask: Tensor) -> Layout:
        known = self._layouts
        if known is None or known[0] is not ids or known[1] is not mask:
            known = self._layouts = (ids, mask, padded(ids, mask))
        return known[2]


def padded(ids: Tensor, mask: Tensor) -> Layout:
    """Every window of a batch, repeats and all, padded to the longest."""
    windows: list[tuple[int, int, int]] = []
    for row_number, numbers in enumerate(mask.numpy()):
        borders = [0, *(np.flatnonzero(np.diff(numbers)) + 1).tolist(), len(numbers)]
        windows += [(row_number, begin, end) for begin, end in pairwise(borders) if numbers[begin]]
    width = max(end - begin for _, begin, end in windows)
    rows = torch.zeros(len(windows), width, dtype=torch.int64)
    index = torch.zeros_like(ids)
    for number, (row_number, begin, end) in enumerate(windows):
        rows[number, : end - begin] = ids[row_number, begin:end]
        index[row_number, begin:end] = number * width + torch.arange(end - begin)
    positions = torch.arange(width).expand(len(windows), -1)
    cuts = range(0, len(windows), _PADDED_ROWS)
    chunks = (Chunk(rows[i : i + _PADDED_ROWS], positions[i : i + _PADDED_ROWS], None) for i in cuts)
    return Layout(tuple(chunks), index)


def question_games(count: int) -> list[Trajectory]:
    """Games as long as the published ones of Twenty Questions: lengths are drawn, words are letters.

    Random letters share no beginnings, so that nothing but lengths is measured.
    """
    rng = np.random.default_rng(0)
    games = []
    for number in range(count):
        asked = int(np.clip(round(rng.normal(_MEAN, _DEVIATION)), 1, _MOST_QUESTIONS))
        turns = [Turn("Questions:\n", False)]
        for _ in range(asked):
            length = int(rng.integers(16, 40))
            question = "".join(chr(97 + letter) for letter in rng.integers(26, size=length))
            turns += [
                Turn(f"{question}?\n", True, -1.0),
                Turn(("Yes.\n", "No.\n")[int(rng.integers(2))], False),
            ]
        games.append(Trajectory("benchmarks/Questions-v0", {}, tuple(turns), True, False, number, {}, {}))
    return games


def agent(name: str, kind: type[LM], batch_size: int, steps: int, context: int | None) -> Algorithm:
    """An agent over tiny-v1 that takes `steps` gradient steps a measurement."""
    algorithm = find_algorithm(name)
    config = algorithm.Config(rank=RANK, rounds=1, steps=steps, batch_size=batch_size, learning_rate=1e-4)
    made = algorithm(kind(load_base()), config, context)
    made.started()
    return made


class Steps:
    """Tokens a second of gradient steps on the same games."""

    def __init__(
        self, made: Algorithm, games: Sequence[Trajectory], clock: Callable[[], float] = cpu_seconds
    ) -> None:
        self.made, self.games, self.clock = made, list(games), clock
        encoder = Encoder(made.lm.tokenizer, made.encoder.context)
        self.tokens = sum(len(encoder.trajectory(game).ids) for game in games)

    def __call__(self) -> float:
        """Every game is in every step; the time of preparing does not count."""
        ends: list[float] = []
        begin = 0.0
        prepare = self.made.prepare

        def prepared(trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
            nonlocal begin
            tokens = prepare(trajectories)
            begin = self.clock()
            return tokens

        self.made.prepare = prepared  # type: ignore[method-assign]
        try:
            fit(
                self.made,
                lambda number: self.games,
                self.made.config,
                lambda n, m: ends.append(self.clock()),
            )
        finally:
            self.made.prepare = prepare  # type: ignore[method-assign]
        return self.tokens * len(ends) / (ends[-1] - begin)


def padded_row(
    name: str, algorithm: str, games: Sequence[Trajectory], context: int | None, repeats: int
) -> Row:
    """An algorithm's steps against its padded way."""
    ours, theirs = (Steps(agent(algorithm, kind, len(games), 1, context), games) for kind in (LM, PaddedLM))
    return row(name, "tokens/s", ours, theirs, repeats)


class Trl:
    """Tokens a second of the steps of TRL's `SFTTrainer`; the optimiser and the loop are its own."""

    def __init__(self, games: Sequence[Trajectory], *, packing: bool) -> None:
        self.packing = packing
        base = load_base()
        encoder = Encoder(base.tokenizer, None)
        self.games = [encoder.trajectory(game) for game in games]

    def __call__(self) -> float:
        """One measurement: a new trainer, of whose three steps the first does not count."""
        from datasets import Dataset as Table
        from peft import LoraConfig
        from transformers import TrainerCallback
        from trl import SFTConfig, SFTTrainer

        base = load_base()
        base.model.train()
        base.tokenizer.pad_token = base.tokenizer.convert_ids_to_tokens(0)
        base.tokenizer.eos_token = base.tokenizer.pad_token
        table = Table.from_dict(
            {
                "input_ids": [game.ids.tolist() for game in self.games] * 3,
                "labels": [torch.where(game.is_action, game.ids, -100).tolist() for game in self.games] * 3,
            }
        )
        times: list[float] = []
        seen: list[int] = []

        class Clock(TrainerCallback):  # type: ignore[misc]
            def on_step_begin(self, *args: Any, **kwargs: Any) -> None:
                times.append(cpu_seconds())

            def on_step_end(self, *args: Any, **kwargs: Any) -> None:
                times.append(cpu_seconds())

        longest = max(len(game.ids) for game in self.games)
        with tempfile.TemporaryDirectory() as folder:
            trainer = SFTTrainer(
                model=base.model,
                args=SFTConfig(
                    output_dir=folder, max_steps=3, report_to=[], save_strategy="no", use_cpu=True,
                    per_device_train_batch_size=len(self.games) if not self.packing else len(self.games) // 2,
                    packing=self.packing, max_length=longest if not self.packing else 2 * longest, bf16=False,
                    gradient_checkpointing=False, disable_tqdm=True, dataloader_num_workers=0,
                    logging_strategy="no", dataset_kwargs={"skip_prepare_dataset": not self.packing},
                ),
                train_dataset=table, processing_class=base.tokenizer, callbacks=[Clock()],
                peft_config=LoraConfig(r=RANK, lora_alpha=2 * RANK, target_modules="all-linear"),
            )  # fmt: skip
            compute = trainer.compute_loss

            def counted(model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
                mask = inputs.get("attention_mask")
                seen.append(int(inputs["input_ids"].numel() if mask is None else mask.sum()))
                return compute(model, inputs, *args, **kwargs)

            trainer.compute_loss = counted
            trainer.train()
        return sum(seen[1:]) / (sum(times[3::2]) - sum(times[2::2]))


def trl_rows(games: Sequence[Trajectory], repeats: int) -> list[Row]:
    """BC against TRL, whichever way is the faster one; nothing where TRL is not installed."""
    if importlib.util.find_spec("trl") is None:
        print("train/vs_trl_sft is not measured: pip install trl")
        return []
    os.environ["HF_HUB_OFFLINE"] = "1"
    ours = Steps(agent("bc", LM, len(games), 2, None), games)
    plain = row("train/vs_trl_sft/plain", "tokens/s", ours, Trl(games, packing=False), repeats)
    packed = row("train/vs_trl_sft/packing", "tokens/s", ours, Trl(games, packing=True), repeats)
    better = min(plain, packed, key=lambda one: one.ratio)
    return [plain, packed, better._replace(name="train/vs_trl_sft")]


def operations_a_token(made: Algorithm) -> int:
    """Floating-point operations of learning: 6 a parameter, less 2 for gradients of frozen weights."""
    return 4 * sum(p.numel() for name, p in made.lm.model.named_parameters() if "embed" not in name)


def peak_row(games: Sequence[Trajectory], repeats: int) -> Row:
    """Floating-point operations a second of a BC step against those of a large matrix product."""
    steps = Steps(agent("bc", LM, len(games), 1, None), games)
    one, other = torch.randn(1024, 1024), torch.randn(1024, 1024)

    def product() -> float:
        begin = cpu_seconds()
        for _ in range(5):
            one @ other
        return 5 * 2 * 1024**3 / (cpu_seconds() - begin) / 1e9

    steps(), product()
    pairs = [(operations_a_token(steps.made) * steps() / 1e9, product()) for _ in range(repeats)]
    return row_of("train/share_of_matmul_peak", "GFLOP/s", pairs)


def main(quick: bool = False, json: Path | None = None) -> None:
    """Print the speed table of learning.

    Args:
        quick: Only the promised rows.
        json: Also write the table to this file.
    """
    torch.set_num_threads(1)
    repeats = 5
    print(f"{title(repeats)}\n\n{HEADER}", flush=True)
    maze = Dataset.load("maze/mixed-v0")[:MAZE_GAMES]
    questions = question_games(QUESTION_GAMES)
    rows = [
        padded_row("train/vs_padded/maze", "bc", maze, 1, repeats),
        padded_row("train/vs_padded/twenty_questions", "bc", questions, None, repeats),
    ]
    for one in rows:
        print(one, flush=True)
    found = trl_rows(questions, repeats)
    if not quick:
        for name in ("ilql", "ppo"):
            found.append(padded_row(f"train/vs_padded/maze/{name}", name, maze, 1, repeats))
            found.append(
                padded_row(f"train/vs_padded/twenty_questions/{name}", name, questions, None, repeats)
            )
        found.append(peak_row(questions, repeats))
    for one in found:
        print(one)
    if json is not None:
        write(json, [*rows, *found])


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
