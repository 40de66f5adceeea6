"""Words of a question: short forms written out, forms of a word brought together, empty words left out.

Phrases of the lexicon and questions go through the same functions, so a form need not be English.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache, lru_cache

_SHORT_FORMS = (
    (re.compile(r"[’`´]"), "'"),
    (re.compile(r"\bcan'?t\b|\bcannot\b"), "can not"),
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
    (r"(?:turn|switch|power)(?:ed|s)? (?:it |them |this )?(?:on|off)", "turnon"),
    (r"plug(?:ged|s)? (?:it |them |this )?in(?:to)?(?! the wall| a wall| an outlet)", "plugin"),
    (r"pick(?:ed|s)? (?:it |them |this |that )?up", "lift"),
    (r"man ?kind", "human"),
    (r"t shirt", "tshirt"),
    (r"arts? and crafts?", "craft"),
    (r"made (?:up )?(?:out )?of|made (?:up )?from|made with|made using", "made of"),
    (r"hand ?held", "handheld"),
    (r"household", "house"),
    (r"(?:kind|type|sort|form|variety|species|breed|style|example)s? of", ""),
    (r"(?:in order )?to (?:run|work|function|operate|be used|use it|use|be useful)(?= |$)", ""),
    (
        r"(?:falls?|fits?|goes?|comes?) (?:under|into|in) (?:the |a )?(?:category|class|group|heading) of",
        "be",
    ),
    (r"(?:in|part of|under|of) (?:the |a )?(?:category|class|group|family) of", ""),
    (r"outside of", "outside"),
    (r"inside of", "inside"),
    (r"a lot of|lots of|plenty of|a bunch of", "many"),
    (r"bigger in size than", "bigger than"),
    (r"yes or no|true or false", ""),
    (r"more than one", "multiple"),
    (r"at least one|in any way|of any kind|of some kind|of some sort|at all|in general|by any chance", ""),
    (r"on a daily basis|day to day|each day", "every day"),
    (rf"{_NOT_MADE}by (?:a )?(?:people|humans?|persons?|human beings?|individuals|someone|you|us)", ""),
    (
        r"(?:in|non|un)(animate|edible|living|natural|human|electronic|electric|metallic|metal|organic|flexible)",
        r"not \1",
    ),
    (r"(?:big|small|large|light|heavy|strong|sharp|long|soft|hard|safe) enough (?:to|for)", ""),
)
_MERGED = tuple((re.compile(rf"\b(?:{pattern})\b"), said) for pattern, said in _TOGETHER)

SUBJECT, OBJECT = "~it does", "~does it"
"""Marks of who does what: `can it climb` and `can you climb it`."""


@cache
def words_of(name: str) -> frozenset[str]:
    """A class of words: a row of `word_classes.csv`."""
    from lmrlgym.envs.twenty_questions import rows_of, split_cell

    return {row["class"]: frozenset(split_cell(row["words"])) for row in rows_of("word_classes.csv")}[name]


def is_negated(words: Iterable[str]) -> bool:
    """Whether an odd number of the words turns the answer round."""
    return sum(word in words_of("negations") for word in words) % 2 == 1


def is_strict(question: str) -> bool:
    """Whether what is only sometimes true is not enough."""
    return not words_of("strict").isdisjoint(question.lower().split())


def plain(text: str) -> str:
    """Lower case, short forms written out, letters, digits, commas and single blanks only."""
    text = text.lower()
    for pattern, said in _SHORT_FORMS:
        text = pattern.sub(said, text)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"\bu\.?s\.?a?\.(?!\w)", "usa", text)
    text = re.sub(r"[^a-z0-9,$.?!;\n]+", " ", text)
    text = re.sub(r"(?<!\d)\.|\.(?!\d)", " . ", text)
    for pattern, said in _MERGED:
        text = pattern.sub(said, text)
    return " ".join(text.replace(",", " , ").split())


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
    empty, places = words_of("empty"), words_of("places")
    silent = empty | words_of("negations") | words_of("adverbs")
    found = []
    for number, word in enumerate(words):
        if word == "it" and number:
            before = words[number - 1]
            if before in words_of("helpers") and empty.issuperset(words[:number]):
                found.append(SUBJECT)
            elif before not in empty:
                found.append(OBJECT)
        elif word == "people":
            # Whom it is for says something, who does it does not.
            if not empty.issuperset(words[:number]):
                found.append(root("person"))
        elif word in places:
            found.append(f"~{word}")
        elif word not in silent:
            found.append(root(word))
    return tuple(found)
