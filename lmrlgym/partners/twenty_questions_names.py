"""Questions for the letters of the name, and for the largest, fastest, ... of some objects."""

from __future__ import annotations

import re
from functools import cache

from lmrlgym.partners.twenty_questions_lexicon import clause
from lmrlgym.partners.twenty_questions_sizes import COUNTED, Truth, object_sizes

_LETTER = re.compile(
    r"\b(?P<how>starts?|begins?|beginning|starting|ends?|ending|finish(?:es)?|contains?|have|has|includes?)"
    r"(?: (?:with|in|by|on))?(?: (?:the|a|an))*(?: letters?)(?: of)? (?P<letter>[a-z])\b"
    r"|\b(?P<how2>starts?|begins?|beginning|starting|ends?|ending) (?:with|in) (?:(?:the|a|"
    r"an) )?(?P<letter2>[b-z]|a)$"
)
_LETTERS = re.compile(
    r"\b(?P<more>more|over|at least|longer)?(?P<less>less|fewer|under|at most|shorter)? ?(?:than )?"
    r"(?P<number>\d+|one|two|three|four|five|six|seven|eight|nine|ten|eleven|"
    r"twelve) (?P<unit>letters?|syllables?|words?)\b"
)


_SPELLED = frozenset((
    "letter", "letters", "syllable", "syllables", "word", "words", "vowel", "consonant", "start",
    "starts", "starting", "begin", "begins", "beginning", "end", "ends", "ending",
))  # fmt: skip
"""The patterns above need one of these."""


@cache
def _names() -> tuple[str, ...]:
    from lmrlgym.envs.twenty_questions import things

    return tuple(thing.name.lower() for thing in things())


def of_the_name(text: str, words: frozenset[str]) -> Truth | None:
    """Questions for the letters of the name: the first variant, blanks not counted.

    `words` are those of the text.
    """
    if _SPELLED.isdisjoint(words):
        return None
    names = _names()
    if match := _LETTER.search(text):
        how, letter = match["how"] or match["how2"], match["letter"] or match["letter2"]
        if how.startswith(("start", "begin")):
            hits = [name.startswith(letter) for name in names]
        elif how.startswith(("end", "finish")):
            hits = [name.endswith(letter) for name in names]
        else:
            hits = [letter in name for name in names]
    elif re.search(r"\b(?:starts?|begins?) with (?:a|an) (?:vowel|consonant)\b", text):
        hits = [(name[0] in "aeiou") == ("vowel" in text) for name in names]
    elif (match := _LETTERS.search(text)) and match["unit"].startswith(("letter", "word")):
        number = int(match["number"]) if match["number"].isdigit() else COUNTED.index(match["number"]) + 1
        is_words = match["unit"].startswith("word")
        counts = [len(name.split()) if is_words else len(name.replace(" ", "")) for name in names]
        more, less = match["more"], match["less"]
        low = number if more == "at least" or not (more or less) else number + 1 if more else 0
        high = number if less == "at most" or not (more or less) else number - 1 if less else max(counts)
        hits = [low <= count <= high for count in counts]
    elif re.search(r"\b(?:single|compound) word\b", text):
        hits = [(" " in name) == ("compound" in text) for name in names]
    else:
        return None
    mask = sum(1 << number for number, hit in enumerate(hits) if hit)
    return ~Truth(mask, mask) if "not" in text.split() else Truth(mask, mask)


_MOST = re.compile(
    r"\b(?:the )?(?:world s |worlds )?(?P<which>largest|biggest|smallest|tiniest|tallest|heaviest|"
    r"lightest|longest|"
    r"shortest|fastest|slowest|most expensive|cheapest)\b(?P<rest>.*)"
)
_MEASURE_OF = {
    "largest": (1, 1), "biggest": (1, 1), "smallest": (1, -1), "tiniest": (1, -1), "tallest": (0, 1),
    "heaviest": (2, 1),
    "lightest": (2, -1), "longest": (0, 1), "shortest": (0, -1), "fastest": (4, 1), "slowest": (4, -1),
    "most expensive": (3, 1), "cheapest": (3, -1),
}  # fmt: skip
_SUPERLATIVES = frozenset(name.split()[-1] for name in _MEASURE_OF)


def superlative(text: str, words: frozenset[str]) -> Truth | None:
    """The largest, fastest, ... of the objects that the rest of the question is true of."""
    match = None if _SUPERLATIVES.isdisjoint(words) else _MOST.search(text)
    if match is None:
        return None
    rest = re.sub(
        r"\b(?:in the world|on earth|known to man|ever|of all|in existence|one of the|one of)\b",
        " ",
        match["rest"],
    )
    among = clause(" ".join(rest.split())) if rest.strip() else Truth(-1, -1)
    if among is None:
        return None
    place, sign = _MEASURE_OF[match["which"]]
    sizes = object_sizes()
    left = [number for number in range(len(sizes)) if among.sure >> number & 1]
    if not left:
        return Truth(0, 0)
    best = max(sign * sizes[number][place] for number in left)
    mask = sum(
        1 << number for number in left if sign * sizes[number][place] >= best * (0.99 if sign > 0 else 1.01)
    )
    return Truth(mask, mask)
