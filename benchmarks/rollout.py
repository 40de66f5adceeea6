"""How fast a language agent talks: `python -m benchmarks.rollout [--quick] [--json FILE]`.

Games go on for 40 turns and everything said is seen, as in Twenty Questions. The agent is a BC agent with its
LoRA adapter over tiny-v1, in float32, at temperature 1. The plain way is `transformers`' `generate` of the
same model, adapter, batch and histories: the whole history is encoded again at every turn. Both stop at
the same tokens. Rates are agent tokens a second that the process computed, on one thread.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator

from baselines.bc import BC
from baselines.core.algorithm import POLICY, Algorithm
from baselines.core.generate import left_padded
from baselines.core.model import LM, load_base
from benchmarks.table import HEADER, Row, cpu_seconds, row_of, title, write
from lmrlgym import Action, History, Policy, Turn, rollout

BATCH, SMALL_BATCH = 64, 16
"""Games played at once: against the plain way, and where the cost of a turn is looked at."""
TURNS = 40
SAMPLED_TURNS = (10, 16, 22, 28, 34, 40)
"""Turns at which the plain way, which is slow, is measured; ours plays all of them."""
LONGEST = 12
"""Tokens an utterance may have."""
EARLY, LATE = (1, 2, 3), (19, 20, 21)
"""Turns around the second and the twentieth."""


class Plain:
    """A policy that encodes the whole history at every turn and calls `generate`."""

    def __init__(self, agent: Algorithm) -> None:
        self.agent = agent
        self.stops = sorted(agent.encoder.stops)

    @torch.no_grad()
    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[Action]:
        """One utterance a game; the streams are not used, `generate` draws from torch's own."""
        encoder, lm = self.agent.encoder, self.agent.lm
        ids, mask = left_padded([encoder.prompt(history) for history in histories], lm.device)
        use_adapter(lm)
        said = lm.model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=self.agent.config.max_new_tokens, eos_token_id=self.stops, pad_token_id=0,
        )  # fmt: skip
        return [encoder.said(self._cut(row), ()) for row in said[:, ids.shape[1] :].tolist()]

    def _cut(self, tokens: list[int]) -> tuple[int, ...]:
        ends = [i + 1 for i, token in enumerate(tokens) if token in self.agent.encoder.stops]
        return tuple(tokens[: ends[0]] if ends else tokens)


@torch.no_grad()
def use_adapter(lm: LM) -> None:
    """Let the whole model, not only `lm`, compute with the policy's adapter."""
    one = torch.zeros(1, 1, dtype=torch.int64, device=lm.device)
    lm.hidden(one, one + 1, POLICY)


def agent(base: str = "tiny-v1", device: str = "cpu", dtype: torch.dtype = torch.float32) -> Algorithm:
    """A BC agent whose adapter changes what is said a little."""
    made = BC(LM(load_base(base, device, dtype)), BC.Config(max_new_tokens=LONGEST), None)
    with torch.no_grad():
        for name, weight in made.lm.adapter(POLICY).items():
            if "lora_B" in name:
                weight.normal_(std=0.01, generator=torch.Generator(weight.device).manual_seed(0))
    return made


class TurnCost(NamedTuple):
    """What one turn of all games cost."""

    seconds: float
    tokens: int


def talk(
    policy: Policy,
    batch: int,
    turns: int,
    beside: Callable[[int, Sequence[History]], None] = lambda turn, histories: None,
) -> list[TurnCost]:
    """Play `batch` games of `turns` turns; `beside` sees every turn's histories before the policy does."""
    histories: list[History] = [(Turn("Questions:\n", False),)] * batch
    rngs = [np.random.default_rng(number) for number in range(batch)]
    costs = []
    for turn in range(1, turns + 1):
        beside(turn, histories)
        start = cpu_seconds()
        said = policy.act(histories, rngs)
        seconds = cpu_seconds() - start
        actions = [action if isinstance(action, Action) else Action(action) for action in said]
        costs.append(TurnCost(seconds, sum(len(action.tokens) for action in actions)))
        answers = [Turn(("Yes.\n", "No.\n")[int(rng.integers(2))], False) for rng in rngs]
        histories = [
            (*history, Turn(action.text, True, 0.0, action.tokens, action.log_probs), answer)
            for history, action, answer in zip(histories, actions, answers, strict=True)
        ]
    return costs


class Game(NamedTuple):
    """One whole measurement: our turns, and the plain way on the same histories at some of them."""

    ours: list[TurnCost]
    plain: dict[int, TurnCost]


def measured(made: Algorithm, batch: int, turns: int, sampled: Sequence[int]) -> Game:
    """Play once, the plain way beside."""
    plain = Plain(made)
    costs: dict[int, TurnCost] = {}

    def beside(turn: int, histories: Sequence[History]) -> None:
        if turn in sampled:
            start = cpu_seconds()
            said = plain.act(histories, [])
            seconds = cpu_seconds() - start
            costs[turn] = TurnCost(seconds, sum(len(action.tokens) for action in said))

    return Game(talk(made.policy(), batch, turns, beside), costs)


def rate(costs: Sequence[TurnCost]) -> float:
    """Tokens a second."""
    return sum(cost.tokens for cost in costs) / sum(cost.seconds for cost in costs)


def median_seconds(costs: Sequence[TurnCost], turns: Sequence[int]) -> float:
    """Seconds of a turn, the median of `turns` (the first is 1)."""
    return statistics.median(costs[turn - 1].seconds for turn in turns)


def table_rows(made: Algorithm, repeats: int) -> list[Row]:
    """The two rows that are promised. The first has a pair for each of `SAMPLED_TURNS`."""
    measured(made, SMALL_BATCH, 2, (1,))  # warm-up
    game = measured(made, BATCH, TURNS, SAMPLED_TURNS)
    rates = [(rate([game.ours[turn - 1]]), rate([game.plain[turn]])) for turn in SAMPLED_TURNS]
    costs = [talk(made.policy(), SMALL_BATCH, LATE[-1]) for _ in range(repeats)]
    turns = [(median_seconds(cost, LATE), median_seconds(cost, EARLY)) for cost in costs]
    return [
        row_of("rollout/vs_generate", "tokens/s", rates),
        row_of("rollout/turn20_over_turn2", "s", turns),
    ]


def batch_rows(made: Algorithm, repeats: int, batches: Sequence[int]) -> list[Row]:
    """Turns 10 to 20 by the number of games played at once."""
    rows = []
    for batch in batches:
        games = [measured(made, batch, 20, (10, 20)) for _ in range(repeats)]
        pairs = [(rate(game.ours[9:]), rate(list(game.plain.values()))) for game in games]
        rows.append(row_of(f"rollout/vs_generate/batch{batch}", "tokens/s", pairs))
    return rows


def turn_rows(made: Algorithm, repeats: int) -> list[Row]:
    """Seconds of a turn of `SMALL_BATCH` games, ours and the plain way's, as the history grows."""
    sampled = (1, 2, 5, 10, 20, 30, 40)
    games = [measured(made, SMALL_BATCH, TURNS, sampled) for _ in range(repeats)]
    rows = []
    for turn in sampled:
        pairs = [(game.ours[turn - 1].seconds, game.plain[turn].seconds) for game in games]
        rows.append(row_of(f"rollout/turn{turn}", "s", pairs))
    return rows


def game_rows(made: Algorithm, repeats: int) -> list[Row]:
    """Whole games a second, environment and all, by `rollout`."""
    rows = []
    for env_id, episodes in (("lmrlgym/Wordle-v0", 64), ("lmrlgym/Maze-v0", 32)):
        pairs = []
        for _ in range(repeats):
            rates = []
            for policy in (made.policy(), Plain(made)):
                start = cpu_seconds()
                rollout(env_id, policy, episodes, parallel=32)
                rates.append(episodes / (cpu_seconds() - start))
            pairs.append((rates[0], rates[1]))
        rows.append(row_of(f"rollout/{env_id.split('/')[1]}", "games/s", pairs))
    return rows


def main(quick: bool = False, json: Path | None = None, base: str = "tiny-v1") -> None:
    """Print the speed table of talking agents.

    Args:
        quick: Only the two promised rows.
        json: Also write the table to this file.
        base: The model: tiny-v1, smollm2-135m, a folder or a Hugging Face name.
    """
    torch.set_num_threads(1)
    repeats = 5
    print(f"{title(repeats)}\n\n{HEADER}", flush=True)
    made = agent(base)
    rows = table_rows(made, repeats)
    if not quick:
        rows += turn_rows(made, repeats)
        rows += batch_rows(made, repeats, (1, 8, 32, 256))
        rows += game_rows(made, repeats)
    for one in rows:
        print(one)
    if json is not None:
        write(json, rows)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
