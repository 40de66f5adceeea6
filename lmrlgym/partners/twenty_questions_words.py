"""Words of a question: short forms written out, forms of a word brought together, empty words left out.

Phrases of the lexicon and questions go through the same functions, so a form need not be English.

Most patterns are for texts that hold a certain word or piece of one: they are only tried where it stands,
because a text without it is told so twenty times faster than by the pattern.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

_APOSTROPHES = re.compile(r"[’`´]")
_CAN_NOT = re.compile(r"\bcan'?t\b|\bcannot\b")
_SHORT_FORMS = (
    (re.compile(r"\bwon't\b"), "will not"),
    (re.compile(r"\bain't\b"), "is not"),
    (re.compile(r"n't\b"), " not"),
    (re.compile(r"\b(it|he|she|that|there|what|who|where|how|here)'s\b"), r"\1 is"),
    (re.compile(r"'re\b"), " are"),
    (re.compile(r"'ve\b"), " have"),
    (re.compile(r"'d\b"), " would"),
    (re.compile(r"'ll\b"), " will"),
    (re.compile(r"\b(i)'m\b"), r"\1 am"),
    (re.compile(r"'s\b|s'(?=\s)"), "s"),
)
_NOT_MADE = "".join(
    f"(?<!{word} )"
    for word in (
        "made",
        "built",
        "created",
        "invented",
        "designed",
        "produced",
        "constructed",
        "manufactured",
    )
)
"""What people made is artificial; what they eat, wear or use is so without them."""
_TOGETHER = (
    (" o", r"(?:turn|switch|power)(?:ed|s)? (?:it |them |this )?(?:on|off)", "turnon"),
    ("plug", r"plug(?:ged|s)? (?:it |them |this )?in(?:to)?(?! the wall| a wall| an outlet)", "plugin"),
    ("pick", r"pick(?:ed|s)? (?:it |them |this |that )?up", "lift"),
    ("kind", r"man ?kind", "human"),
    ("t shirt", r"t shirt", "tshirt"),
    ("craft", r"arts? and crafts?", "craft"),
    ("made", r"made (?:up )?(?:out )?of|made (?:up )?from|made with|made using", "made of"),
    ("held", r"hand ?held", "handheld"),
    ("household", r"household", "house"),
    (" of", r"(?:kind|type|sort|form|variety|species|breed|style|example)s? of", ""),
    ("to ", r"(?:in order )?to (?:run|work|function|operate|be used|use it|use|be useful)(?= |$)", ""),
    (
        " of",
        r"(?:falls?|fits?|goes?|comes?) (?:under|into|in) (?:the |a )?(?:category|class|group|heading) of",
        "be",
    ),
    (" of", r"(?:in|part of|under|of) (?:the |a )?(?:category|class|group|family) of", ""),
    ("outside of", r"outside of", "outside"),
    ("inside of", r"inside of", "inside"),
    (" of", r"a lot of|lots of|plenty of|a bunch of", "many"),
    ("bigger in", r"bigger in size than", "bigger than"),
    (" or ", r"yes or no|true or false", ""),
    ("more than", r"more than one", "multiple"),
    (
        "least one| any|some |at all|general",
        r"at least one|in any way|of any kind|of some kind|of some sort|at all|in general|by any chance",
        "",
    ),
    ("da", r"on a daily basis|day to day|each day", "every day"),
    (
        "by ",
        rf"{_NOT_MADE}by (?:a )?(?:people|humans?|persons?|human beings?|individuals|someone|you|us)",
        "",
    ),
    (
        "animate|edible|living|natural|human|electr|metal|organic|flexible",
        r"(?:in|non|un)(animate|edible|living|natural|human|electronic|electric|metallic|metal|organic|flexible)",
        r"not \1",
    ),
    (" enough", r"(?:big|small|large|light|heavy|strong|sharp|long|soft|hard|safe) enough (?:to|for)", ""),
)
_MERGED = tuple(
    (piece, re.compile(rf"\b(?:{pattern})\b"), said)
    for pieces, pattern, said in _TOGETHER
    for piece in [tuple(pieces.split("|"))]
)
"""Pieces of which the text must hold one, the pattern, and what is said instead."""

SUBJECT, OBJECT = "~it does", "~does it"
"""Marks of who does what: `can it climb` and `can you climb it`."""


@cache
def words_of(name: str) -> frozenset[str]:
    """A class of words: a row of `word_classes.csv`."""
    from lmrlgym.envs.twenty_questions import rows_of, split_cell

    return {row["class"]: frozenset(split_cell(row["words"])) for row in rows_of("word_classes.csv")}[name]


def is_negated(words: Iterable[str]) -> bool:
    """Whether an odd number of the words turns the answer round."""
    negations = words_of("negations")
    return len([word for word in words if word in negations]) % 2 == 1


def without_negations(words: Iterable[str]) -> list[str]:
    """The words that do not turn the answer round."""
    negations = words_of("negations")
    return [word for word in words if word not in negations]


def bag(text: str) -> frozenset[str]:
    """The words of a plain text, to be asked whether a pattern is worth trying."""
    return frozenset((text.replace("$", " ") if "$" in text else text).split())


def is_strict(question: str) -> bool:
    """Whether what is only sometimes true is not enough."""
    return not words_of("strict").isdisjoint(question.lower().split())


def plain(text: str) -> str:
    """Lower case, short forms written out, letters, digits, commas and single blanks only."""
    text = _APOSTROPHES.sub("'", text.lower())
    if "can" in text:
        text = _CAN_NOT.sub("can not", text)
    if "'" in text:
        for pattern, said in _SHORT_FORMS:
            text = pattern.sub(said, text)
    if "," in text:
        text = _THOUSANDS.sub("", text)
    if "." in text:
        text = _USA.sub("usa", text)
    text = _OTHER.sub(" ", text)
    if "." in text:
        text = _STOP.sub(" . ", text)
    for pieces, pattern, said in _MERGED:
        for piece in pieces:
            if piece in text:
                text = pattern.sub(said, text)
                break
    return " ".join((text.replace(",", " , ") if "," in text else text).split())


_THOUSANDS = re.compile(r"(?<=\d),(?=\d{3})")
_USA = re.compile(r"\bu\.?s\.?a?\.(?!\w)")
_OTHER = re.compile(r"[^a-z0-9,$.?!;\n]{2,}|[^a-z0-9,$.?!;\n ]")
"""Runs of other characters, but for a single blank, which may stay."""
_STOP = re.compile(r"(?<!\d)\.|\.(?!\d)")


@cache
def _forms() -> dict[str, str]:
    """Word -> what it is read as: `words.csv`."""
    from lmrlgym.envs.twenty_questions import rows_of, split_cell

    return {word: row["read_as"] for row in rows_of("words.csv") for word in split_cell(row["words"])}


_VOWEL = re.compile(r"[aeiouy]")
_DOUBLED = re.compile(r"([bdgmnprt])\1$")


@lru_cache(1 << 15)
def root(word: str) -> str:
    """One form for all forms of a word: `slices`, `sliced` and `slicing` are `slic`."""
    forms = _forms()
    if word in forms:
        return _cut(forms[word])
    single = _singular(word)
    if single in forms:
        return _cut(forms[single])
    for ending in ("ing", "ed"):
        stem = single.removesuffix(ending)
        if stem != single and len(stem) >= 3 and _VOWEL.search(stem) and not single.endswith("eed"):
            for form in (_DOUBLED.sub(r"\1", stem), stem, f"{stem}e"):
                if form in forms:
                    return _cut(forms[form])
            return _cut(_DOUBLED.sub(r"\1", stem))
    return _cut(single)


def _cut(word: str) -> str:
    if len(word) > 4 and word.endswith("e"):
        return word[:-1]
    return f"{word[:-1]}i" if len(word) > 4 and word.endswith("y") else word


def _singular(word: str) -> str:
    if len(word) > 4 and word.endswith("ies"):
        return f"{word[:-3]}y"
    if len(word) > 4 and word.endswith(("xes", "ches", "shes", "sses", "zes")):
        return word[:-2]
    if len(word) > 3 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


@cache
def _light_roots() -> frozenset[str]:
    return frozenset(root(word) for word in sorted(words_of("light")))


def is_light(form: str) -> bool:
    """Whether a root is of a word that may be left out."""
    return form in _light_roots()


def is_mark(form: str) -> bool:
    """Whether a root is a mark, which says something only in a phrase that has it too."""
    return form.startswith("~")


def content(words: Sequence[str]) -> tuple[str, ...]:
    """The roots of the words that say something, and marks; negations are left out."""
    empty, said = words_of("empty"), _said
    found = []
    for number, word in enumerate(words):
        one = said(word)
        if one:
            found.append(one)
        elif word == "it" and number:
            before = words[number - 1]
            if before in words_of("helpers") and empty.issuperset(words[:number]):
                found.append(SUBJECT)
            elif before not in empty:
                found.append(OBJECT)
        elif word == "people" and not empty.issuperset(words[:number]):
            # Whom it is for says something, who does it does not.
            found.append(root("person"))
    return tuple(found)


@lru_cache(1 << 15)
def _said(word: str) -> str:
    """The root or the mark of a word by itself; nothing if it says nothing, or it depends on the others."""
    if word in ("it", "people"):
        return ""
    if word in words_of("places"):
        return f"~{word}"
    is_silent = any(word in words_of(name) for name in ("empty", "negations", "adverbs"))
    return "" if is_silent else root(word)
