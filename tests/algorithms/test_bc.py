"""Behaviour cloning: the mean surprise at what the agent said."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from baselines import bc
from baselines.core.algorithm import POLICY, Said, said
from baselines.core.model import LM, Base
from baselines.core.tokens import stack
from baselines.testing import example_games, prepared, small_config, started
from lmrlgym import Trajectory, Turn


def test_outputs_are_read_at_the_tokens_said_each_distinct_state_once() -> None:
    outputs = torch.tensor([[0.0, math.log(3.0)], [1.0, 1.0]])
    found = said(outputs, of=torch.tensor([1, 0, 0]), action=torch.tensor([0, 1, 0]))
    assert found.value.tolist() == pytest.approx([1.0, math.log(3.0), 0.0])
    # softmax of (0, log 3) is (1/4, 3/4)
    assert found.log_prob.exp().tolist() == pytest.approx([0.5, 0.75, 0.25])


def test_the_loss_is_the_mean_negative_log_likelihood() -> None:
    logits = Said(value=torch.tensor([1.0, 2.0]), log_normaliser=torch.tensor([1.5, 4.0]))
    # -(1 - 1.5) = .5 and -(2 - 4) = 2
    assert bc.bc_loss(logits).item() == pytest.approx(1.25)


def test_the_loss_of_games_is_that_of_the_agent_s_tokens_alone(base: Base) -> None:
    algorithm = started(bc.BC, base, small_config(bc.BC))
    terms = []
    for game in example_games():
        seen: list[int] = []
        for turn in game.turns:
            for token in algorithm.encoder.turn(turn):
                if turn.is_action:
                    ids = torch.tensor([seen])
                    state = algorithm.lm.hidden(ids, torch.ones_like(ids), POLICY)[0, -1]
                    terms.append(-algorithm.lm.read(state).log_softmax(dim=-1)[token].item())
                seen.append(token)
    loss, metrics = algorithm.loss(prepared(algorithm))
    assert loss.item() == pytest.approx(sum(terms) / len(terms), abs=1e-4)
    assert metrics == {"nll": loss.item()}


def test_an_untrained_adapter_is_the_base(base: Base) -> None:
    algorithm = bc.BC(LM(base), small_config(bc.BC), None)
    ids, mask = torch.tensor([[5, 9, 2]]), torch.ones(1, 3, dtype=torch.int64)
    bare = base.model(input_ids=ids).logits[:, -1]
    torch.testing.assert_close(algorithm.next_logits(ids, mask, {}), bare, atol=1e-4, rtol=1e-4)


def test_it_learns_from_the_sampled_ids_and_not_from_the_text(base: Base) -> None:
    algorithm = started(bc.BC, base, small_config(bc.BC))
    spelt, *_ = example_games()
    letters = tuple(t for letter in spelt.turns[1].text for t in base.tokenizer.encode(letter))
    turns = (spelt.turns[0], Turn(spelt.turns[1].text, True, 0.0, tokens=letters))
    sampled = Trajectory("a/game-v0", {}, turns, True, False)
    (found,) = algorithm.prepare([sampled])
    assert tuple(found.ids[found.is_action].tolist()) == letters
    assert letters != algorithm.encoder.turn(spelt.turns[1])


def test_games_of_several_windows_and_padding_count_every_token_once(base: Base) -> None:
    algorithm = started(bc.BC, base, small_config(bc.BC), context=1)
    games = algorithm.prepare(example_games())
    whole, _ = algorithm.loss(stack(games))
    each = [(algorithm.loss(stack([game]))[0].item(), int(game.is_action.sum())) for game in games]
    expected = sum(loss * count for loss, count in each) / sum(count for _, count in each)
    assert whole.item() == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("shown", "look_back", "seen"), [(None, 0, None), (None, 5, 5), (40, 5, 5), (40, 60, 40), (1, 0, 1)]
)
def test_an_agent_sees_no_more_than_it_is_shown(
    base: Base, shown: int | None, look_back: int, seen: int | None
) -> None:
    config = replace(small_config(bc.BC), look_back=look_back)
    assert bc.BC(LM(base), config, shown).encoder.context == seen


def test_an_agent_that_looks_back_at_one_turn_acts_and_learns_on_that_turn_alone(base: Base) -> None:
    algorithm = started(bc.BC, base, replace(small_config(bc.BC), look_back=1))
    turns = (Turn("a\n", False), Turn("b\n", True), Turn("c\n", False), Turn("d\n", True))
    newest = [list(algorithm.encoder.turn(turn)) for turn in turns]
    assert list(algorithm.encoder.prompt(turns[:3])) == newest[2]
    (game,) = algorithm.prepare([Trajectory("x", {}, turns, True, False, 0, {}, {})])
    # two windows: the first observation and its action, then the second
    assert game.ids.tolist() == [*newest[0], *newest[1], *newest[2], *newest[3]]
    assert game.mask.tolist() == [1] * len(newest[0] + newest[1]) + [2] * len(newest[2] + newest[3])


def test_nobody_looks_back_at_fewer_than_no_turns(base: Base) -> None:
    with pytest.raises(ValueError, match="look_back must be at least 0, got -1"):
        bc.BC(LM(base), replace(small_config(bc.BC), look_back=-1), None)


@pytest.mark.parametrize(
    ("option", "value"), [("seed", -1), ("rank", 0), ("steps", 0), ("temperature", -0.5)]
)
def test_an_option_below_its_least_is_refused_before_anything_is_trained(option: str, value: float) -> None:
    with pytest.raises(ValueError, match=rf"{option} must be at least \d, got {value}"):
        bc.BC.Config(**{option: value})
