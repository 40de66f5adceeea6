"""A game as the messages of a chat model, and what of its answer is said."""

from __future__ import annotations

from lmrlgym.types import History


def to_messages(history: History, instructions: str = "") -> list[dict[str, str]]:
    """`history` as chat messages, each `{"role": ..., "content": ...}`.

    The role "system" holds the `instructions`, if there are any; "user" what the environment said,
    "assistant" what the agent said. Neighbours of one role become one message, because chat
    templates want user and assistant in turn. Texts keep their newlines.
    """
    messages = [{"role": "system", "content": instructions}] if instructions else []
    for turn in history:
        role = "assistant" if turn.is_action else "user"
        if messages and messages[-1]["role"] == role:
            messages[-1]["content"] += turn.text
        else:
            messages.append({"role": role, "content": turn.text})
    return messages


def first_line(text: str) -> str:
    """What a model said: its first line that is not blank, after any thinking, and one newline."""
    spoken = text.rpartition("</think>")[2].strip()
    return spoken.split("\n", 1)[0].strip() + "\n"
