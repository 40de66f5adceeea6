"""A hidden object, twenty yes/no questions in free English, and answers from a table of facts.

Rules: arXiv 2311.18232 (Twenty Questions). The table stands in `twenty_questions_table`, what scripted
players say in `twenty_questions_moves`, the texts of 2023 in `twenty_questions_texts`; all can be had from
here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Any

from lmrlgym.env import Partner, PartnerEnv, Query, Reply, Response
from lmrlgym.envs.twenty_questions_moves import Move, moves, moves_in, possible, truth_table
from lmrlgym.envs.twenty_questions_table import (
    Fact,
    Thing,
    asked,
    facts,
    groups,
    mask_of,
    rows_of,
    split_cell,
    things,
)
from lmrlgym.envs.twenty_questions_texts import (
    INVALID_QUESTION,
    QUESTIONS,
    asked_simply,
    asked_strictly,
    lines_of,
    oracle_prompt,
    return_token,
    token_return,
    with_return_tokens,
)
from lmrlgym.partners import partner_named
from lmrlgym.partners.roles.twenty_questions import ROLE
from lmrlgym.partners.twenty_questions import ScriptedOracle
from lmrlgym.resources import data_path
from lmrlgym.vector import vectorise

__all__ = [
    "HEADER",
    "INVALID_QUESTION",
    "NO",
    "QUESTIONS",
    "YES",
    "Fact",
    "Move",
    "Secret",
    "Thing",
    "TwentyQuestionsEnv",
    "answer_in",
    "asked",
    "asked_simply",
    "asked_strictly",
    "facts",
    "groups",
    "is_right",
    "lines_of",
    "mask_of",
    "moves",
    "moves_in",
    "names_it",
    "oracle_prompt",
    "possible",
    "return_token",
    "rows_of",
    "split_cell",
    "things",
    "token_return",
    "truth_table",
    "twenty_questions_vector",
    "with_return_tokens",
]
HEADER, YES, NO = "Questions:\n", "Yes.\n", "No.\n"
MISS_REWARD, FOUND_REWARD = -1.0, 0.0
_CACHED = 1 << 16


# ---- when a question names the object ----

_TOKEN = re.compile(r"[a-z0-9]+(?:['’-][a-z0-9]+)*")
_ALLOWED_NOUNS = frozenset(("object", "something", "type", "kind"))
_MODIFIER_ENDINGS = (
    "ful",
    "ous",
    "ive",
    "able",
    "ible",
    "less",
    "ish",
    "ly",
    "ic",
    "ical",
    "ed",
    "est",
    "est",
)
"""English words with these endings are seldom nouns."""


@cache
def _modifiers() -> frozenset[str]:
    text = data_path("twenty_questions", "modifiers.txt").read_text(encoding="utf-8")
    return frozenset(text.lower().split())


def names_it(question: str, variants: tuple[str, ...]) -> bool:
    """Whether `question`, answered by yes, names the object: the rule of correctness.

    The question ends with a variant, and holds no noun besides the words of the variants and "object",
    "something", "type" and "kind", except counters, which stand before "of" ("a pair of", "a bottle of").
    A noun is any word that is neither in `modifiers.txt` nor ends like an adjective.
    """
    tokens = _TOKEN.findall(re.sub(r"[^a-z]+$", "", question.lower()))
    named = [_TOKEN.findall(variant.lower()) for variant in variants]
    if not any(tokens[-len(name) :] == name for name in named):
        return False
    allowed = _ALLOWED_NOUNS.union(*named)
    followers = [*tokens[1:], ""]
    return all(
        word in allowed or follower == "of" or not _is_noun(word)
        for word, follower in zip(tokens, followers, strict=True)
    )


def _is_noun(word: str) -> bool:
    whole = word.split("'")[0].split("’")[0]
    if word in _modifiers() or whole in _modifiers() or word.isdigit():
        return False
    return not (len(word) > 4 and word.endswith(_MODIFIER_ENDINGS))


_JOINING = re.compile(r"\b(?:and|as|but|like|nor|or|than)\b", re.IGNORECASE)


@lru_cache(_CACHED)
def is_right(question: str, variants: tuple[str, ...]) -> bool:
    """Whether `question`, answered by yes, ends the game: it names the object, and does nothing else.

    What compares or lists asks for more than one object (`Is it as big as a dog?`) and is no guess.
    """
    return names_it(question, variants) and not _JOINING.search(question)


# ---- the game ----


@dataclass(frozen=True, slots=True)
class Secret:
    """What a partner is told: the hidden object in all its variants, and the question."""

    variants: tuple[str, ...]
    question: str


def answer_in(reply: str) -> str:
    """`Yes.` or `No.`, as a partner's reply begins, and `No.` if it begins with neither."""
    return YES if reply.strip().lower().startswith("yes") else NO


_SAID = {
    (text, is_last): Response(text, MISS_REWARD, is_last, stop_reason="turn_limit" if is_last else "")
    for text in (YES, NO)
    for is_last in (False, True)
}
_FOUND = Response(YES, FOUND_REWARD, terminated=True, success=True, stop_reason="won")
_NOTHING_SAID = {
    is_last: said._replace(action_is_valid=False) for (text, is_last), said in _SAID.items() if text == NO
}


class TwentyQuestionsEnv(PartnerEnv):
    """Find a hidden object with at most twenty yes/no questions in free English.

    ## Description
    The object is drawn uniformly from the paper's 158, which fall into 17 categories: sports, animals,
    fruits, vehicles, clothes, electronics, musical instruments, furniture, office supplies, vegetables,
    art, kitchen tools, nature, toys, jewelry, garden supplies and tools. A partner, the oracle, answers yes
    or no. The whole conversation is the agent's to see: `context` is None.

    ## Actions
    A question in English: `Is it alive?`. A guess is a question too: `Is it a dog?`. It is right if the
    oracle says yes, the question ends with the object's name or a variant of it (`TV` for `Television`,
    `Pair of pants` for `Pants`), and no other noun stands in it, besides counters before `of` and the words
    object, something, type and kind. So `Is it a big dog?` and `Is it a pair of socks?` are guesses, while
    `Is the animal a dog?` and `Is it a dog used for hunting?` are not, nor is what compares or lists: `Is
    it as big as a dog?`, `Is it a cat or a dog?` (and, as, but, like, nor, or, than). Case and what follows
    the last letter do not matter. An empty question is invalid; it is answered no and counts.

    ## Observations
    First `Questions:`; then `Yes.` or `No.`, each with a newline at the end. Of what a partner says only the
    beginning is read, so no word of it can give the object away. A reply that begins neither with yes nor
    with no says that the question was not understood, and is told as `No.`

    The scripted oracle looks up a table of facts (`envs_data/twenty_questions/knowledge.csv`) that says yes,
    no or either for every object. Either, which is what it says of `sometimes` and `it depends`, is answered
    yes; but no if the question asks for more (always, only, necessarily, mainly, usually).

    ## Rewards
    0 for the question that names the object, -1 for every other: returns go from -20 to 0.

    ## Episode end
    The game ends (`terminated`) when the object is named (`won`), or with the twentieth question
    (`turn_limit`). A partner that fails ends it as `truncated` (`partner_error`).

    ## Info
    The common keys. `not_understood` counts the questions that the partner did not understand. With
    `privileged=True`, `task` is the object's number in the paper's list (from 0) and `secret` its name.

    ## Arguments
    - `partner`: `scripted`, `human`, `hf:MODEL`, `http(s)://HOST/v1#MODEL` or a `Partner` (see the page on
      partners); the `state` of its queries is a `Secret`: the object's variants and the question.
    - `compat`: no difference.
    - reset options: `object`, a variant of one of the 158, or `task`, its number.

    ## Differences from the paper
    The oracle of the paper is a FLAN-T5-XL model; `scripted` is a table and a reader of English. The rule for
    a right guess is the paper's with a word list of ours in the place of NLTK's tagger, which errs
    elsewhere, and without comparisons and lists, by which one question could both guess and divide the rest.
    The option `deterministic` of 2023 is `task`: its object has number `seed` mod 158.

    ## Versions
    - v0: first version.
    """

    own_options = ("object",)
    tasks = 158
    instructions = (
        "I am thinking of an object, such as an animal, a fruit, a vehicle, a piece of clothing, a tool or "
        "something in nature. Find out what it is by asking at most twenty questions that can be answered by "
        "yes or no, one at a time. Say only the question. When you know the object, ask for it by its name, "
        "for example: Is it a dog? Use as few questions as you can."
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
            partner=partner_named(partner, ScriptedOracle, ROLE), compat=compat, privileged=privileged,
            render_mode=render_mode,
        )  # fmt: skip
        self._question = ""

    def _start(self, options: Mapping[str, Any]) -> str:
        name, task = options.get("object"), options.get("task")
        if name is None:
            self.task = self._drawn_task(options)
        elif task is not None:
            raise ValueError("give `object` or `task`, not both")
        else:
            self.task = _numbered(name)
        return HEADER

    def _ask(self, action: str) -> Query | Response:
        self._question = question = action.strip()
        if not question:
            return _NOTHING_SAID[self._turn == QUESTIONS - 1]
        return Query(self.history, Secret(things()[self.task].variants, question), self.np_random)

    def _heard(self, reply: Reply) -> Response:
        answer = answer_in(reply.text)
        if answer is NO and not reply.text.strip().lower().startswith("no"):
            self._not_understood += 1
        if answer is YES and is_right(self._question, things()[self.task].variants):
            return _FOUND
        return _SAID[answer, self._turn == QUESTIONS - 1]

    def _secret(self) -> str:
        return things()[self.task].name


def _numbered(name: Any) -> int:
    """The number of the object that has `name` as a variant."""
    for number, thing in enumerate(things()):
        if isinstance(name, str) and name.lower() in (variant.lower() for variant in thing.variants):
            return number
    raise ValueError(f'object must be one of the 158 objects, for example "Dog", got {name!r}')


twenty_questions_vector = vectorise(TwentyQuestionsEnv)
