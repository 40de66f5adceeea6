"""Games as chat messages."""

from __future__ import annotations

from lmrlgym import Turn, to_messages

ASKED, SAID, HEARD = Turn("Guess.\n", False), Turn("4\n", True), Turn("Lower.\n", False)


def test_turns_become_messages_of_user_and_assistant():
    assert to_messages((ASKED, SAID, HEARD), "Rules.") == [
        {"role": "system", "content": "Rules."},
        {"role": "user", "content": "Guess.\n"},
        {"role": "assistant", "content": "4\n"},
        {"role": "user", "content": "Lower.\n"},
    ]


def test_without_instructions_there_is_no_system_message():
    assert [message["role"] for message in to_messages((ASKED, SAID))] == ["user", "assistant"]


def test_neighbours_of_one_role_are_one_message():
    assert to_messages((ASKED, HEARD, SAID, SAID)) == [
        {"role": "user", "content": "Guess.\nLower.\n"},
        {"role": "assistant", "content": "4\n4\n"},
    ]


def test_nothing_said_is_no_message():
    assert to_messages(()) == []
    assert to_messages((), "Rules.") == [{"role": "system", "content": "Rules."}]


def test_a_cut_history_may_begin_with_the_agent():
    assert [message["role"] for message in to_messages((SAID, HEARD))] == ["assistant", "user"]
