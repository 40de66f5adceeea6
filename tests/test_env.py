"""Turn-taking: what is kept, what is refused, what a partner may do."""

from __future__ import annotations

import logging
from copy import deepcopy
from typing import Any

import numpy as np
import pytest
from gymnasium.error import ResetNeeded

from lmrlgym import Action, Turn, visible
from lmrlgym.env import replies
from tests.toys import AskNumber, Dice, FailsOn, GuessNumber

MOST = 16_384


def started(**kwargs: Any) -> GuessNumber:
    env = GuessNumber(**kwargs)
    env.reset(seed=0, options={"number": 2})
    return env


def recorded(action: str | Action) -> Turn:
    env = started()
    env.step(action)
    return env.history[1]


def test_history_holds_both_sides_and_the_reward_on_the_action():
    env = started()
    env.step("0\n")
    env.step("2\n")
    assert env.history == (
        Turn("Guess.\n", False),
        Turn("0\n", True, -1.0),
        Turn("Higher.\n", False),
        Turn("2\n", True, 1.0),
        Turn("Yes!\n", False),
    )


def test_asking_for_the_history_between_steps_changes_nothing():
    asked, unasked = started(), started()
    seen = []
    for action in ("0\n", "what", "2\n"):
        asked.step(action)
        unasked.step(action)
        seen.append(asked.history)
    assert [len(history) for history in seen] == [3, 5, 7]
    assert seen[-1] == unasked.history


def test_a_reset_forgets_turns_that_nobody_asked_for():
    env = started()
    env.step("0\n")
    env.reset()
    assert env.history == (Turn("Guess.\n", False),)


def test_an_action_ends_with_exactly_one_newline_in_the_history():
    said = ("1", "1\n", "1\n\n\n", "", "\n", "\n\n")
    assert [recorded(action).text for action in said] == ["1\n", "1\n", "1\n", "\n", "\n", "\n"]


def test_sampled_ids_stay_with_a_text_that_is_kept_as_sampled():
    assert recorded(Action("1\n", (7, 8), (-0.5, -0.25), -0.75)) == Turn(
        "1\n", True, -1.0, (7, 8), (-0.5, -0.25), -0.75
    )


def test_a_text_edited_after_sampling_loses_its_ids_but_not_the_utterance_probability():
    assert recorded(Action("1", (7,), (-0.5,), -0.5)) == Turn("1\n", True, -1.0, (), (), -0.5)


def test_the_longest_text_is_kept():
    line = "a" * (MOST - 1) + "\n"
    assert recorded(line).text == line


@pytest.mark.parametrize("tail", ["", "\n"])
def test_a_longer_text_is_cut_and_marked(tail: str):
    turn = recorded(Action("a" * MOST + tail, (1,)))
    # One newline is added to MOST - 1 characters, the last of which is the mark.
    assert turn.text == "a" * (MOST - 2) + "…\n"
    assert len(turn.text) == MOST
    assert turn.tokens == ()


@pytest.mark.parametrize("padding", [" " * MOST, "\n" * MOST, " " * (MOST - 3) + "\n" * 9])
def test_a_legal_action_padded_beyond_the_longest_is_nonsense(padding: str):
    env = started()
    assert env.step("2" + padding)[4]["action_is_valid"] is False


def test_lone_surrogates_are_replaced_and_lose_their_ids():
    assert recorded(Action("a\ud800b\n", (1, 2))) == Turn("a?b\n", True, -2.0)


def test_other_characters_are_kept():
    assert recorded(Action("żółć 🎲\n", (1,))) == Turn("żółć 🎲\n", True, -2.0, (1,))


def test_a_subclass_of_str_is_recorded_as_plain_text():
    assert type(recorded(np.str_("1\n")).text) is str


@pytest.mark.parametrize("action", [None, 1, b"1\n", ["1\n"], Action(None)])  # type: ignore[arg-type]
def test_an_action_that_is_no_text_is_a_value_error(action: Any):
    with pytest.raises(ValueError, match="an action is a str or an Action, got"):
        started().step(action)


def test_step_before_reset_and_after_the_end_is_refused():
    env = GuessNumber()
    with pytest.raises(ResetNeeded):
        env.step("1\n")
    env.reset(options={"number": 2})
    env.step("2\n")
    with pytest.raises(ResetNeeded):
        env.step("2\n")


def test_an_unknown_reset_option_is_named_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown reset option 'wrod'; this game knows: task, number"):
        GuessNumber().reset(options={"wrod": 1})


@pytest.mark.parametrize("task", [-1, 5, 0.0, "1", True, None])
def test_a_task_is_one_of_the_tasks_or_none(task: Any):
    env = GuessNumber()
    if task is None:
        env.reset(options={"task": None})
        assert 0 <= env.task < 5
    else:
        with pytest.raises(ValueError, match=f"from 0 to 4, got {task!r}"):
            env.reset(options={"task": task})


def test_numpy_numbers_are_seeds_and_tasks():
    env, twin = GuessNumber(), GuessNumber()
    env.reset(seed=np.int64(3))  # type: ignore[arg-type]
    twin.reset(seed=3)
    assert env.np_random.bit_generator.state == twin.np_random.bit_generator.state
    env.reset(options={"task": np.int64(4)})
    assert env.task == 4
    assert type(env.task) is int


def test_a_refused_reset_leaves_no_game_running():
    env = started()
    with pytest.raises(ValueError, match="task"):
        env.reset(seed=1, options={"task": 99})
    with pytest.raises(ResetNeeded):
        env.step("1\n")


def test_reset_without_a_seed_goes_on_with_the_stream():
    def tasks(env: GuessNumber) -> list[int]:
        env.reset(seed=11)
        drawn = [env.task]
        for _ in range(20):
            env.reset()
            drawn.append(env.task)
        return drawn

    rng = np.random.default_rng(11)
    assert tasks(GuessNumber()) == [int(rng.integers(5)) for _ in range(21)]


def test_render_gives_the_conversation_or_nothing():
    env = started(render_mode="ansi")
    env.step("0")
    assert env.render() == "Guess.\n0\nHigher.\n"
    assert started().render() is None


def test_an_unknown_render_mode_is_refused():
    with pytest.raises(ValueError, match="'human'"):
        GuessNumber(render_mode="human")


def test_only_a_privileged_caller_sees_the_task_and_the_secret():
    env = GuessNumber(privileged=True)
    told = [env.reset(seed=0, options={"task": 3})[1], env.step("0\n")[4]]
    assert [(info["task"], info["secret"]) for info in told] == [(3, 3), (3, 3)]
    assert not {"task", "secret"} & started().step("0\n")[4].keys()


def test_every_info_is_a_new_one():
    env = started()
    first, second = env.step("0\n")[4], env.step("0\n")[4]
    assert first is not second
    assert first["partner_usage"] is not second["partner_usage"]


@pytest.mark.parametrize(("context", "seen"), [(None, "abc"), (0, ""), (1, "c"), (2, "bc"), (9, "abc")])
def test_an_agent_sees_the_last_turns(context: int | None, seen: str):
    history = tuple(Turn(text, False) for text in "abc")
    assert "".join(turn.text for turn in visible(history, context)) == seen


def test_a_copy_goes_on_identically_and_alone():
    env = AskNumber(limit=9)
    env.reset(seed=4)
    env.step("a\n")
    copy = deepcopy(env)
    ahead = [copy.step("b\n") for _ in range(3)]
    assert len(env.history) == 3
    assert [env.step("b\n") for _ in range(3)] == ahead
    assert copy.history == env.history


def test_copies_share_the_partner():
    env = AskNumber()
    assert deepcopy(env).partner is env.partner


# ---- partners ----


def test_usage_adds_up_over_a_game_and_starts_anew():
    env = AskNumber()
    env.reset(seed=0)
    env.step("a\n")
    # Dice counts 3 prompt and 2 completion tokens a reply.
    assert env.step("b\n")[4]["partner_usage"] == {"calls": 2, "prompt_tokens": 6, "completion_tokens": 4}
    assert env.reset()[1]["partner_usage"] == {"calls": 0, "prompt_tokens": 0, "completion_tokens": 0}


def test_a_partner_is_not_asked_where_the_rules_answer():
    dice = Dice()
    env = AskNumber(partner=dice)
    env.reset(seed=0)
    assert env.step(" \n")[4]["action_is_valid"] is False
    assert dice.calls == []


@pytest.mark.parametrize("how", ["raises", "says too little", "says nothing", "gives up"])
def test_a_failing_partner_ends_its_game_as_truncated(how: str, caplog: pytest.LogCaptureFixture):
    env = AskNumber(partner=FailsOn(2, how))
    env.reset(seed=0, options={"task": 2})
    with caplog.at_level(logging.WARNING):
        observation, reward, terminated, truncated, info = env.step("a\n")
    assert (observation, reward, terminated, truncated) == ("\n", 0.0, False, True)
    assert info["stop_reason"] == "partner_error"
    assert "the partner failed" in caplog.text
    with pytest.raises(ResetNeeded):
        env.step("b\n")


@pytest.mark.parametrize("how", ["raises", "says too little", "says nothing", "gives up"])
def test_a_failing_partner_does_not_disturb_the_games_beside(how: str):
    def queries() -> list[Any]:
        envs = [AskNumber() for _ in range(3)]
        for task, env in enumerate(envs):
            env.reset(seed=task, options={"task": task})
        return [env._ask("a\n") for env in envs]

    alone = [replies(Dice(), [query])[0] for query in queries()]
    beside = replies(FailsOn(1, how), queries())
    # The retry must not draw a second time: the neighbours' words would be others.
    assert [beside[0], beside[2]] == [alone[0], alone[2]]
    assert beside[1].error
