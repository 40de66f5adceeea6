"""The algorithm cases: what the released losses, returns, advantages and scores make of numbers.

The original keeps arrays of T - 1 entries, entry i the token i + 1 and the state before it; `said_in` reads
them at the action tokens, in the order of `action_tokens`. Cases of a chain of transitions are one
game of windows to us, and where a case follows the last transition by a copy of itself, ours ends there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from baselines.core.algorithm import Said, said
from baselines.core.model import States
from baselines.core.tokens import (
    ActionTokens,
    Encoder,
    Tokens,
    action_tokens,
    advantages,
    final_states,
    pieces,
    returns_to_go,
    stack,
)
from baselines.filtered_bc import best_games
from baselines.ilql import ilql_losses
from baselines.mc_returns import mc_loss, with_returns
from baselines.ppo import INITIAL, PPO, PPOTokens, adapted_kl_weight, ppo_losses, whitened
from lmrlgym import Trajectory, Turn
from lmrlgym.references import PaperScale
from tests.conformance.core import encoder, runs

Case = dict[str, Any]
TOLERANCE = 1e-4


def close(found: Any, expected: Any) -> None:
    np.testing.assert_allclose(np.asarray(found), np.asarray(expected), atol=TOLERANCE, rtol=TOLERANCE)


# ---- chains of transitions as games ----


def chained(case: Case) -> Tokens:
    """The game that a chain tells, in the windows of an agent that sees one turn (or all of a dialogue)."""
    chain = case["inputs"]["chain"]
    links = chain[:-1] if is_repeated(case) else chain
    told = [
        Turn(text["text"], text["is_action"], reward)
        for link in links
        for text, reward in zip(link["history"], link["reward"], strict=True)
    ]
    is_cut = not links[-1]["done"]
    game = Trajectory("lmrlgym/Maze-v0", {}, tuple(told), not is_cut, is_cut)
    return Encoder(tokenizer_of(case), None if len(chain) == 1 else 1).trajectory(game)


def tokenizer_of(case: Case) -> Any:
    """A table of the texts whose ids the case tells; every other one has an id of its own."""
    expected, (first, *rest) = case["outputs"], case["inputs"]["chain"]
    ids = runs(expected["input_ids"], [False, *expected["should_take_action"]])
    table = {text["text"]: each for text, each in zip(first["history"], ids, strict=True)}
    following = expected.get("next_token_ids")
    if following:
        table[rest[0]["history"][0]["text"]] = following
    spelt = [text["text"] for link in rest for text in link["history"]]
    for number, text in enumerate(dict.fromkeys(spelt)):
        # as many tokens as the first action: discounts count them
        table.setdefault(text, [90_000 + number] * len(ids[-1]))
    return encoder(list(table), list(table.values())).tokenizer


def first_window(tokens: Tokens, column: Tensor) -> list[Any]:
    """(t - 1,) of a column: the first window as the original keeps it."""
    found: list[Any] = column[tokens.mask == 1][1:].tolist()
    return found


def is_repeated(case: Case) -> bool:
    """Whether the last transition is followed by a copy of itself, as the maze and chess scripts have it."""
    chain = case["inputs"]["chain"]
    return len(chain) > 1 and chain[-1] == chain[-2]


def returns_of_a_chain(case: Case) -> None:
    tokens, expected = chained(case), case["outputs"]
    found = with_returns(tokens, case["inputs"]["gamma"])
    assert tokens.ids[tokens.mask == 1].tolist() == expected["input_ids"]
    assert first_window(tokens, tokens.is_action) == expected["should_take_action"]
    close(first_window(tokens, found.return_to_go), expected["returns"])


def transition(case: Case) -> None:
    """An item of ILQL: its tokens and rewards, and the state that is bootstrapped from, if any."""
    item, expected = pieces(chained(case), 1)[0], case["outputs"]
    own = item.mask == 1
    assert item.ids[own].tolist() == expected["input_ids"]
    assert first_window(item, item.is_action) == expected["should_take_action"]
    close(first_window(item, item.reward), expected["rewards"])
    following = item.ids[~own].tolist()
    if is_repeated(case):
        # the original bootstraps from the copy of the transition that ended the game; ours does not
        assert expected["next_token_ids"]
        assert not expected["next_done"]
        assert following == []
        assert bool(item.terminated)
    else:
        assert following == (expected["next_token_ids"] or [])
        assert bool(item.terminated) == (expected["done"] or bool(expected["next_done"]))


# ---- losses ----


def batch_of(case: Case) -> Tokens:
    """The case's arrays as a batch; position 0 is the token that the original has no entry for."""
    inputs = case["inputs"]
    ids = torch.tensor(inputs.get("token_ids", inputs["should_take_action"])).long()
    is_said = torch.tensor(inputs["should_take_action"]) & (torch.tensor(inputs["attention_mask"]) > 0)
    reward = torch.tensor(inputs.get("rewards", np.zeros(ids.shape).tolist()))
    front = torch.zeros(len(ids), 1)
    return Tokens(
        torch.cat([front.long(), ids], dim=1),
        torch.ones(len(ids), ids.shape[1] + 1, dtype=torch.int64),
        torch.cat([front.bool(), is_said], dim=1),
        torch.cat([front, reward], dim=1),
        torch.ones(len(ids), dtype=torch.bool),
    )


def said_in(case: Case, actions: ActionTokens, *names: str) -> list[Tensor]:
    """(N,) or (N, V) entries of the case's arrays at the action tokens."""
    return [torch.tensor(case["inputs"][name])[actions.row, actions.at] for name in names]


def q_of(case: Case, s: ActionTokens, name: str) -> Said:
    """Q from its outputs; the case also gives it at the tokens said."""
    value, logits = said_in(case, s, name, f"{name}_logits")
    found = said(logits, torch.arange(len(logits)), s.action)
    close(found.value, value)
    return found


def ilql(case: Case) -> None:
    inputs, expected = case["inputs"], case["outputs"]
    s = action_tokens(batch_of(case))
    v, target1, target2 = said_in(case, s, "v", "target_q1", "target_q2")
    backup = s.reward + inputs["gamma"] * s.next(v, torch.tensor(inputs["v_final"]))
    q1, q2 = (q_of(case, s, name) for name in ("q1", "q2"))
    found = ilql_losses(q1, q2, v, torch.minimum(target1, target2), backup, inputs["tau"])
    names = ("q1_loss", "q2_loss", "v_loss", "q1_cql_loss", "q2_cql_loss")
    close(list(found), [expected[name] for name in names])
    close(found.total(inputs["cql_weight"]), expected["total_loss"])


def monte_carlo(case: Case) -> None:
    s = action_tokens(batch_of(case))
    (returns,) = said_in(case, s, "returns")
    found = mc_loss(q_of(case, s, "q"), returns, case["inputs"]["cql_weight"])
    close(found, [case["outputs"][name] for name in ("total_loss", "q_loss", "q_cql_loss")])


def ppo(case: Case) -> None:
    inputs, expected = case["inputs"], case["outputs"]
    s = action_tokens(batch_of(case))
    log_prob, value = said_in(case, s, "logprobs", "values")
    old_log_prob, *old = said_in(case, s, "old_logprobs", "old_values", "old_advantages", "old_returns")
    found = ppo_losses(
        log_prob,
        value,
        (old_log_prob, old[0], old[1], old[2]),
        inputs["cliprange"],
        inputs["cliprange_value"],
    )
    close(list(found), [expected["policy_loss"], expected["value_loss"]])
    close(found.policy + inputs["value_loss_coef"] * found.value, expected["total_loss"])


# ---- returns and advantages ----


def return_to_go(case: Case) -> None:
    reward = torch.tensor(case["inputs"]["rewards"])
    last = torch.arange(len(reward)) == len(reward) - 1
    close(returns_to_go(reward, last, case["inputs"]["gamma"]), case["outputs"])


def advantages_and_returns(case: Case) -> None:
    inputs, expected = case["inputs"], case["outputs"]
    names = ("action_rewards", "state_values", "next_state_values")
    reward, value, following = (torch.tensor(inputs[name]).flatten() for name in names)
    last = torch.arange(len(reward)) == len(reward) - 1
    found = advantages(reward, value, following, last, inputs["gamma"], inputs["lam"])
    close(found + value, expected["returns"][0])
    close(whitened(found) if inputs["use_whitening"] else found, expected["advantages"][0])


def whitening(case: Case) -> None:
    assert case["inputs"]["shift_mean"]
    close(whitened(torch.tensor(case["inputs"]["xs"])), case["outputs"])


def states_and_actions(case: Case) -> None:
    """Positions of actions, states and next states in the arrays of T - 1 entries."""
    is_said = [bool(x) for x in case["inputs"]["should_take_action"]]
    length = len(is_said) + 1
    batch = Tokens(
        torch.zeros(1, length, dtype=torch.int64),
        torch.ones(1, length, dtype=torch.int64),
        torch.tensor([[False, *is_said]]),
        torch.zeros(1, length),
        torch.tensor([False]),
    )
    s, (_, end) = action_tokens(batch), final_states(batch)
    expected = case["outputs"]
    assert s.at.tolist() == expected["action"] == expected["state"]
    # the game stops where its last action leads only if nothing is said after it
    assert s.next(s.at, end).tolist() == expected["next_state"]


def kl_controller(case: Case) -> None:
    inputs = case["inputs"]
    found = adapted_kl_weight(
        inputs["init"], inputs["current"], inputs["target"], inputs["horizon"], inputs["n_steps"]
    )
    close(found, case["outputs"])


# ---- a round of PPO ----


class TableLM:
    """Hidden states are one-hot tokens (of pi_0: V further), so that the newest token alone counts."""

    device = torch.device("cpu")

    def __init__(self, case: Case, policies: tuple[str, str]) -> None:
        tables = [case["inputs"][f"{name}_logits_by_last_token"] for name in policies]
        self.logits = torch.tensor(tables).flatten(0, 1)  # (2 V, V)
        self.vocabulary = self.logits.shape[1]
        self.values = torch.tensor(case["inputs"]["values_by_token"] * 2)

    def states(self, ids: Tensor, mask: Tensor, adapter: str, row: Tensor, at: Tensor) -> States:
        of_adapter = ids[row, at] + len(self.values) // 2 * (adapter == INITIAL)
        return States(one_hot(of_adapter, len(self.values)).float(), torch.arange(len(row)))

    def read(self, hidden: Tensor) -> Tensor:
        return hidden @ self.logits


class TablePPO(PPO):
    """PPO whose model and value head are the case's tables."""

    def __init__(self, case: Case, policies: tuple[str, str] = ("policy", "initial")) -> None:
        torch.nn.Module.__init__(self)
        inputs = case["inputs"]
        self.lm = cast("Any", TableLM(case, policies))
        self.config = self.Config(gamma=inputs["gamma"], lam=inputs["lam"], kl_weight=inputs["kl_weight"])
        self.v = cast("Any", lambda hidden: (hidden @ self.lm.values)[:, None])
        self.kl_weight = torch.tensor(inputs["kl_weight"], dtype=torch.float64)
        self.rounds_seen = torch.tensor(1)  # V is the case's table, not to be set in a first round
        self.encoder = encoder([], [])


def ppo_round(case: Case) -> None:
    """What a round's first look finds; advantages are whitened by us and not in the case."""
    assert not case["inputs"]["use_advantage_whitening"]
    made, expected = TablePPO(case), case["outputs"]
    games = [
        Trajectory("a/game-v0", {}, tuple(told(link)), link["done"], not link["done"])
        for (link,) in case["inputs"]["chains"]
    ]
    found = cast("Sequence[PPOTokens]", made.prepare(games))
    columns = {"log_prob": "old_logprobs", "value": "old_values", "return_to_go": "old_returns"}
    wanted_advantages = []
    for item, wanted in zip(found, expected["data"], strict=True):
        is_said = item.is_action[1:]
        assert item.ids.tolist() == wanted["input_ids"]
        assert is_said.tolist() == wanted["should_take_action"]
        for ours, theirs in columns.items():
            close(getattr(item, ours)[1:][is_said], torch.tensor(wanted[theirs])[is_said])
        wanted_advantages.append(torch.tensor(wanted["old_advantages"])[is_said])
    whole = torch.cat([item.advantage[item.is_action] for item in found])
    close(whole, whitened(torch.cat(wanted_advantages)))
    # The original's estimate has its ratio the wrong way round: it is ours of the policies exchanged.
    close(kls(TablePPO(case, policies=("initial", "policy")), games), expected["kls"])


def told(link: Case) -> list[Turn]:
    """The turns of a token trajectory, whose ids were sampled."""
    columns = zip(link["tokens"], link["is_action"], link["reward"], strict=True)
    return [Turn("?", is_action, reward, tokens=tuple(ids)) for ids, is_action, reward in columns]


def kls(made: TablePPO, games: Sequence[Trajectory]) -> list[float]:
    """The KL that `prepare` steers by, a token at a time: the mean over one is that of the one."""
    found = []
    for game in games:
        tokens = made.encoder.trajectory(game)
        for position in tokens.is_action.nonzero().flatten().tolist():
            alone = torch.zeros_like(tokens.is_action)
            alone[position] = True
            one = Tokens(tokens.ids, tokens.mask, alone, tokens.reward, tokens.terminated)
            found.append(made._seen(stack([one]))[1])
    return found


# ---- choosing and scoring ----


def filtered(case: Case) -> None:
    """The same games where the fraction is whole and none tie: to the game, where a quantile interpolates."""
    scores, take_top = case["inputs"]["scores"], case["inputs"]["take_top"]
    games = [Trajectory("a/game-v0", {}, (Turn("go\n", True, s),), True, False) for s in scores]
    found = best_games(games, take_top / 100)
    assert sorted(game.total_reward for game in found) == case["outputs"]


def normalised(case: Case) -> None:
    inputs = case["inputs"]
    scale = PaperScale(inputs["min"], inputs["avg"], inputs["max"])
    raw = inputs["raw"] if isinstance(inputs["raw"], list) else [inputs["raw"]]
    expected = case["outputs"] if isinstance(case["outputs"], list) else [case["outputs"]]
    assert [scale.score(x) for x in raw] == pytest.approx(expected, abs=TOLERANCE)


def helper(
    numbers: Sequence[int], check: Callable[[Case], None]
) -> dict[str, tuple[str, Callable[[Case], None]]]:
    return {f"algo-{number:03}": ("helper", check) for number in numbers}


HANDLERS: dict[str, tuple[str, Callable[[Case], None]]] = {
    **helper((1,), return_to_go),
    **helper((6, 9, 10, 11), returns_of_a_chain),
    **helper((13, 14, 15, 17), transition),
    **helper((20,), ilql),
    **helper((24,), monte_carlo),
    **helper((27, 29), ppo),
    **helper((32, 33, 34), advantages_and_returns),
    **helper((35,), whitening),
    **helper((36, 38), states_and_actions),
    **helper((39, 40, 41), kl_controller),
    **helper((45,), ppo_round),
    **helper((51, 52, 53), filtered),
    **helper((55, 56, 57, 58, 60, 61, 62, 63, 66, 68), normalised),
}
"""Case -> (clean, compat or helper; what asserts it)."""

NOT_BUILT: dict[str, str] = {"algo-026": "conservative Q-learning is no algorithm of ours yet"}
"""Case -> why nothing asserts it."""
