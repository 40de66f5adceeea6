"""A hidden city, twenty questions about it, and answers from a table of facts.

Rules: arXiv 2311.18232 (Guess My City); as in Twenty Questions, but questions may be open. The table is in
`city_facts`, what scripted players ask in `city_questions`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from lmrlgym.env import Partner, PartnerEnv, Query, Reply, Response
from lmrlgym.envs.city_facts import (
    NO_GUESS,
    NUMBERS,
    TOO_MANY,
    Phrases,
    above,
    cities_in,
    countries_of,
    display,
    everything,
    facts,
    flags,
    folded,
    holding,
    listed,
    named_city,
    names_in,
    names_of,
    rows,
    secret_names,
    words,
)
from lmrlgym.envs.city_questions import (
    DROPPED_IN_2023,
    GUESSES,
    Question,
    guess_questions,
    open_topics,
    possible,
    scripted_questions,
    scripted_texts,
    yes_no_questions,
)
from lmrlgym.partners import partner_named
from lmrlgym.partners.guess_my_city import ScriptedCity
from lmrlgym.partners.roles.guess_my_city import ROLE
from lmrlgym.types import Turn
from lmrlgym.vector import vectorise

TURNS = 20
HEADER, RIGHT = "Questions:\n", "Yes.\n"
WRONG = ("No.\n", "No, it is another city.\n", "No, not that one.\n", "No, guess again.\n")
SEVERAL = "One city at a time, please.\n"
NOT_UNDERSTOOD = "I cannot answer that.\n"
"""The answer to what a partner does not understand; counted in `info["not_understood"]`."""
GUARDED = "I must not say that.\n"
"""Said instead of an answer that would name the city or its country."""
MISS_REWARD, GUESS_REWARD = -1.0, 0.0
LONGEST_READ, _LONGEST_REPLY = 1_000, 500
"""Characters."""

__all__ = [
    "DROPPED_IN_2023",
    "GUARDED",
    "GUESSES",
    "HEADER",
    "NOT_UNDERSTOOD",
    "NO_GUESS",
    "NUMBERS",
    "RIGHT",
    "SEVERAL",
    "TOO_MANY",
    "TURNS",
    "WRONG",
    "CityState",
    "GuessMyCityEnv",
    "Phrases",
    "Question",
    "above",
    "cities_in",
    "countries_of",
    "display",
    "everything",
    "facts",
    "flags",
    "folded",
    "guess_my_city_vector",
    "guess_questions",
    "holding",
    "listed",
    "named_city",
    "names_in",
    "names_of",
    "open_topics",
    "possible",
    "rows",
    "scripted_questions",
    "scripted_texts",
    "secret_names",
    "state_of",
    "words",
    "yes_no_questions",
]
"""The policies, the solver and the scripted partner know the table and the questions by this file."""


@lru_cache(1 << 12)
def _line(text: str) -> str:
    return " ".join(text.split())[:_LONGEST_REPLY] + "\n"


@dataclass(frozen=True)
class CityState:
    """What a partner knows and must obey: the city, its facts, and the names it must not say."""

    task: int
    word: str
    facts: Mapping[str, str]
    forbidden: frozenset[str]


@cache
def state_of(task: int) -> CityState:
    """The state while city number `task` is hidden."""
    return CityState(task, words()[task], facts()[task], secret_names(task))


_WON = Response(RIGHT, GUESS_REWARD, terminated=True, success=True, stop_reason="won")
_MISSED = {text: Response(text, MISS_REWARD) for text in WRONG}
_NOT_READ = Response(NOT_UNDERSTOOD, MISS_REWARD, action_is_valid=False)
_SEVERAL = Response(SEVERAL, MISS_REWARD, action_is_valid=False)


class GuessMyCityEnv(PartnerEnv):
    """Find a hidden city by at most twenty questions, yes/no or open.

    ## Description
    One of 100 cities is drawn uniformly. The agent asks; a partner answers from a table of facts, truly,
    in varying words. The whole conversation is the agent's to see: `context` is None.

    ## Actions
    Anything. A text that names one city of the list, by any of its names (`Mumbai`, `Bombay`), is a
    guess; case, accents and punctuation do not matter, but names are whole words: `comparison` does not
    name Paris. A text that names several cities of the list is no guess: it is refused, and costs a
    question. Everything else is a question to the partner.

    ## Observations
    First `Questions:`; then an answer a question, with a newline at the end. The right guess is answered
    `Yes.`, a wrong one by a sentence that begins with `No`. The scripted partner answers yes/no
    questions by sentences that begin with `Yes` or `No`. Its answers to open questions leave at least
    three cities of at least two countries possible. It combines several facts in one question: all of
    them must be true, or one of those that an `or` joins. `not` and `outside` turn a question round;
    `isn't it` does not. A question for the name of the city or the country it refuses.
    What it does not understand it answers by `I cannot answer that.`, as the environment does with any
    text of more than 1,000 characters.

    No answer holds a name of the city, its country or its people before the agent said that name: an
    answer of any partner that does is replaced by `I must not say that.`

    ## Rewards
    0 for the right guess, -1 for any other text: returns go from -20 to 0.

    ## Episode end
    The game ends (`terminated`) with the right guess (`won`), or with the twentieth question
    (`turn_limit`).

    ## Info
    The common keys. `not_understood` counts the questions that were answered `I cannot answer that.`;
    `action_is_valid` is false for those, and where several cities were named. With `privileged=True`,
    `task` is the number of the city in the list (from 0) and `secret` its entry, e.g. `paris,france`.

    ## Arguments
    - `partner`: `scripted`, `human`, `hf:MODEL`, `http(s)://HOST/v1#MODEL` or a `Partner`, which reads a
      `CityState` (see the page on partners).
    - `compat`: play by the 2023 release (see Differences).
    - reset options: `city`, an entry of the list such as `paris,france`, or `task`, its number.

    ## Differences from the paper
    The 2023 list has 100 cities, but its loader drops the first one, Seoul. Its environment compares a
    question with the entry letter by letter and so cannot be won; the script that made the data counts any
    question that holds the city's name, even within another word, and knows one spelling of each city.
    `compat=True` plays with the 99 cities by the rule of that script. In 2023 answers came from a
    language model; the released one says only yes or no.

    ## Versions
    - v0: first version.
    """

    own_options = ("city",)
    instructions = (
        "I am thinking of one of the 100 largest cities in the world. Find out which one with at most 20 "
        "questions about it, its country or its people. You may ask yes/no questions and open questions, "
        "one at a time. When you know the city, ask whether it is that city, for example: Is it Paris? "
        "Naming a city is a guess; name only one at a time. Use as few questions as you can."
    )

    def __init__(
        self,
        *,
        partner: str | Partner = "scripted",
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        super().__init__(
            partner=partner_named(partner, ScriptedCity, ROLE),
            compat=compat,
            privileged=privileged,
            render_mode=render_mode,
        )
        self._first = DROPPED_IN_2023 if compat else 0
        self.tasks = len(words()) - self._first
        self._city = 0
        self._said: frozenset[str] = frozenset()

    def _start(self, options: Mapping[str, Any]) -> str:
        city, known = options.get("city"), words()[self._first :]
        if city is None:
            self.task = self._drawn_task(options)
        elif options.get("task") is not None:
            raise ValueError("give `city` or `task`, not both")
        elif not isinstance(city, str) or city not in known:
            raise ValueError(
                f"city must be one of the {len(known)} entries of the list, e.g. {known[-25]!r}, got {city!r}"
            )
        else:
            self.task = known.index(city)
        self._city = self.task + self._first
        self._said = frozenset()
        return HEADER

    def _ask(self, action: str) -> Query | Response:
        if len(action) > LONGEST_READ:
            return self._not_read()
        if names := names_in(action):
            self._said |= names
        guess = self._guess(action)
        if guess == self._city:
            return _WON
        if guess == TOO_MANY:
            return self._ended(_SEVERAL)
        if guess != NO_GUESS:
            return self._ended(_MISSED[WRONG[int(self.np_random.random() * len(WRONG))]])
        talk = (*self.history, Turn(self._recorded(action), True))
        return Query(talk, state_of(self._city), self.np_random)

    def _guess(self, action: str) -> int:
        if not self.compat:
            return named_city(action)
        return self._city if words()[self._city].split(",")[0] in action.lower() else NO_GUESS

    def _heard(self, reply: Reply) -> Response:
        text = _line(reply.text)
        if (names := names_in(text)) and (names & secret_names(self._city)) - self._said:
            text = GUARDED
        return (
            self._not_read() if text in (NOT_UNDERSTOOD, "\n") else self._ended(Response(text, MISS_REWARD))
        )

    def _not_read(self) -> Response:
        self._not_understood += 1
        return self._ended(_NOT_READ)

    def _ended(self, response: Response) -> Response:
        if self._turn < TURNS - 1:
            return response
        return response._replace(terminated=True, stop_reason="turn_limit")

    def _secret(self) -> str:
        return words()[self._city]


guess_my_city_vector = vectorise(GuessMyCityEnv)
