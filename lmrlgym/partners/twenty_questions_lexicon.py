"""Questions without measures: guesses, phrases of the lexicon, and both joined by "or" and "and"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from lmrlgym.partners import twenty_questions_words as reading
from lmrlgym.partners.twenty_questions_sizes import MEASURED, Truth

_NONE = Truth(0, 0)
_LONGEST_PHRASE = 7
_MOST_WORDS = 14
"""More words than these are not put together from phrases."""
_BEFORE_GUESS = frozenset((
    "is", "are", "was", "were", "could", "can", "might", "may", "would", "will", "must", "should", "be",
    "it", "this", "that", "being", "actually", "really", "just", "maybe", "by", "any", "chance",
    "something", "one", "thing", "object", "sure", "definitely", "simply", "possibly", "probably",
    "perhaps", "like", "called", "considered", "known", "as", "to", "also", "usually", "basically",
    "say", "then", "there", "do", "you", "mean",
))  # fmt: skip
_ARTICLES = frozenset((
    "a", "an", "the", "some", "any", "my", "your", "another", "ones",
))  # fmt: skip
_COUNTERS = frozenset((
    "kind", "kinds", "type", "types", "sort", "sorts", "form", "forms", "piece", "pieces", "pair",
    "pairs", "set", "sets", "slice", "slices", "bunch", "bit", "bits", "item", "items", "sheet",
    "sheets", "bottle", "bottles", "tube", "tubes", "stick", "sticks", "block", "blocks", "bag", "bags",
    "breed", "breeds", "brand", "brands", "varieties", "variety", "species", "style", "model", "models",
    "stalk", "stalks", "head", "heads", "ear", "ears", "bodies", "body",
))  # fmt: skip
_SECOND_ARTICLES = frozenset(("a", "an", "the", "some", "two"))


# ---- clauses ----


def clause(text: str) -> Truth | None:
    """A sentence, or a part of one, without measures."""
    words = [word for word in text.split() if word != ","]
    parts = [] if _JOINTS.isdisjoint(reading.bag(text)) else _split(text)
    if len(parts) > 1:
        # "Bread and butter" is one thing, "black or white" two.
        reads = (_joined, _direct) if any(part.joint == "or" for part in parts) else (_direct, _joined)
        for read in reads:
            if (found := read(parts)) is not None:
                return found
    whole = _simple(words)
    return None if whole is None else whole[0]


_JOINTS = frozenset(("or", "and", "but", "nor", ","))


def _direct(parts: Sequence[_Part]) -> Truth | None:
    """A question with "or" or "and" that as a whole is a guess or a phrase."""
    words = [word for part in parts for word in part.words]
    is_negated = reading.is_negated(words)
    words = reading.without_negations(words)
    guess = _guess(words)
    found = guess[0] if guess is not None else _lookup(reading.content(words))
    return None if found is None else ~found if is_negated else found


class _Part(NamedTuple):
    joint: str
    """"", "or" or "and": how it is joined to the part before."""
    words: list[str]


def _split(text: str) -> list[_Part]:
    text = re.sub(r"\beither\b|\bboth\b", " ", text)
    pieces = re.split(r"\b(and/or|or|and|but|nor)\b|(,)", text)
    pieces = [piece.strip() for piece in pieces if piece and piece.strip()]
    joint = ""
    parts: list[_Part] = []
    for piece in pieces:
        if piece in ("and/or", "or", "nor", "and", "but", ","):
            named = {"but": "and", "nor": "or", ",": ","}.get(piece, piece)
            joint = named if joint in ("", ",") else joint
        else:
            parts.append(_Part(joint if parts else "", piece.split()))
            joint = ""
    # A comma means what the next joint means: "a, b or c".
    later = "or"
    for number in range(len(parts) - 1, 0, -1):
        if parts[number].joint == ",":
            parts[number] = _Part(later, parts[number].words)
        later = parts[number].joint
    return parts


def _joined(parts: Sequence[_Part]) -> Truth | None:
    """All parts; `not` in the first turns the whole round, in a later one only that."""
    stripped = [reading.without_negations(part.words) for part in parts]
    first = stripped[0]
    found = _read_part(first, [], stripped[1])
    if found is None:
        return None
    is_negated = reading.is_negated(parts[0].words)
    for part, said in zip(parts[1:], stripped[1:], strict=True):
        more = _read_part(said, first, [])
        if more is None:
            return None
        more = ~more if reading.is_negated(part.words) and not is_negated else more
        found = found | more if part.joint == "or" else found & more
    return ~found if is_negated else found


def _read_part(words: list[str], before: list[str], after: list[str]) -> Truth | None:
    """One part around a joint, with what it shares with the part before it, or with the noun after it."""
    tries = [words]
    if before:
        tries = [before[: len(before) - cut] + words for cut in range(1, min(4, len(before)))]
        tries.append(words)
    elif after and len(after) > 1:
        tries.append(words + after[-1:])
    poor = None
    for attempt in tries:
        found = _simple(attempt)
        if found is not None and found[1]:
            return found[0]
        poor = found if poor is None else poor
    alone = _simple(words)
    if alone is not None and alone[1]:
        return alone[0]
    return None if poor is None else poor[0]


def _simple(words: list[str]) -> tuple[Truth, bool] | None:
    """What is asked without joints, and whether every word was read; None if too little was."""
    is_negated = reading.is_negated(words)
    words = reading.without_negations(words)
    found = _guess(words) or _covered(words)
    if found is None:
        return None
    return (~found[0], found[1]) if is_negated else found


def _guess(words: list[str]) -> tuple[Truth, bool] | None:
    """ "Is it", articles, counters ("a pair of"), and a name; the last word is always of the name."""
    last, at = len(words) - 1, 0
    if last < 0:
        return None
    while at < last and words[at] in _BEFORE_GUESS:
        at += 1
    articles_at = at
    while at < last and words[at] in _ARTICLES:
        at += 1
    has_article = at > articles_at
    while at + 1 < last and words[at + 1] == "of" and words[at] in _COUNTERS:
        at += 2
    if at < last and words[at] in _SECOND_ARTICLES:
        at += 1
    name = " ".join(words[at:])
    if name in ("orange", "gold", "silver") and not has_article:
        return None
    guesses, elsewhere = _guesses(), _elsewhere()
    for form in (name, name.removesuffix("s"), name.removesuffix("es")):
        if form in guesses:
            return guesses[form], True
    is_noun = has_article or len(words) == 1 or words[0] == "are"
    if is_noun and (name in elsewhere or name.removesuffix("s") in elsewhere):
        return _NONE, True
    return None


@cache
def _guesses() -> dict[str, Truth]:
    """A name in plain words -> the object of that name; an alias of several means all of them."""
    from lmrlgym.envs.twenty_questions import things

    found: dict[str, Truth] = {}
    for is_own in (True, False):
        for number, thing in enumerate(things()):
            own = Truth(1 << number, 1 << number)
            for name in thing.variants if is_own else thing.also_called:
                plain = reading.plain(name)
                found[plain] = own if is_own else found.get(plain, _NONE) | own
    return found


@cache
def _elsewhere() -> frozenset[str]:
    from lmrlgym.resources import data_path

    lines = data_path("twenty_questions", "elsewhere.txt").read_text(encoding="utf-8").splitlines()
    return frozenset(reading.plain(line) for line in lines)


# ---- the lexicon ----

Key = frozenset[str]


class _Lexicon(NamedTuple):
    whole: dict[Key, Truth]
    """All content words of a phrase -> what it says."""
    bare: dict[Key, Truth]
    """The same without marks, or also without light words."""
    weak: frozenset[Key]
    """Single words that are left of phrases without their light words."""
    negated: dict[Key, Truth]
    """The words without marks of a phrase with `not` or `without` in it -> what the phrase says."""
    cores: frozenset[Key]
    """The words of phrases that are neither marks nor light."""
    company: dict[str, Key]
    """Such a word -> all those that stand in a phrase with it."""


@cache
def _lexicon() -> _Lexicon:
    phrases = []
    negated: dict[Key, Truth] = {}
    for words, said in _phrases():
        if reading.is_negated(words):
            negated.setdefault(_unmarked(reading.content(words)), said)
        else:
            phrases.append((words, reading.content(words), said))
    # What is said in so many words goes before what is left of a longer phrase.
    phrases.sort(key=lambda one: len(one[0]) - len(one[1]))
    whole: dict[Key, Truth] = {}
    bare: dict[Key, Truth] = {}
    for _, roots, said in phrases:
        whole.setdefault(frozenset(roots), said)
    for _, roots, said in phrases:
        bare.setdefault(_unmarked(roots), said)
    firm = set(bare)
    for _, roots, said in phrases:
        bare.setdefault(_core(roots), said)
    weak = frozenset(key for key in bare if key not in firm and len(key) == 1)
    for key, said in negated.items():
        # "Not silent" says what is silent.
        whole.setdefault(key, ~said)
    cores = frozenset(_core(key) for key in (*whole, *bare))
    company: dict[str, Key] = {}
    for core in cores:
        for root in core:
            company[root] = company.get(root, core) | core
    return _Lexicon(whole, bare, weak, negated, cores, company)


def _phrases() -> Iterator[tuple[list[str], Truth]]:
    """The plain words of every phrase, and what it says."""
    from lmrlgym.envs.twenty_questions import facts, rows_of, split_cell

    for row in rows_of("phrases.csv"):
        name = row["attribute"]
        fact = facts().get(name)
        said = MEASURED[name]() if fact is None else Truth(fact.yes, fact.yes | fact.either)
        for phrase in split_cell(row["phrases"]):
            yield reading.plain(phrase).split(), said


def _unmarked(roots: Iterable[str]) -> Key:
    return frozenset([root for root in roots if not reading.is_mark(root)])


def _core(roots: Iterable[str]) -> Key:
    return frozenset([root for root in roots if _cost_unread(root) == 1])


def negated_phrase(words: Sequence[str]) -> Truth | None:
    """What a phrase with `not` or `without` in it says, if the words are one: `eat it without cooking`."""
    if not reading.is_negated(words):
        return None
    return _lexicon().negated.get(_unmarked(reading.content(words)))


@lru_cache(1 << 15)
def _lookup(roots: tuple[str, ...], *, is_weak: bool = False) -> Truth | None:
    """What a phrase of these roots says; marks, and then light words, may be left out.

    `is_weak`: also if one word is left of the phrase, and no phrase is that word.
    """
    lexicon = _lexicon()
    core = _core(roots)
    if core not in lexicon.cores:
        return None
    for kept in _fewer(roots):
        found = lexicon.whole.get(kept)
        if found is not None:
            return found
    if not core or (core in lexicon.weak and not is_weak):
        return None
    for found in (lexicon.bare.get(_unmarked(roots)), lexicon.whole.get(core), lexicon.bare.get(core)):
        if found is not None:
            return found
    return None


def _fewer(roots: Sequence[str]) -> Iterator[Key]:
    """All roots; without who does what; without places; without all marks."""
    yield frozenset(roots)
    if any(reading.is_mark(root) for root in roots):
        yield frozenset(root for root in roots if root not in (reading.SUBJECT, reading.OBJECT))
        yield frozenset(
            root for root in roots if not reading.is_mark(root) or root in (reading.SUBJECT, reading.OBJECT)
        )
        yield frozenset(root for root in roots if not reading.is_mark(root))


class _Cover(NamedTuple):
    unread: float
    """How many words were not read, light ones not counted."""
    phrases: tuple[Truth, ...]
    read: int


@lru_cache(1 << 15)
def _cost_unread(root: str) -> float:
    return 0.0 if reading.is_mark(root) else 0.01 if reading.is_light(root) else 1.0


def _covered(words: list[str]) -> tuple[Truth, bool] | None:
    """The question as one phrase, or as several that must all be true, and whether every word was read."""
    roots = reading.content(words)
    if not roots:
        return None
    said = _lookup(roots)
    if said is not None:
        return said, True
    found = _cover(roots) if len(roots) <= _MOST_WORDS else None
    if found is not None:
        return _all_true(found.phrases), found.unread < 1
    said = _lookup(roots, is_weak=True)
    return None if said is None else (said, True)


def _earliest(roots: Sequence[str], costs: Sequence[float], end: int) -> int:
    """Where a phrase that ends before `end` may begin: all its words must stand together in some phrase."""
    company = _lexicon().company
    together: Key | None = None
    first = end
    while first > max(0, end - _LONGEST_PHRASE):
        root = roots[first - 1]
        if costs[first - 1] == 1:
            if root not in company or (together is not None and root not in together):
                break
            together = company[root] if together is None else together & company[root]
        first -= 1
    return first


def _cover(roots: tuple[str, ...]) -> _Cover | None:
    """The phrases that leave fewest words unread, and of those the fewest; None if too much is unread."""
    best: list[_Cover] = [_Cover(0, (), 0)]
    costs = [_cost_unread(root) for root in roots]
    for end in range(1, len(roots) + 1):
        before = best[end - 1]
        least = _Cover(before.unread + costs[end - 1], before.phrases, before.read)
        for start in range(_earliest(roots, costs, end), end):
            said = _lookup(roots[start:end])
            if said is None or max(costs[start:end]) < 1:
                continue  # light words and marks by themselves say nothing
            left = best[start]
            if (left.unread, len(left.phrases) + 1) < (least.unread, len(least.phrases)):
                least = _Cover(left.unread, (*left.phrases, said), left.read + end - start)
        best.append(least)
    found = best[-1]
    too_little = not found.phrases or (found.unread >= 1 and found.unread > found.read / 2)
    return None if too_little else found


def _all_true(phrases: Sequence[Truth]) -> Truth:
    """What all phrases say. Where that is nothing, one was not meant so: the one that says least counts.

    Kinds of things are always meant: there is no `animal with wheels`.
    """
    joined = phrases[0]
    for said in phrases[1:]:
        joined = joined & said
    if joined.may or any(said in _kinds() for said in phrases) or not all(said.may for said in phrases):
        return joined
    return min(phrases, key=lambda said: said.may.bit_count())


@cache
def _kinds() -> frozenset[Truth]:
    from lmrlgym.envs.twenty_questions import facts

    return frozenset(Truth(facts()[name].yes, facts()[name].yes | facts()[name].either) for name in _KINDS)


_KINDS = (
    *(
        "living",
        "animal",
        "mammal",
        "pet",
        "plant",
        "food",
        "fruit",
        "vegetable",
        "vehicle",
        "clothing",
        "jewelry",
    ),
    *(
        "electronic",
        "appliance",
        "machine",
        "instrument",
        "furniture",
        "kitchen_tool",
        "utensil",
        "toy",
        "tool",
    ),
    *("sports_equipment", "ball", "container", "body_of_water", "place", "manmade", "natural", "weapon"),
)
"""Attributes that are kinds of things."""
