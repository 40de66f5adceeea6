"""How fast a language agent talks: `python -m benchmarks.rollout [--quick] [--json FILE]`.

Games go on for 40 turns and everything said is seen, as in Twenty Questions. The agent is a BC agent with its
LoRA adapter over tiny-v1, in float32, at temperature 1. The plain way is `transformers`' `generate` of the
same model, adapter, batch and histories: the whole history is encoded again at every turn. Both stop at
the same tokens. Rates are agent tokens a second that the process computed, on one thread.
"""

from __future__ import annotations

import logging
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.random import Generator
from transformers import ContinuousBatchingConfig, GenerationConfig

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
SOONER_TURNS = (10, 13, 16, 19, 22)
"""The same as `SAMPLED_TURNS` for numbers of games with which the plain way would take minutes a turn."""
LATER = (10, 20, 30, 38)
"""Turns whose cost is shown against that of the first."""
_PAGE, _PAGES_A_GAME = 16, 64
"""Tokens of a page of `generate_batch`'s cache, and the pages of a game: more than 40 turns have."""


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
        model: Any = lm.model
        said = model.generate(
            input_ids=ids, attention_mask=mask, do_sample=True, temperature=1.0, top_k=0, top_p=1.0,
            max_new_tokens=self.agent.config.max_new_tokens, eos_token_id=self.stops, pad_token_id=0,
        )  # fmt: skip
        return [encoder.said(self._cut(row), ()) for row in said[:, ids.shape[1] :].tolist()]

    def said(self, histories: Sequence[History]) -> int:
        """How many tokens were said, an utterance a game."""
        return sum(len(action.tokens) for action in self.act(histories, []))

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


class Continuous:
    """`generate_batch`: transformers' continuous batching, which keeps the cached pages of what it has read.

    It has an agent to itself, since it changes how the model attends.
    """

    def __init__(self, agent: Algorithm, batch: int) -> None:
        self.agent = agent
        pages = batch * _PAGES_A_GAME
        self.cache = ContinuousBatchingConfig(
            num_blocks=pages, page_size=_PAGE, max_batch_tokens=4096, seed=0
        )
        config = agent.config
        self.sampling = GenerationConfig(
            do_sample=True, temperature=1.0, top_k=0, top_p=1.0, max_new_tokens=config.max_new_tokens,
            eos_token_id=sorted(agent.encoder.stops), pad_token_id=0,
        )  # fmt: skip
        logging.getLogger("ContinuousBatchingLogger").setLevel(logging.ERROR)
        use_adapter(agent.lm)

    @torch.no_grad()
    def said(self, histories: Sequence[History]) -> int:
        """How many tokens were said, an utterance a game. Raises `RuntimeError` if a game failed."""
        model: Any = self.agent.lm.model
        outputs = model.generate_batch(
            inputs=[list(self.agent.encoder.prompt(history)) for history in histories],
            generation_config=self.sampling, continuous_batching_config=self.cache,
            persistent_manager=True, warmup=False,
        )  # fmt: skip
        errors = {output.error for output in outputs.values() if output.error}
        if errors or len(outputs) != len(histories):
            raise RuntimeError(f"generate_batch answered {len(outputs)} of {len(histories)} games: {errors}")
        return sum(len(output.generated_tokens) for output in outputs.values())

    def close(self) -> None:
        """Let go of its cache."""
        model: Any = self.agent.lm.model
        model.destroy_cached_continuous_batching_manager()


class TurnCost(NamedTuple):
    """What one turn of all games cost."""

    seconds: float
    tokens: int
    longest: int = 1
    """Tokens of the longest utterance: so many times each game was computed"""


def talk(
    policy: Policy,
    batch: int,
    turns: int,
    beside: Callable[[int, Sequence[History]], None] = lambda turn, histories: None,
    clock: Callable[[], float] = cpu_seconds,
) -> list[TurnCost]:
    """Play `batch` games of `turns` turns; `beside` sees every turn's histories before the policy does."""
    histories: list[History] = [(Turn("Questions:\n", False),)] * batch
    rngs = [np.random.default_rng(number) for number in range(batch)]
    costs = []
    for turn in range(1, turns + 1):
        beside(turn, histories)
        start = clock()
        said = policy.act(histories, rngs)
        seconds = clock() - start
        actions = [action if isinstance(action, Action) else Action(action) for action in said]
        lengths = [len(action.tokens) for action in actions]
        costs.append(TurnCost(seconds, sum(lengths), max(lengths)))
        answers = [Turn(("Yes.\n", "No.\n")[int(rng.integers(2))], False) for rng in rngs]
        histories = [
            (*history, Turn(action.text, True, 0.0, action.tokens, action.log_probs), answer)
            for history, action, answer in zip(histories, actions, answers, strict=True)
        ]
    return costs


Said = Callable[[Sequence[History]], int]
"""Another way to say an utterance a game; gives the number of tokens."""


class Game(NamedTuple):
    """One whole measurement: our turns, and another way's on the same histories at some of them."""

    ours: list[TurnCost]
    other: dict[int, TurnCost]


def measured(made: Algorithm, other: Said, batch: int, turns: int, sampled: Sequence[int]) -> Game:
    """Play once, the other way beside."""
    costs: dict[int, TurnCost] = {}

    def beside(turn: int, histories: Sequence[History]) -> None:
        if turn in sampled:
            start = cpu_seconds()
            tokens = other(histories)
            costs[turn] = TurnCost(cpu_seconds() - start, tokens)

    return Game(talk(made.policy(), batch, turns, beside), costs)


def rate(costs: Sequence[TurnCost]) -> float:
    """Tokens a second."""
    return sum(cost.tokens for cost in costs) / sum(cost.seconds for cost in costs)


def median_seconds(costs: Sequence[TurnCost], turns: Sequence[int]) -> float:
    """Seconds of a turn, the median of `turns` (the first is 1)."""
    return statistics.median(costs[turn - 1].seconds for turn in turns)


def rates_row(name: str, game: Game) -> Row:
    """Tokens a second against the other way's; a pair a turn that it played."""
    pairs = [(rate([game.ours[turn - 1]]), rate([cost])) for turn, cost in game.other.items()]
    return row_of(name, "tokens/s", pairs)


def growth_rows(batch: int, costs: Sequence[TurnCost]) -> list[Row]:
    """Seconds a token of the longest utterance in later turns, against the median of the first five.

    A row has a pair for each of five neighbouring turns.
    """
    passes = [cost.seconds / cost.longest for cost in costs]
    early = statistics.median(passes[:5])
    return [
        row_of(
            f"rollout/growth/batch{batch}/turn{turn}",
            "s",
            [(each, early) for each in passes[turn - 3 : turn + 2]],
        )
        for turn in LATER
    ]


def table_rows(made: Algorithm, repeats: int) -> list[Row]:
    """The two rows that are promised. The first has a pair for each of `SAMPLED_TURNS`."""
    said = Plain(made).said
    measured(made, said, SMALL_BATCH, 2, (1,))  # warm-up
    game = measured(made, said, BATCH, TURNS, SAMPLED_TURNS)
    costs = [talk(made.policy(), SMALL_BATCH, LATE[-1]) for _ in range(repeats)]
    turns = [(median_seconds(cost, LATE), median_seconds(cost, EARLY)) for cost in costs]
    return [
        rates_row("rollout/vs_generate", game),
        row_of("rollout/turn20_over_turn2", "s", turns),
        *growth_rows(BATCH, game.ours),
    ]


def continuous_rows(made: Algorithm, base: str) -> list[Row]:
    """Against `generate_batch`, a pair for each of `SAMPLED_TURNS`."""
    other = Continuous(agent(base), SMALL_BATCH)
    other.said([(Turn("Questions:\n", False),)] * SMALL_BATCH)  # warm-up
    try:
        return [
            rates_row(
                "rollout/vs_generate_batch", measured(made, other.said, SMALL_BATCH, TURNS, SAMPLED_TURNS)
            )
        ]
    finally:
        other.close()


def batch_rows(made: Algorithm, batches: Sequence[int]) -> list[Row]:
    """By the number of games: turns 10 to 22 against `generate`, and later turns against the first."""
    rows = []
    for batch in batches:
        game = measured(made, Plain(made).said, batch, TURNS, SOONER_TURNS)
        rows += [rates_row(f"rollout/vs_generate/batch{batch}", game), *growth_rows(batch, game.ours)]
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
        quick: Only what the promised rows need.
        json: Also write the table to this file.
        base: The model: tiny-v1, smollm2-135m, a folder or a Hugging Face name.
    """
    torch.set_num_threads(1)
    repeats = 5
    print(f"{title(repeats)}\n\n{HEADER}", flush=True)
    made = agent(base)
    rows = table_rows(made, repeats)
    if not quick:
        rows += continuous_rows(made, base)
        rows += batch_rows(made, (1, 8, SMALL_BATCH, 256))
        rows += game_rows(made, repeats)
    for one in rows:
        print(one)
    if json is not None:
        write(json, rows)


if __name__ == "__main__":
    import tyro

    tyro.cli(main)
