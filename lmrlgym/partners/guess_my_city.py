"""The scripted partner of Guess My City: reads a question, looks the city up, words an answer.

Reading goes from top to bottom of `envs_data/guess_my_city/questions.csv`: a topic is asked for if its cue
is found, and words for its values (`words.csv`, or the table itself), or if its words alone are found
where it has no cue. What a topic has read is taken out before the next one reads. Open questions are read by
the cues of `open_questions.csv`. What a text asks for does not depend on the hidden city, so it is
worked out once for every text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from numpy.random import Generator

from lmrlgym.env import Query
from lmrlgym.partners.guess_my_city_numbers import comparison

if TYPE_CHECKING:
    from lmrlgym.envs.guess_my_city import Phrases

REFUSALS = (
    "That would give too much away.\n",
    "You have to find that out yourself.\n",
    "I will not tell you any names.\n",
    "No names, please ask me something else.\n",
)
"""Answers to questions for a name."""
YES, NO = (
    ("Yes.", "Yes, that is right.", "Yes, it is so."),
    ("No.", "No, that is wrong.", "No, it is not so."),
)
FALSE_NO = ("No.", "No, not there.", "No, it is somewhere else.")
_OPEN = re.compile(
    r"^(?:(?:and|so|ok|okay|well|please|then|now) )*(?:(?:can|could|would|will) (?:you|i) (?:please )?"
    r"(?:tell|describe|give|say(?! (?:that|the|it|its|your|this)\b)|explain|name|get|have)\b"
    r"|(?:(?:in|on|at|to|from|of|for|by|with|near) )?"
    r"(?:what|whats|which|where|wheres|when|who|whom|whose|why|how|hows)\b|(?:tell|describe|name|give|say|explain"
    r"|list)\b)"
)
_YES_NO = re.compile(
    r"^(?:is|are|was|were|does|do|did|has|have|had|can|could|would|will|isnt|arent|doesnt)\b"
)
_NAME = re.compile(
    r"\b(?:(?:(?:city|country|town|capital|state|nation|province|place)s?|its|your|his|her) names?\b(?! a\b)"
    r"|names? of (?:(?:the|your|its|this|that|a) )*(?:(?:current|present|actual|home|native|whole) )*"
    r"(?:city|country|town|place|capital|nation|state|province|region|continent|people)\b"
    r"|(?:which|what|whats the|what is the|whats your|what is your"
    r"|^(?:(?:can|could|would|will) you )?(?:please )?(?:tell me|say|reveal) the(?! city is))"
    r" (?:\w+ )?(?:city|country|nation|town|capital|state|province)\b"
    r"(?! (?:like|famous|known|population|live|lives|look|border|begin|have|eat|speak|mostly|best|coloni"
    r"|ruled?|conquered|founded|of mind|system|government|religion)\w*)"
    r"|spell\w*|spelled|(?:first|last|which|what|how many) letters?|letter|(?:start|begin|end)s? with"
    r"|rhymes?|nickname|secret|answer|initials?|syllables?)\b"
)
"""Asks for a name, whatever else it says."""
_CALLED = re.compile(
    r"\b(?:name (?:the|your|its|a|it)|called|names?|named|known as|where exactly|which (?:one )?is it)\b"
)
"""Asks for a name if nothing else was read."""
_HINT = re.compile(
    r"\b(?:hints?|clues?|something|anything|more|about (?:the|your|this|it) ?(?:city|town|place)?|help"
    r"|describe|description|special|unique|interesting|facts?|(?:city|town|place|it) like|characteris\w*)\b"
)
_NOT = re.compile(
    r"\b(?:not|neither|outside|except|never|other than|elsewhere than|anywhere but"
    r"|another city|a different city|safe from|free (?:of|from)|lacks?)\b(?! only)"
)
_OR = re.compile(r"\bn?or\b")
_REWRITTEN = [
    (re.compile(said), meant)
    for said, meant in (
        # a country, no coast
        (r"\bivory coast\b", "cote divoire"),
        # such a capital is none
        (
            r"\b(financial|economic|business|fashion|film|movie|cultural|commercial|tech|technology|industrial"
            r"|banking) capital\b",
            r"\1 centre",
        ),
        (
            r"\b((?:north|south|east|west|centr)\w*) or ((?:north|south|east|west|centr)\w*)"
            r" (asia|africa|america|europe|coast|hemisphere)\b",
            r"\1 \3 or \2 \3",
        ),
        (r"\bthere (?:a|any) (?:bigger|larger|more populous) (?:city|cities)\b", "it not the largest city"),
        (r"\bno (?:land )?(?:neighbou?rs?|borders?)\b", "not border"),
    )
]
"""What is said, and what is read instead."""
_UNREAD = re.compile(
    r"\b(?:(?:second|third|fourth|fifth|2nd|3rd)(?! (?:world|language))\b"
    r"|(?:oldest|highest|richest|smallest|tallest|safest|coldest|hottest|poorest|most (?!popul)\w+)\b.*"
    r"\b(?:world|earth|continent|asia|africa|europe|americas?|hemisphere)\b"
    r"|(?:top|first) (?:\d+|three|five|ten|twenty)\b|western (?:world|culture)\b|time zone"
    r"|square (?:kilo\w+|miles?)|sq km)"
)
"""What the table does not tell, though the rest of the question may look as if it did."""
_PART_OF = re.compile(r"\b(?:in|from) the (?:state|province|region|county|district) of \w+")
"""What is not in the table, so that the answer is no."""
_UNTOLD = re.compile(
    r"\b(?:famous (?:person|people)|celebrit\w*|music\w*|songs?|singers?|actors?|flags?|festivals?|holidays?"
    r"|animals?|wear|clothes|clothing|ethnic\w*|tallest|universit\w*|mayor|crime)\b"
)
"""What no open answer tells."""
_PLACED = re.compile(
    r"\b(?:near|close|far|bigger|larger|smaller|north|south|east|west|like|than|from which)\b"
)

_DIGITS = re.compile(r"\d")
_SEA_LEVEL = re.compile(r"\babove (?:the )?sea(?: level)?")


class Meaning(NamedTuple):
    """What a text asks for: a fact (`mask` and how yes and no are said) or an open topic, by its name."""

    kind: str
    """"fact", "open", "hint", "name" or "nothing"."""
    mask: int = 0
    yes: tuple[str, ...] = ()
    no: tuple[str, ...] = ()
    topic: str = ""


_NAMES, _NOTHING, _ANY_HINT = Meaning("name"), Meaning("nothing"), Meaning("hint")


class _Topic(NamedTuple):
    name: str
    cue: re.Pattern[str] | None
    any: re.Pattern[str] | None
    mask: int | None
    """The cities of a topic without values; None if it has values."""
    words: Phrases | None
    """Folded word for a value -> the cities of which the topic is true by that word."""
    yes: tuple[str, ...]
    no: tuple[str, ...]


class _Found(NamedTuple):
    mask: int
    topic: str
    is_worded: bool
    """Whether the topic's own words for yes and no say the right thing."""
    at: int = 0
    """Where in the text it was read."""
    word: str = ""


class ScriptedCity:
    """Answers truly and in varying words, and never says a name. Keeps no game state."""

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [_drawn(answers(query.history[-1].text, query.state.task), query.rng) for query in queries]


def answers(text: str, task: int) -> tuple[str, ...]:
    """All that the scripted partner may answer to `text`, each as likely, if city number `task` is hidden."""
    meaning = understood(text)
    if meaning.kind == "fact":
        return meaning.yes if meaning.mask >> task & 1 else meaning.no
    if meaning.kind == "open":
        return _open_answers()[meaning.topic][task]
    if meaning.kind == "hint":
        return _hints()[task]
    return REFUSALS if meaning.kind == "name" else _not_understood()


def _drawn(texts: Sequence[str], rng: Generator) -> str:
    return texts[int(rng.random() * len(texts))]


@lru_cache(1 << 16)
def understood(text: str) -> Meaning:
    """What `text` asks for."""
    from lmrlgym.envs.guess_my_city import NO_GUESS, folded, named_city

    question = folded(text)
    for said, meant in _REWRITTEN:
        question = said.sub(meant, question)
    if _NAME.search(question):
        return _NAMES
    if (city := named_city(text)) != NO_GUESS:
        return Meaning("fact", 1 << city if city >= 0 else 0, _lines(YES), _lines(NO))
    if (asked := _after_a_not(text)) is not None:
        return asked
    meaning = _open(question) if _OPEN.match(question) else _yes_no(text, question)
    return _NAMES if meaning.kind == "nothing" and _CALLED.search(question) else meaning


_SENTENCE_END = re.compile(r"(?<=\w\w\w)\.\s+|[!?;]+\s+|\n")
"""A full stop after fewer than three letters is of an abbreviation: `St. Petersburg`."""


def _after_a_not(text: str) -> Meaning | None:
    """What the last sentence asks for, if a "not" stands in one before it, where alone it counts.

    None if there is no such "not", or the last sentence by itself asks for nothing (`Is it?`).
    """
    from lmrlgym.envs.guess_my_city import folded

    *before, last = _SENTENCE_END.split(text.strip())
    if not any(_NOT.search(folded(sentence)) for sentence in before):
        return None
    asked = understood(last)
    return None if asked.kind == "nothing" else asked


def _yes_no(text: str, question: str) -> Meaning:
    if _UNREAD.search(question):
        return _NOTHING
    if (fact := _fact(text, question)) is not None:
        return fact
    is_elsewhere = any(_other_cities().all_in(question)) or _PART_OF.search(question)
    if is_elsewhere and not _PLACED.search(question):
        return Meaning("fact", 0, _lines(YES), _lines(FALSE_NO))
    return _NOTHING if _YES_NO.match(question) else _open(question)


def _open(question: str) -> Meaning:
    if _UNTOLD.search(question):
        return _NOTHING
    for name, cue in _open_cues().items():
        if cue.search(question):
            return Meaning("open", topic=name)
    return _ANY_HINT if _HINT.search(question) else _NOTHING


def _fact(text: str, question: str) -> Meaning | None:
    """All facts have to be true, or one of those that an "or" joins; what follows a "not" must not."""
    from lmrlgym.envs.guess_my_city import everything

    numbers = _numbers(text)
    if numbers:
        question = _SEA_LEVEL.sub("", question)
    turn = _NOT.search(question)
    before = question if turn is None else question[: turn.start()]
    wanted = [*numbers, *_facts(before, question)]
    unwanted = [] if turn is None else list(_facts(question[turn.end() :], question))
    if turn is not None and numbers and not unwanted:
        wanted, unwanted = list(_facts(before, question)), numbers
    found = wanted + unwanted
    if not found or (
        not numbers and _DIGITS.search(question) and not any(_DIGITS.search(f.word) for f in found)
    ):
        return None
    mask = _joined(wanted, before) if wanted else everything()
    if unwanted and turn is not None:
        mask &= ~_joined(unwanted, question[turn.end() :])
    if len(found) > 1 or unwanted or not found[0].is_worded:
        return Meaning("fact", mask, _lines(YES), _lines(NO))
    topic = next(topic for topic in _topics()[0] if topic.name == found[0].topic)
    return Meaning("fact", mask, _lines(YES) + topic.yes, _lines(NO) + topic.no)


def _joined(found: Sequence[_Found], part: str) -> int:
    """One of those that an "or" stands between, or that belong to the same topic, and all such groups."""
    found = sorted(found, key=lambda fact: fact.at)
    ors = [said.start() for said in _OR.finditer(part)]
    groups: list[tuple[str, int]] = []
    for last, fact in zip((None, *found), found, strict=False):
        is_other = last is not None and any(last.at < place < fact.at for place in ors)
        same = [i for i, (topic, _) in enumerate(groups) if ors and topic == fact.topic]
        if groups and (is_other or same):
            i = same[0] if same else len(groups) - 1
            groups[i] = (fact.topic, groups[i][1] | fact.mask)
        else:
            groups.append((fact.topic, fact.mask))
    mask = groups[0][1]
    for _, other in groups[1:]:
        mask &= other
    return mask


def _lines(texts: Sequence[str]) -> tuple[str, ...]:
    return tuple(f"{text}\n" for text in texts)


def _facts(part: str, question: str) -> Iterator[_Found]:
    """What each topic reads in a part of the question, in order; what is read is blotted out."""
    topics, words = _topics()
    worded = {topic for phrase in words.all_in(part) for topic in words.meanings[phrase]}
    left = f" {part} "
    for topic in topics:
        cue = topic.cue
        if topic.mask is None and topic.any is None and topic.name not in worded:
            continue
        if cue is not None and not cue.search(question):
            continue
        if topic.mask is not None:
            if cue is not None and (said := cue.search(left)):
                yield _Found(topic.mask, topic.name, True, said.start(), said[0])
                left = cue.sub(_blot, left, count=1)
            continue
        named = list(topic.words.longest_in(left)) if topic.words and topic.name in worded else []
        for word in named:
            mask = topic.words.meanings[word] if topic.words else 0
            yield _Found(mask, topic.name, True, left.find(f" {word} "), word)
            left = left.replace(f" {word} ", f" {'#' * len(word)} ")
        if named and cue is not None:
            left = cue.sub(_blot, left)
        elif not named and topic.any is not None and (said := topic.any.search(left)):
            yield _Found(_union(topic), topic.name, False, said.start())
            left = topic.any.sub(_blot, left)


def _blot(said: re.Match[str]) -> str:
    return "#" * len(said[0])


def _union(topic: _Topic) -> int:
    mask = 0
    for part in topic.words.meanings.values() if topic.words else ():
        mask |= part
    return mask


def _numbers(text: str) -> list[_Found]:
    """What the question compares with a number: people, a year, an age or a height."""
    from lmrlgym.envs.guess_my_city import above, everything

    compared = comparison(text)
    if compared is None:
        return []
    masks = sorted((above(compared.topic, limit) for limit in compared.limits), key=int.bit_count)
    mask = masks[0] if len(masks) == 1 else masks[1] & ~masks[0]
    is_worded = len(masks) == 1 and not compared.is_less
    return [_Found(everything() & ~mask if compared.is_less else mask, compared.topic, is_worded)]


# ---- the tables, read once ----


@cache
def _not_understood() -> tuple[str, ...]:
    from lmrlgym.envs.guess_my_city import NOT_UNDERSTOOD

    return (NOT_UNDERSTOOD,)


@cache
def _hints() -> tuple[tuple[str, ...], ...]:
    """[city] -> its possible answers to all open questions."""
    return tuple(tuple(chain.from_iterable(texts)) for texts in zip(*_open_answers().values(), strict=True))


@cache
def _open_answers() -> dict[str, tuple[tuple[str, ...], ...]]:
    from lmrlgym.envs.guess_my_city import open_topics

    return {name: topic.answers for name, topic in open_topics().items()}


@cache
def _open_cues() -> dict[str, re.Pattern[str]]:
    from lmrlgym.envs.guess_my_city import open_topics

    return {name: _pattern(topic.cue) for name, topic in open_topics().items()}


@cache
def _other_cities() -> Phrases:
    from lmrlgym.envs.guess_my_city import Phrases, folded, rows

    return Phrases({folded(row["name"]): None for row in rows("elsewhere") if row["kind"] == "city"})


@cache
def _topics() -> tuple[tuple[_Topic, ...], Phrases]:
    """The topics in the order in which they read, and word -> the names of the topics that know it."""
    from lmrlgym.envs.guess_my_city import Phrases, flags, listed, rows

    found, all_words = [], dict[str, list[str]]()
    for row in rows("questions"):
        masks = {} if row["topic"] in flags() else _words_of(row["topic"])
        for word in masks:
            all_words.setdefault(word, []).append(row["topic"])
        found.append(
            _Topic(
                row["topic"],
                _pattern(row["cue"]) if row["cue"] else None,
                _pattern(row["any"]) if row["any"] else None,
                flags().get(row["topic"]),
                Phrases(masks) if masks else None,
                tuple(f"Yes, {phrase}.\n" for phrase in listed(row["yes"], "|")),
                tuple(f"No, {phrase}.\n" for phrase in listed(row["no"], "|")),
            )
        )
    return tuple(found), Phrases(all_words)


def _words_of(topic: str) -> dict[str, int]:
    """Folded word -> the cities of which a topic is true by that word."""
    from lmrlgym.envs.guess_my_city import NUMBERS, countries_of, display, facts, folded, holding, rows

    if topic in NUMBERS:
        return {}
    found: dict[str, int] = {}
    masks, called = holding(topic), _CALLED_LIKE.get(topic, topic)
    if topic == "part":
        sides = [(a, b) for a in ("north", "south") for b in ("east", "west")]
        masks = masks | {f"{a}{b}": masks[a] & masks[b] for a, b in sides}
    for (about, value), words in display().items():
        for word in words if about == called and (value in masks or about == topic) else ():
            found[folded(word)] = found.get(folded(word), 0) | masks.get(value, 0)
    for value, mask in holding(topic).items():
        if (called, value) not in display() or topic in ("industries", "sports", "sport"):
            found[folded(value)] = found.get(folded(value), 0) | mask
    if topic in ("country", "neighbours"):
        abroad = [folded(row["name"]) for row in rows("elsewhere") if row["kind"] == "country"]
        found = dict.fromkeys(abroad, 0) | found
        for i, city in enumerate(facts()):
            for name in countries_of(city):
                other = 1 << i if topic == "country" else holding(topic).get(city["country"], 0)
                found[folded(name)] = found.get(folded(name), 0) | other
    if topic == "languages":
        found = dict.fromkeys(_UNSPOKEN, 0) | found
    if topic == "sights":
        found = {word.removeprefix("the "): mask for word, mask in found.items()} | found
    if topic in _COUNTED:
        other_number = {word[:-1] if word.endswith("s") else f"{word}s": mask for word, mask in found.items()}
        found = other_number | found
    return found


_CALLED_LIKE = {"buildings": "sight", "religion": "religions", "sport": "sports"}
"""Topics that use another one's words."""
_COUNTED = ("currency", "dishes")
"""Topics whose words may be singular or plural."""


_UNSPOKEN = (
    "albanian", "armenian", "bulgarian", "catalan", "croatian", "czech", "danish", "dutch", "esperanto",
    "estonian", "finnish", "georgian", "greek", "hebrew", "icelandic", "irish", "kazakh", "khmer",
    "klingon", "lao", "latvian", "lithuanian", "maltese", "maori", "mongolian", "nepali", "norwegian",
    "pashto", "polish", "serbian", "sinhala", "slovak", "slovene", "somali", "swedish", "welsh", "xhosa",
    "zulu",
)  # fmt: skip
"""Languages that no city of the table speaks, so that the answer can be no."""


def _pattern(cue: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{cue})(?!\w)")
