"""The scripted oracle of Twenty Questions: reads a yes/no question, looks its attributes up, says yes or no.

What a question asks for does not depend on the hidden object, so it is worked out once for every text, as two
masks of objects: those of which it is true, and those of which it may be. It is read in this order, the first
that succeeds counts:

1. comparisons and measures (`twenty_questions_sizes`), letters of the name, superlatives;
2. guesses: "is it a" and a name of an object, or of one of the things in `elsewhere.txt`, which none is;
3. phrases of the lexicon (`phrases.csv`) that are true of the same attribute of `knowledge.csv`; several
   phrases that together make up the question must all be true;
4. the parts around "or" and "and", each read with the words they share.

Defaults: a question that cannot be read is answered "I do not understand.", which the environment tells as
`No.` and counts. What is sometimes true is answered yes, unless the question has a "strict" word
(`word_classes.csv`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache, lru_cache

from lmrlgym.env import Query
from lmrlgym.partners import twenty_questions_words as reading
from lmrlgym.partners.twenty_questions_lexicon import clause, negated_phrase
from lmrlgym.partners.twenty_questions_names import of_the_name, superlative
from lmrlgym.partners.twenty_questions_sizes import Truth, measured_part

NOT_UNDERSTOOD = "I do not understand."
_LONGEST = 1_000
"""Characters; nobody asks a longer question."""
_CACHED = 1 << 16


class ScriptedOracle:
    """Answers `Yes.` or `No.` out of the table; keeps nothing from one query to the next."""

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [_reply(query) for query in queries]


def _reply(query: Query) -> str:
    secret = query.state
    true_of = objects_asked_for(secret.question)
    if true_of is None:
        return NOT_UNDERSTOOD
    return "Yes." if true_of >> _numbers()[secret.variants] & 1 else "No."


@cache
def _numbers() -> dict[tuple[str, ...], int]:
    from lmrlgym.envs.twenty_questions import things

    return {thing.variants: number for number, thing in enumerate(things())}


@lru_cache(_CACHED)
def objects_asked_for(question: str) -> int | None:
    """The objects for which the answer to `question` is yes, as a mask; None if it is not understood."""
    found = understood(question)
    if found is None:
        return None
    return found.sure if reading.is_strict(question) else found.may


def understood(question: str) -> Truth | None:
    """Of which objects `question` is true, and of which it may be; None if it is not understood."""
    if len(question) > _LONGEST:
        return None
    found = None
    for sentence in _SENTENCE_END.split(reading.plain(question)):
        read = _sentence(sentence.strip())
        if read is not None:
            found = read
    return found


_SENTENCE_END = re.compile(r"[.?!;\n]")


# ---- a sentence ----

_FILLERS = re.compile(
    r"^(?:(?:and|so|ok|okay|well|please|then|now|hmm+|um+|oh|alright|hello|hi|hey|but|also|next|"
    r"question|first|perhaps|"
    r"maybe|my (?:next |first )?question is|let me (?:ask|guess|think|see)|tell me|can you tell me|"
    r"could you tell me|"
    r"i would like to know|i want to know|i wonder|i am wondering|do you know|"
    r"would you say(?: that)?|do you think(?: "
    r"that)?|is it (?:true|correct|fair|safe|right) (?:to say )?that|would it be (?:fair|correct|"
    r"accurate) to say that|"
    r"is it the case that|am i (?:right|correct) that|if|whether|"
    r"i (?:think|guess|believe|bet|suppose|assume|know)(?: that)?|my (?:final )?guess is(?: that)?|"
    r"is my guess|"
    r"final guess|guess|what about|how about|(?:are|were) you (?:thinking|talking) (?:of|about)|"
    r"is (?:the )?(?:thing|object|word|answer|item|secret|secret object|secret word|hidden object|"
    r"mystery object|"
    r"mystery item) (?:you are (?:thinking|talking) (?:of|about) )?(?=(?:an?|the|some|called) ))\b[ ,]*)+"
)
_TAGS = re.compile(
    r"(?:[ ,]+(?:right|correct|yes|no|or not|is it|isnt it|is it not|is that (?:right|correct|it|"
    r"true)|does it|does it "
    r"not|do they|do they not|are they|are they not|am i right|would it|would it not|can it|"
    r"can it not|then|please|"
    r"though|maybe|perhaps|or (?:something )?(?:something|anything) (?:like that|similar|else)?|or so|etc|"
    r"for (?:example|instance)|by chance|exactly|generally speaking|"
    r"(?:what|that|which) you are (?:thinking|talking) (?:of|about)|the (?:answer|object|word|"
    r"secret|secret object)))+$"
)
_LAST_OF_TAGS = frozenset((
    "right", "correct", "yes", "no", "not", "it", "that", "true", "they", "then", "please", "though",
    "maybe", "perhaps", "something", "anything", "similar", "else", "so", "etc", "example", "instance",
    "chance", "exactly", "speaking", "of", "about", "answer", "object", "word", "secret",
))  # fmt: skip
"""A tag ends in one of these."""
_SUBJECTS = re.compile(
    r"\b(?:(?:the|this|that|your|our|said) (?:(?:hidden|secret|mystery|mysterious|"
    r"chosen) )?(?:object|item|thing|word|"
    r"answer|product|entity|subject)(?: (?:that |which )?you are (?:thinking|talking) (?:of|about)|"
    r" (?:that )?you have in "
    r"mind| in question)?|what you are (?:thinking|talking) (?:of|about)|whatever it is|he|she|they|"
    r"them|these|those)\b"
)
_SUBJECT_WORDS = frozenset((
    "object", "item", "thing", "word", "answer", "product", "entity", "subject", "what", "whatever",
    "he", "she", "they", "them", "these", "those",
))  # fmt: skip
"""A subject is or holds one of these."""
_ASKS_FOR_YES = re.compile(
    r"^(is|are|does|do|can|could|would|was|has|did|will|should) not (it|you|people|they|we)\b"
)
_OPEN = re.compile(
    r"^(?:what|which|where|when|why|who|whom|whose|how|describe|name|list|explain|tell|give)\b"
)


def _sentence(text: str) -> Truth | None:
    if filler := _FILLERS.match(text):
        text = text[filler.end() :]
    words = text.split()
    if words and words[-1] in _LAST_OF_TAGS:
        text = _TAGS.sub("", text)
    text = text.strip(" ,")
    if not text or _OPEN.match(text):
        return None
    if not _SUBJECT_WORDS.isdisjoint(reading.bag(text)):
        text = _SUBJECTS.sub("it", text)
    return _bare_sentence(text)


@lru_cache(_CACHED)
def _bare_sentence(text: str) -> Truth | None:
    """A sentence without what introduces and ends it, whose subject is "it"."""
    words = reading.bag(text)
    if "not" in words:
        # "Isn't it small?" expects a yes of what is small.
        text = _ASKS_FOR_YES.sub(r"\1 \2", text)
    if (known := negated_phrase(text.split())) is not None:
        return known
    may_except = any(piece in text for piece in _EXCEPT_PIECES)
    if may_except and (parted := _EXCEPT.split(text, maxsplit=1))[1:]:
        return _all_but(*parted)
    found = of_the_name(text, words) or superlative(text, words)
    if found is not None:
        return found
    measured = measured_part(text)
    return clause(text) if measured is None else _with_the_rest(*measured, reading.is_negated(text.split()))


_EXCEPT = re.compile(
    r"\b(?:(?:that|which|who) (?:is|are|does|do|can|could|has|have|will|would|was) not|"
    r"(?:but|and|yet) (?:is|are|does|do|can|has|it is|it does|it can)? ?not|without|"
    r"other than|besides|apart from|aside from|except(?: for)?)\b"
)
_EXCEPT_PIECES = ("not", "without", "other than", "besides", "apart from", "aside from", "except")
"""A text without any of these holds no exception."""


def _all_but(wanted: str, unwanted: str) -> Truth | None:
    """A question for what is one thing and is not another: `Is it an animal that cannot fly?`."""
    out = _sentence(f"is it {unwanted}")
    if out is None or not any(not reading.is_mark(root) for root in reading.content(wanted.split())):
        return None if out is None else ~out
    found = _sentence(wanted)
    return None if found is None else found & ~out


_MEASURE_WORDS = re.compile(
    r"\b(?:have|has|weigh(?:s|t|ing)?|heav(?:y|ier)|cost(?:s|ing)?|pric(?:e|ed)|worth|value|long|length|tall|"
    r"high|height|wide|width|deep|across|around|size|sized|big|large|fast|speed|travel|go|move|measures?|"
    r"average|approximately|roughly|usd|or (?:more|less|so|bigger|larger|smaller|longer)|"
    r"(?:or )?about the same(?: size)?)\b"
)
"""What is left of a measure when its number or its thing has been read."""


def _with_the_rest(first: Truth, rest: str, is_negated: bool) -> Truth:
    """A measure, and what else the question asks for."""
    words = reading.without_negations(_MEASURE_WORDS.sub(" ", rest).split())
    first = ~first if is_negated else first
    if not any(not reading.is_mark(root) for root in reading.content(words)):
        return first
    text = " ".join(words)
    second = measured_part(text)
    also = clause(text) if second is None else _with_the_rest(*second, False)
    if also is None:
        return first
    return first | also if second is not None and "or" in words else first & also
