"""Texts of the 2023 release of Twenty Questions: the guesser's questions, the oracle's prompt, the files."""

from __future__ import annotations

from collections.abc import Sequence

from lmrlgym.types import Turn

QUESTIONS = 20
INVALID_QUESTION = "Is this a valid question?\n"
"""What a question that cannot be asked becomes in the strict form."""
_FIRST_WORDS = ("Is", "Does", "Can", "Do", "Are", "Could")
_MOST_WORDS = 40


def asked_simply(question: str) -> str:
    """A guesser's text with one question mark and one newline at its end."""
    question = question.strip()
    return (question if question.endswith("?") else f"{question}?") + "\n"


def asked_strictly(question: str) -> str:
    """`asked_simply`, capitalised; `INVALID_QUESTION` for what is no yes/no question of 40 words or less."""
    asked = asked_openly(question)
    return asked if asked.split()[0] in _FIRST_WORDS else INVALID_QUESTION


def asked_openly(question: str) -> str:
    """`asked_strictly` whatever the first word is: what the guesser of Guess My City says."""
    question = question.strip()
    if not question:
        return INVALID_QUESTION
    question = question if question.endswith("?") else f"{question}?"
    question = question[0].upper() + question[1:]
    words = question.split()
    ends_early = question[-2:-1] == "." and words[-1] != "etc.?"
    return INVALID_QUESTION if len(words) > _MOST_WORDS or ends_early else f"{question}\n"


def oracle_prompt(variants: Sequence[str], question: str) -> str:
    """What the released FLAN-T5 oracle is asked."""
    return (
        "Answer the question about the object truthfully.\n"
        f"object: ({', '.join(variants)})\nquestion: {question.strip()}\nanswer (yes or no): "
    )


def lines_of(turns: Sequence[Turn]) -> list[str]:
    """A game as the released files write it: every question and its answer in one line."""
    said = [turn.text.strip() for turn in turns[1:]]
    return [f"{question} {answer}" for question, answer in zip(said[::2], said[1::2], strict=False)]


def return_token(return_to_go: float) -> str:
    """The decision transformer's token of a return, rounded and cut to -20 ... 0."""
    return f"<|rtg={min(0, max(-QUESTIONS, round(return_to_go)))}|>"


def token_return(token: str) -> float:
    """The return that a token stands for, cut to -20 ... 0."""
    return float(min(0, max(-QUESTIONS, int(token.removeprefix("<|rtg=").removesuffix("|>")))))


def with_return_tokens(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The turns with the return still to come in front of each text that the agent hears."""
    left = float(sum(turn.reward for turn in turns))
    told = []
    for turn in turns:
        left -= turn.reward
        told.append(turn if turn.is_action else turn._replace(text=return_token(left) + turn.text))
    return tuple(told)
