"""Reads the data files that were released with arXiv 2311.18232 in 2023, in all their schemata.

Every file is JSON lines or one JSON array, gzipped or not. Texts get our convention, one newline at
the end and none inside an action; rewards go to the action that earned them. What the files do not tell is
not invented: games have no seed, and most end with the last action, without the answer to it.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from lmrlgym.types import Trajectory, Turn

Record = Any
"""One game as its line of the file has it."""


def load_2023(path: str | Path, env_id: str, **env_kwargs: Any) -> tuple[Trajectory, ...]:
    """The games of a released file for the environment `env_id`, e.g. "lmrlgym/Wordle-v0".

    `Dataset(load_2023(...))` makes them a dataset like any other.
    `env_kwargs` say what the games were played with (Wordle: `vocabulary`; car dealer: `reward`,
    "margin" unless given). Raises `FileNotFoundError` if there is no file, and `ValueError` naming
    the file, the record and what is wrong with it.
    """
    if env_id not in SCHEMATA:
        raise ValueError(f"env_id must be one of {', '.join(SCHEMATA)}, got {env_id!r}")
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    trajectories = []
    for number, record in enumerate(_records(path), start=1):
        try:
            trajectories.append(trajectory_2023(record, env_id, **env_kwargs))
        except _MALFORMED as error:
            raise ValueError(
                f"{path}: record {number} is not of {env_id}: {type(error).__name__} {error}"
            ) from error
    return tuple(trajectories)


def trajectory_2023(record: Record, env_id: str, **env_kwargs: Any) -> Trajectory:
    """One record of a released file as a game of `env_id`; raises as its fields are missing or odd."""
    turns, done, success = SCHEMATA[env_id](record, env_kwargs)
    return Trajectory(env_id, env_kwargs, tuple(turns), done, not done, info={"success": success})


_MALFORMED = (KeyError, TypeError, ValueError, IndexError, AttributeError)

Read = tuple[list[Turn], bool, bool]
"""The turns, whether the game came to its own end, whether it was won."""


def steps_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Fully observed maze: a list of {"state", "action", "reward", "done"}, one a move."""
    turns: list[Turn] = []
    for step in record:
        turns += [_said(step["state"]), _said(step["action"], float(step["reward"]))]
    done = bool(record[-1]["done"])
    return turns, done, done and turns[-1].reward == 0


def chess_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Chess: the steps of a game, or {"from_state", "action"} alone; spaced or not, newline or not."""
    steps = [record] if isinstance(record, dict) else record
    turns: list[Turn] = []
    for step in steps:
        state = step["from_state"] if "from_state" in step else step["state"]
        turns.append(Turn(f"{_spaced(_unspaced(state))}\n", False))
        move = step["action"].replace(" ", "").strip()
        turns.append(Turn(f"{_spaced(move)}\n", True, float(step.get("reward", 0.0))))
    return turns, bool(steps[-1].get("done", False)), any(turn.reward == 1 for turn in turns)


def walls_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Partial maze: {"text_history", "rewards", "dones"}, one entry a text; a game is won for 0."""
    return _history_to_turns(record, won_for=0)


def rooms_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Text-nav: {"text_history", "rewards", "dones"}, one reward and done an action; won for 1."""
    return _history_to_turns(record, won_for=1)


def _history_to_turns(record: Record, won_for: float) -> Read:
    """Every second text is an action. Which of the two countings a record has is seen from its length."""
    texts, rewards, dones = record["text_history"], record["rewards"], record["dones"]
    actions = len(texts) // 2
    if len(rewards) != len(dones) or len(rewards) not in (len(texts), actions):
        raise ValueError(
            f"{len(texts)} texts need {len(texts)} or {actions} rewards and dones, "
            f"got {len(rewards)} and {len(dones)}"
        )
    earned = rewards[1::2] if len(rewards) == len(texts) else rewards
    ended = dones[1::2] if len(dones) == len(texts) else dones
    turns = [_said(text, float(earned[i // 2])) if i % 2 else _said(text) for i, text in enumerate(texts)]
    done = bool(ended and ended[-1])
    return turns, done, done and bool(earned[-1] == won_for)


def wordle_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Wordle: {"sequence": [[text, is_action], ...], "reward", "done"}; no reward for the header."""
    sequence, rewards = record["sequence"], [0.0, *record["reward"]]
    if len(rewards) != len(sequence):
        raise ValueError(f"{len(sequence)} texts need {len(sequence) - 1} rewards, got {len(rewards) - 1}")
    turns = [
        Turn(text, bool(is_action), float(reward))
        for (text, is_action), reward in zip(sequence, rewards, strict=True)
    ]
    if any(turn.reward and not turn.is_action for turn in turns):
        raise ValueError("only actions earn rewards")
    last = next((turn.reward for turn in reversed(turns) if turn.is_action), -1.0)
    return turns, bool(record["done"]), bool(record["done"]) and last == 0


def questions_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """20 questions: {"lines", "correct", "word"}; an answer is yes or no, and follows the last "? "."""
    return _questioned(record, [line.rpartition("? ") for line in _dialogue(record)])


def city_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Guess my city: as 20 questions, or {"conversation", "done", "word"}.

    Answers are free text that may hold a "? " itself, so that the question ends with the first one. The 2023
    code cuts at the last, and gives a part of such an answer to the question.
    """
    return _questioned(record, [line.partition("? ") for line in _dialogue(record)])


def _dialogue(record: Record) -> list[str]:
    lines: list[str] = record["lines"] if "lines" in record else record["conversation"]
    return lines


def _questioned(record: Record, lines: Sequence[tuple[str, str, str]]) -> Read:
    correct = bool(record["correct"] if "lines" in record else record["done"])
    turns = [Turn("Questions:\n", False)]
    for question, mark, answer in lines:
        if not mark:
            raise ValueError(f'a line is a question, "? " and an answer, got {question + answer!r}')
        turns += [_said(f"{question}?", -1.0), _said(answer)]
    if correct and lines:
        turns[-2] = turns[-2]._replace(reward=0.0)
    return turns, correct or len(lines) >= 20, correct


def sale_to_turns(record: Record, env_kwargs: Mapping[str, Any]) -> Read:
    """Car dealer: {"buyer_info", "lines": [{"role", "text"}], "output"}; the seller is the agent.

    What the seller says twice in a row is one turn; it is paid on the last one.
    """
    turns = [Turn("Start\n", False)]
    for line in record["lines"]:
        if line["role"] not in ("Seller", "Buyer"):
            raise ValueError(f"role must be Seller or Buyer, got {line['role']!r}")
        said = _said(line["text"], 0.0) if line["role"] == "Seller" else _said(line["text"])
        if said.is_action and turns[-1].is_action:
            said = _said(f"{turns.pop().text} {said.text}", 0.0)
        turns.append(said)
    output = record.get("output")
    if output is None:
        return turns, False, False
    paid = _sale_reward(output, record["buyer_info"]["budget"], env_kwargs.get("reward", "margin"))
    last = max((i for i, turn in enumerate(turns) if turn.is_action), default=None)
    if last is not None:
        turns[last] = turns[last]._replace(reward=paid)
    return turns, True, bool(output["car_bought"])


def _sale_reward(output: Mapping[str, Any], budget: float, mode: str) -> float:
    """ "margin": the price by the mean of budget and MSRP, a refusal costs their difference; or thousands."""
    if mode not in ("margin", "revenue"):
        raise ValueError(f"reward must be margin or revenue, got {mode!r}")
    price, msrp = output.get("buy_price") or 0, output["msrp"]
    if mode == "revenue":
        return price / 1000 if output["car_bought"] else 0.0
    if output["car_bought"]:
        return float(price / (0.5 * (budget + msrp)))
    return -(budget - msrp) / msrp if msrp else 0.0


SCHEMATA: dict[str, Callable[[Record, Mapping[str, Any]], Read]] = {
    "lmrlgym/Maze-v0": steps_to_turns,
    "lmrlgym/MazePartial-v0": walls_to_turns,
    "lmrlgym/TextNav-v0": rooms_to_turns,
    "lmrlgym/TextNavPartial-v0": rooms_to_turns,
    "lmrlgym/Wordle-v0": wordle_to_turns,
    "lmrlgym/Chess-v0": chess_to_turns,
    "lmrlgym/ChessEndgames-v0": chess_to_turns,
    "lmrlgym/TwentyQuestions-v0": questions_to_turns,
    "lmrlgym/GuessMyCity-v0": city_to_turns,
    "lmrlgym/CarDealer-v0": sale_to_turns,
}
"""Environment id -> how a record of its files is read."""


def _said(text: str, reward: float | None = None) -> Turn:
    """A turn in our convention; the agent's if it earned something."""
    if not isinstance(text, str):
        raise TypeError(f"a text must be a string, got {text!r}")
    if reward is None:
        return Turn(text.rstrip("\n") + "\n", False)
    # A model's utterance ends at its first newline.
    return Turn(" ".join(part.strip() for part in text.split("\n") if part.strip()) + "\n", True, reward)


def _spaced(text: str) -> str:
    return " ".join(text)


def _unspaced(text: str) -> str:
    """A position with a blank between all its characters, without them; any other unchanged."""
    text = text.strip("\n")
    is_spaced = len(text) > 1 and all(character == " " for character in text[1::2])
    return text[::2] if is_spaced else text


def _records(path: Path) -> Iterator[Record]:
    data = path.read_bytes()
    try:
        text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode("utf-8")
    except (OSError, EOFError, ValueError) as error:
        raise ValueError(f"{path} is not a UTF-8 text file, gzipped if it ends in .gz: {error}") from error
    try:
        whole = json.loads(text)
    except json.JSONDecodeError:
        yield from _games(_lines(path, text))
        return
    if isinstance(whole, list):
        # One game of a file whose lines are lists of steps looks like an array of steps.
        yield from [whole] if whole and _is_step(whole[0]) else whole
    elif isinstance(whole, dict) and whole and all(isinstance(value, list) for value in whole.values()):
        yield from _grouped(whole)
    else:
        yield whole


def _grouped(whole: Mapping[str, Any]) -> Iterator[Record]:
    """{personality: [conversations]} of the older car-dealer files; any other object is one record."""
    games = [game for group in whole.values() for game in group]
    yield from games if all(isinstance(game, dict) for game in games) else [whole]


def _lines(path: Path, text: str) -> Iterator[Record]:
    """The parsed lines; None for an empty one."""
    for number, line in enumerate(text.split("\n"), start=1):
        try:
            yield json.loads(line) if line.strip() else None
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}: line {number} is not JSON: {error}") from error


def _games(lines: Iterator[Record]) -> Iterator[Record]:
    """The records; lines that are single steps become games, cut at `done` and at empty lines."""
    steps: list[Record] = []
    for line in lines:
        if _is_step(line):
            steps.append(line)
        if steps and (not _is_step(line) or line["done"]):
            yield steps
            steps = []
        if line is not None and not _is_step(line):
            yield line
    if steps:
        yield steps


def _is_step(record: Record) -> bool:
    return isinstance(record, dict) and "state" in record and "done" in record
