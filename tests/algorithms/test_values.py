"""What critics say of games, and which tokens it belongs to."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from baselines import bc
from baselines.core.algorithm import Values
from baselines.core.model import Base
from baselines.core.registry import algorithm_names, find_algorithm
from baselines.core.tokens import Tokens
from baselines.core.values import token_values
from baselines.ilql import ILQL
from baselines.mc_returns import MCReturns
from baselines.ppo import PPO
from baselines.testing import example_games, prepared, small_config, started, update
from lmrlgym import Trajectory, Turn

TURNS = (
    Turn("?\n", False),
    Turn("ab", True, -1.0, tokens=(4, 5)),
    Turn("no\n", False),
    Turn("", True, -1.0),
    Turn("no\n", False),
    Turn("c", True, 2.0, tokens=(6,)),
)
GAME = Trajectory("a/game-v0", {}, TURNS, True, False)


class Counts(bc.BC):
    """Its Q is the id of the token said, its V the place of the token among those of the batch."""

    def values(self, batch: Tokens) -> Values:
        ids: Tensor = batch.ids[batch.is_action]
        return Values(ids.float(), torch.arange(len(ids)))


@pytest.mark.parametrize("context", [None, 1, 3])
def test_values_stand_at_the_tokens_they_are_of(base: Base, context: int | None) -> None:
    made = started(Counts, base, small_config(Counts), context)
    (first, second) = token_values(made, [GAME, GAME])
    assert [[(token.q, token.v) for token in turn] for turn in first] == [[(4, 0), (5, 1)], [], [(6, 2)]]
    assert [[token.v for token in turn] for turn in second] == [[3, 4], [], [5]]
    assert first[0][0].text == base.tokenizer.decode([4])


@pytest.mark.parametrize("name", algorithm_names())
def test_every_algorithm_says_one_number_a_token_or_nothing(base: Base, name: str) -> None:
    kind = find_algorithm(name)
    made = started(kind, base, small_config(kind))
    for game, turns in zip(example_games(), token_values(made, example_games()), strict=True):
        said = [made.encoder.turn(turn) for turn in game.turns if turn.is_action]
        assert [len(turn) for turn in turns] in ([], [len(turn) for turn in said])


@pytest.mark.parametrize("kind", [ILQL, MCReturns])
def test_a_q_through_the_output_embedding_learns_and_has_no_rows_of_its_own(
    base: Base, kind: type[ILQL] | type[MCReturns]
) -> None:
    made = started(kind, base, small_config(kind, tied_q=True, cql_weight=0.0))
    outputs = (made.lm.vocabulary, made.lm.width)
    assert any(
        tuple(weight.shape) == outputs
        for weight in started(kind, base, small_config(kind)).learned().values()
    )
    assert not any(tuple(weight.shape) == outputs for weight in made.learned().values())
    batch = prepared(made)
    embedding = made.lm.output_embedding.clone()
    before = made.loss(batch)[0].item()
    update(made, batch, 20)
    assert made.loss(batch)[0].item() < before
    assert torch.equal(made.lm.output_embedding, embedding)


@pytest.mark.parametrize(("kind", "q", "v"), [(ILQL, 3.0, 3.0), (MCReturns, 3.0, None)])
def test_untrained_heads_say_their_bias(
    base: Base, kind: type[ILQL] | type[MCReturns], q: float, v: float | None
) -> None:
    made = started(kind, base, small_config(kind, head_bias=3.0))
    (turns,) = token_values(made, [GAME])
    assert [(token.q, token.v) for turn in turns for token in turn] == [(q, v)] * 3


def test_the_v_of_ppo_is_the_one_its_loss_learns(base: Base) -> None:
    made = started(PPO, base, small_config(PPO))
    (game,) = made.prepare([GAME])
    (turns,) = token_values(made, [GAME])
    assert isinstance(game, Tokens)
    expected = game.value[game.is_action].tolist()  # type: ignore[attr-defined]
    assert [token.v for turn in turns for token in turn] == pytest.approx(expected)
    assert turns[0][0].q is None


def test_cloning_has_no_critic(base: Base) -> None:
    assert token_values(started(bc.BC, base, small_config(bc.BC)), [GAME]) == [[]]
