"""The Wordles of other suites, played with our words, for `benchmarks.envs`.

Both read their words from NLTK's data folder and would download them: a temporary folder holds ours
instead. What they print and log meanwhile is theirs and not shown.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import logging
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple


class Game(NamedTuple):
    """A game as the clock sees it."""

    reset: Callable[[], object]
    step: Callable[[str], bool]
    """Says an action and tells whether the game is over."""
    say: Callable[[str], str]
    """How a word is said there."""


def installed() -> dict[str, Callable[[], Game]]:
    """What it is -> how its game is made, for the suites that are installed."""
    suites: tuple[tuple[str, str, str, Callable[[], Game]], ...] = (
        ("textarena", "textarena", "bare", _textarena_bare),
        ("textarena", "textarena", "ta.make", _textarena_made),
        ("gem-llm", "gem", "", _gem),
    )
    return {
        f"{name} {version(name)} {how}".strip(): make
        for name, module, how, make in suites
        if importlib.util.find_spec(module) and importlib.util.find_spec("nltk")
    }


@contextlib.contextmanager
def nltk_words() -> Iterator[Callable[[Sequence[str]], None]]:
    """Gives a function that fills NLTK's word corpus; meanwhile nothing is downloaded, printed or logged.

    Use it once in a process: NLTK keeps to the first folder in which it found its words.
    """
    import nltk

    download = nltk.download
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(io.StringIO()):
        corpus = Path(folder, "corpora", "words")
        corpus.mkdir(parents=True)

        def fill(words: Sequence[str]) -> None:
            for name in ("en", "en-basic"):
                (corpus / name).write_text("".join(f"{word}\n" for word in words), encoding="utf-8")

        nltk.data.path.insert(0, folder)
        nltk.download = lambda *args, **kwargs: True
        logging.disable(logging.CRITICAL)
        try:
            yield fill
        finally:
            logging.disable(logging.NOTSET)
            nltk.download = download
            nltk.data.path.remove(folder)


def _textarena_bare() -> Game:
    return _textarena_game(_textarena_module().WordleEnv())


def _textarena_made() -> Game:
    """As `textarena.make` wraps it: its observation then holds the texts of all games since it was made."""
    _textarena_module()
    import textarena

    return _textarena_game(textarena.make("Wordle-v0"))


def _textarena_module() -> Any:
    from textarena.envs.Wordle import env as wordle

    # Its tagger chooses the nouns among the words; ours are all to be hidden, and the tagger has no data.
    wordle.pos_tag = lambda tokens: [(token, "NN") for token in tokens]
    return wordle


def _textarena_game(env: Any) -> Game:
    def reset() -> None:
        env.reset(num_players=1)
        env.get_observation()

    def step(action: str) -> bool:
        is_over, _ = env.step(action)
        env.get_observation()
        return bool(is_over)

    return Game(reset, step, lambda word: f"[{word}]")


def _gem() -> Game:
    from gem.envs.game_env.wordle import WordleEnv

    env = WordleEnv(word_length=5, max_turns=6)

    def step(action: str) -> bool:
        _, _, terminated, truncated, _ = env.step(action)
        return bool(terminated or truncated)

    return Game(env.reset, step, lambda word: rf"\boxed{{{word}}}")
