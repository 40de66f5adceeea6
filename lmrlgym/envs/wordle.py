"""A hidden word, six guesses, and an answer that marks every letter g, y or b.

Rules and texts: arXiv 2311.18232 (Wordle). Inside, feedback is a number from 0 to 242, a "pattern":
base 3, first letter first, b = 0, y = 1, g = 2; a `Vocabulary` knows those of all guesses and words.
"Counted" are the rules of real Wordle for repeated letters; the 2023 release does not count.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np

from lmrlgym.env import Response, TextEnv
from lmrlgym.resources import data_path
from lmrlgym.types import Turn
from lmrlgym.vector import vectorise

LETTERS, TRIES = 5, 6
SOLVED_REWARD, MISS_REWARD, INVALID_REWARD = 0.0, -1.0, -1.0
HEADER, NO_FEEDBACK = "Wordle:\n", "\n"
SHIPPED = ("common-40", "common-236", "common-431", "common-826", "common-2315")

FEEDBACKS = tuple(" ".join(marks) + "\n" for marks in product("byg", repeat=LETTERS))
"""[pattern] -> the text of the answer."""
PATTERNS = {text: pattern for pattern, text in enumerate(FEEDBACKS)}
SOLVED = PATTERNS["g g g g g\n"]

_WANTED = f"vocabulary must be {', '.join(SHIPPED)}, a file or a sequence of words"


def spoken(word: str) -> str:
    """How a guess is said: "crane" is "c r a n e" and a newline."""
    return " ".join(word) + "\n"


def is_word(text: str) -> bool:
    """Whether `text` is five letters a-z."""
    return len(text) == LETTERS and text.isascii() and text.isalpha() and text.islower()


def feedback(guess: str, word: str, *, counted: bool = True) -> str:
    """The answer to `guess` when the hidden word is `word`, e.g. "b y g b b" and a newline.

    Letters in place are green first. If `counted`, every other letter is yellow as long as the
    hidden word has one more of it, from left to right; else it is yellow wherever the word has it.
    """
    return FEEDBACKS[int(pattern_table(_codes([guess]), _codes([word]), counted)[0, 0])]


def pattern_table(guesses: np.ndarray, words: np.ndarray, counted: bool) -> np.ndarray:
    """The pattern of every guess against every hidden word: (G, 5) and (H, 5) codes to (G, H) uint8."""
    columns = [guesses[:, i, None] for i in range(LETTERS)]  # (G, 1)
    hidden = [words[None, :, i] for i in range(LETTERS)]  # (1, H)
    green = [columns[i] == hidden[i] for i in range(LETTERS)]  # (G, H)
    table = np.zeros((len(guesses), len(words)), np.uint8)
    for i in range(LETTERS):
        # How many of this letter the hidden word still has, earlier claims of the same letter taken off.
        left = np.zeros(table.shape, np.int8)
        for j in range(LETTERS):
            there = columns[i] == hidden[j]
            left += there & ~green[j] if counted else there
            if counted and j < i:
                left -= (columns[i] == columns[j]) & ~green[j]
        table = 3 * table + np.where(green[i], 2, left > 0).astype(np.uint8)
    return table


def _codes(words: Sequence[str]) -> np.ndarray:
    """(len(words), 5) character codes."""
    return np.array([[ord(letter) for letter in word] for word in words], np.uint8).reshape(-1, LETTERS)


class Vocabulary:
    """Words and the patterns among them, worked out when first needed and shared by all games.

    `numbers` finds a word's number by its spoken form, in which agents say it.
    """

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.spoken = tuple(spoken(word) for word in words)
        self.numbers = {text: number for number, text in enumerate(self.spoken)}
        self._codes = _codes(words)
        self._answers: dict[tuple[int, bool], bytes] = {}
        self._tables: dict[bool, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.words)

    def __reduce__(self) -> tuple[Any, ...]:
        return _vocabulary, (self.words,)

    def answers(self, word: int, counted: bool) -> bytes:
        """[guess] -> pattern, if the hidden word is number `word`."""
        answers = self._answers.get((word, counted))
        if answers is None:
            column = pattern_table(self._codes, self._codes[word : word + 1], counted)
            self._answers[word, counted] = answers = column.tobytes()
        return answers

    def table(self, counted: bool) -> np.ndarray:
        """[guess, hidden word] -> pattern, uint8; 5 MB for 2315 words."""
        if counted not in self._tables:
            rows = np.array_split(self._codes, max(1, len(self) // 128))
            table = np.concatenate([pattern_table(some, self._codes, counted) for some in rows])
            table.flags.writeable = False
            self._tables[counted] = table
        return self._tables[counted]

    def consistent(self, seen: Sequence[tuple[int, int]], counted: bool) -> np.ndarray:
        """The numbers of the words that would have given every (guess, pattern) of `seen`, ascending."""
        left = np.arange(len(self))
        for guess, pattern in seen:
            left = left[self.table(counted)[guess][left] == pattern]
        return left

    def seen_in(self, history: Sequence[Turn]) -> tuple[tuple[int, int], ...]:
        """The (guess, pattern) pairs of a game as its agent sees it; invalid guesses tell nothing."""
        pairs = []
        for action, answer in pairwise(history):
            guess, pattern = self.numbers.get(action.text), PATTERNS.get(answer.text)
            if action.is_action and guess is not None and pattern is not None:
                pairs.append((guess, pattern))
        return tuple(pairs)


@cache
def _vocabulary(words: tuple[str, ...]) -> Vocabulary:
    return Vocabulary(words)


def vocabulary_of(source: str | os.PathLike[str] | Sequence[str]) -> Vocabulary:
    """The vocabulary of a shipped name, a file (one word a line) or a sequence of words.

    Lines of a file that have not five characters are left out, as in the 2023 release. Raises
    `ValueError` for anything else that is not a list of distinct words of five letters a-z.
    """
    if isinstance(source, str) and source in SHIPPED:
        words = _words_in(data_path("wordle", f"{source}.txt"))
    elif isinstance(source, str | os.PathLike):
        words = _words_in(source)
    elif isinstance(source, Sequence) and not isinstance(source, bytes | bytearray):
        words = list(source)
    else:
        raise ValueError(f"{_WANTED}, got {source!r}")
    for i, word in enumerate(words):
        if not isinstance(word, str) or not is_word(word):
            raise ValueError(f"a vocabulary holds words of five letters a-z, got {word!r} (number {i})")
    if not words or len(set(words)) < len(words):
        raise ValueError(f"a vocabulary holds distinct words, got {len(words)}, {len(set(words))} distinct")
    return _vocabulary(tuple(words))


def _words_in(path: str | os.PathLike[str]) -> list[str]:
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ValueError(f"{_WANTED}, got {os.fspath(path)!r} ({error})") from error
    return [word for line in lines if len(word := line.strip()) == LETTERS]


def judged(
    guess: str,
    word: str,
    words: Vocabulary,
    *,
    counted: bool = True,
    invalid_reward: float = INVALID_REWARD,
    only_listed: bool = True,
) -> tuple[str, float]:
    """The text and the reward that answer `guess`; the rule that the environment looks up in tables.

    The 2023 training scripts pay `invalid_reward` -10. Without `only_listed`, five letters that are
    no word of the vocabulary are marked too, but still paid as invalid.
    """
    is_listed = spoken(guess) in words.numbers
    if not is_listed and (only_listed or not is_word(guess)):
        return NO_FEEDBACK, invalid_reward
    paid = SOLVED_REWARD if guess == word else MISS_REWARD
    return feedback(guess, word, counted=counted), paid if is_listed else invalid_reward


def reformat_history(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """A game in the inner form of the 2023 release (`crane`, `<b><y><g><b><b>`) as it is told here."""
    letters = [t.text if t.is_action else t.text.replace("<", "").replace(">", "") for t in turns]
    told = (t._replace(text=spoken(text)) for t, text in zip(turns, letters, strict=True))
    return (Turn(HEADER, False), *told)


def deformat_history(turns: Sequence[Turn]) -> tuple[Turn, ...]:
    """The inverse of `reformat_history`: the first turn is dropped, whatever it says."""
    letters = [turn.text.replace(" ", "").removesuffix("\n") for turn in turns[1:]]
    return tuple(
        t._replace(text=text if t.is_action else "".join(f"<{mark}>" for mark in text))
        for t, text in zip(turns[1:], letters, strict=True)
    )


_MISSED = tuple(Response(text, MISS_REWARD) for text in FEEDBACKS)
_LOST = tuple(Response(text, MISS_REWARD, terminated=True, stop_reason="turn_limit") for text in FEEDBACKS)
_WON = Response(FEEDBACKS[SOLVED], SOLVED_REWARD, terminated=True, success=True, stop_reason="won")
_INVALID = Response(NO_FEEDBACK, INVALID_REWARD, action_is_valid=False)
_INVALID_LOST = _INVALID._replace(terminated=True, stop_reason="turn_limit")
_RESPACED_AT_MOST = 1_000


class WordleEnv(TextEnv):
    """Find a hidden five-letter word in six guesses; every answer marks the letters of the guess.

    ## Description
    The hidden word is drawn uniformly from a vocabulary and stays. Each guess must be a word of
    the vocabulary. The whole conversation is the agent's to see: `context` is None.

    ## Actions
    A word, with or without blanks between its letters: `c r a n e` or `crane`. Blanks, case and the
    final newline do not matter; the history writes every five letters as `c r a n e`. Anything that
    is no word of the vocabulary is an invalid guess and uses a try.

    ## Observations
    First `Wordle:`; after a guess its five marks, `b y g b b`, each with a newline at the end. `g`:
    the hidden word has this letter at this place. `y`: it has the letter elsewhere. `b`: it has no
    (further) such letter. A repeated letter is marked as often as the hidden word holds it, greens
    first, then yellows from left to right. The answer to an invalid guess is the newline alone.

    ## Rewards
    0 for the guess that is the hidden word, -1 for any other, valid or not: returns go from -6 to 0.

    ## Episode end
    The game ends (`terminated`) when the word is guessed (`won`), or with the sixth guess
    (`turn_limit`).

    ## Info
    The common keys. With `privileged=True`, `task` is the hidden word's number in the vocabulary
    (from 0) and `secret` the word.

    ## Arguments
    - `vocabulary`: `common-40`, `common-236`, `common-431`, `common-826` or `common-2315` (shipped,
      the commonest English words first), the path of a file with a word a line, or a sequence of words.
    - `compat`: play by the 2023 release (see Differences).
    - reset options: `word`, a word of the vocabulary, or `task`, its number.

    ## Differences from the paper
    The 2023 release does not count repeated letters (any letter that the hidden word has somewhere is
    at least yellow), takes upper case as invalid, re-spaces invalid guesses too, and draws the hidden
    word anew at every valid guess among the words that fit all answers so far (to a player who sees
    the conversation only, the same game in distribution). `compat=True` restores all four; with `word`
    or `task` given, the word stays. The word files of 2023 are not shipped; name one as `vocabulary`.

    ## Versions
    - v0: first version.
    """

    own_options = ("word",)
    instructions = (
        "Find a hidden five-letter English word in at most six guesses. Answer with one word, its letters "
        "separated by blanks, for example: c r a n e. The reply marks each letter of your guess: g means "
        "right letter in the right place, y means the word has this letter in another place, b means the "
        "word has no further such letter. A guess that is not in the word list gets an empty reply and "
        "counts as a guess. Use as few guesses as you can."
    )

    def __init__(
        self,
        *,
        vocabulary: str | os.PathLike[str] | Sequence[str] = "common-431",
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(compat=compat, privileged=privileged, render_mode=render_mode)
        self._vocabulary = vocabulary_of(vocabulary)
        self.tasks = len(self._vocabulary)
        self._answers = b""
        self._possible: np.ndarray | None = None

    def _start(self, options: Mapping[str, Any]) -> str:
        word, task = options.get("word"), options.get("task")
        if word is None:
            self.task = self._drawn_task(options)
        elif task is not None:
            raise ValueError("give `word` or `task`, not both")
        elif not isinstance(word, str) or word not in self._vocabulary.words:
            raise ValueError(f"word must be one of the {self.tasks} words of the vocabulary, got {word!r}")
        else:
            self.task = self._vocabulary.words.index(word)
        is_redrawn = self.compat and word is None and task is None
        self._answers = self._vocabulary.answers(self.task, not self.compat)
        self._possible = np.arange(self.tasks) if is_redrawn else None
        return HEADER

    def _respond(self, action: str) -> Response:
        numbers = self._vocabulary.numbers
        guess = numbers.get(action)
        if guess is None:
            guess = numbers.get(spoken(self._letters(action)))
        is_last = self._turn == TRIES - 1
        if guess is None:
            return _INVALID_LOST if is_last else _INVALID
        pattern = self._answers[guess] if self._possible is None else self._redrawn_answer(guess)
        if pattern == SOLVED:
            return _WON
        return (_LOST if is_last else _MISSED)[pattern]

    def _redrawn_answer(self, guess: int) -> int:
        """The 2023 rule: draw the hidden word among the possible ones, answer, and keep what fits."""
        assert self._possible is not None
        self.task = int(self._possible[self.np_random.integers(len(self._possible))])
        row = self._vocabulary.table(counted=False)[guess]
        pattern = int(row[self.task])
        self._possible = self._possible[row[self._possible] == pattern]
        return pattern

    def _letters(self, action: str) -> str:
        """What was guessed, blanks removed; five letters a-z if it is a guess at all."""
        if self.compat:
            return action.replace(" ", "").rstrip("\n")
        letters = action.strip().replace(" ", "")
        return letters.lower() if letters.isascii() else letters

    def _recorded(self, action: str) -> str:
        if action in self._vocabulary.numbers:
            return action
        letters = self._letters(action)
        # A long ramble stays as said: re-spaced, it would no longer fit the longest action.
        if is_word(letters) or (self.compat and len(letters) <= _RESPACED_AT_MOST):
            return spoken(letters)
        return super()._recorded(action)

    def _secret(self) -> str:
        return self._vocabulary.words[self.task]

    def candidates(self) -> tuple[str, ...]:
        """The words of the vocabulary, as they are said."""
        return self._vocabulary.spoken

    def filed_as(self) -> dict[str, Any]:
        """The vocabulary by its shipped name or its sha256, so that a file or a list finds its references."""
        words, name = sorted(self._vocabulary.words), f"common-{self.tasks}"
        if name in SHIPPED and words == sorted(vocabulary_of(name).words):
            return {"vocabulary": name}
        return {"vocabulary": "sha256:" + sha256("\n".join(words).encode()).hexdigest()}


wordle_vector = vectorise(WordleEnv)
