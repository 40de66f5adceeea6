"""Numbers in questions about a city: how many people, which year, how old, how high.

Pure reading, without the table: what is compared, and with which limits.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PRESENT = 2025
"""The year from which ages count."""

_SMALL = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
_NUMBER_WORDS = {word: str(number) for number, word in enumerate(_SMALL, 1)} | {
    "half a": "0.5", "a": "1", "fifteen": "15", "twenty": "20", "thirty": "30", "fifty": "50",
    "hundred": "100",
}  # fmt: skip
_WORDED = re.compile(
    rf"\b({'|'.join(_NUMBER_WORDS)})\b(?= (?:million|billion|thousand|hundred|met|years|centur))"
)
_NUMBER = re.compile(
    r"(?<![\w.])(\d[\d,]*(?:\.\d+)?)\s*(?:(st|nd|rd|th)\b)?\s*"
    r"(million|billion|thousand|hundred|mio|m(?=\W|$)|k\b|bn\b)?"
)
_UNITS = {
    "million": 1e6, "mio": 1e6, "m": 1e6, "billion": 1e9, "bn": 1e9,
    "thousand": 1e3, "k": 1e3, "hundred": 100,
}  # fmt: skip
_LESS = re.compile(
    r"\b(?:less|under|below|fewer|smaller|lower|after|newer|younger|later|since|maximum|at most|up to)\b"
)
_AFTER = re.compile(r"\b(?:after|since|later|newer|younger)\b")
_BETWEEN = re.compile(r"\b(?:between|from)\b")
_PEOPLE = re.compile(r"\b(?:people|population|inhabitants|residents|citizens|live|million|persons)\b")
_HEIGHT = re.compile(r"\b(?:met(?:er|re)s?|feet|foot|ft|above sea|altitude|elevation)\b")
_METRES = re.compile(r"\d\s?m\b")
_AGE = re.compile(
    r"\b(?:founded|built|established|found|older|younger|newer|settled|years?|century|centuries|exist\w*|old|bc|ad"
    r"|bce|ce|created|date\w*|before|after|since)\b"
)
_NATION = re.compile(r"\b(?:country|nation|state)\b")
_IN_CENTURY = re.compile(r"\bin the \d+(?:st|nd|rd|th) century")
_CENTURIES = re.compile(r"centur(?:y|ies) (?:old|ago)")
_YEARS = re.compile(r"years old|years ago|old is|older than \d[\d,]* years")
_FEET = re.compile(r"\b(?:feet|foot|ft)\b")
_BEFORE_CHRIST = re.compile(r"\bb\.?c")
_CHRIST = re.compile(r"\bbefore (?:christ|the (?:common|christian) era)|\bin bc\b")
_DECADES = re.compile(r"\b\d{1,2}00'?s\b")
_AREA = re.compile(r"\b(?:square|sq|km2?|kilomet(?:er|re)s?|miles?)\b")


class Comparison(NamedTuple):
    """A topic with a number, and one limit, or two to be between; `is_less` if below the limit is meant.

    Limits are millions of people, years (to be founded before them) or metres.
    """

    topic: str
    limits: tuple[float, ...]
    is_less: bool = False


def comparison(text: str) -> Comparison | None:
    """What `text` compares with a number; None if nothing."""
    text = _WORDED.sub(lambda word: _NUMBER_WORDS[word[0]], text.casefold())
    text = _CHRIST.sub("before the year 1", text)
    said = list(_NUMBER.finditer(text))[:2]
    topic = _compared(text) if said and not _AREA.search(text) else None
    if topic is None:
        return None
    # "between 2 and 5 million": the unit is said once.
    limits = tuple(_limit(topic, number, number[3] or said[-1][3], text) for number in said)
    if topic == "founded" and (_IN_CENTURY.search(text) or _DECADES.search(text)):
        return Comparison(topic, (limits[0], limits[0] + 100))
    if len(limits) == 2 and _BETWEEN.search(text):
        return Comparison(topic, limits)
    is_age = _YEARS.search(text) or _CENTURIES.search(text)
    less = _AFTER if topic == "founded" and not is_age else _LESS
    return Comparison(topic, limits[:1], less.search(text) is not None)


def _compared(text: str) -> str | None:
    if _HEIGHT.search(text):
        return "elevation"
    if _PEOPLE.search(text):
        return "nation_population" if _NATION.search(text) else "population"
    if _METRES.search(text):
        return "elevation"
    return "founded" if _AGE.search(text) else None


def _limit(topic: str, number: re.Match[str], unit: str | None, text: str) -> float:
    value = float(number[1].replace(",", ""))
    if unit and not (topic == "elevation" and unit == "m"):
        value *= _UNITS[unit]
    if topic in ("population", "nation_population"):
        return value / 1e6
    if topic == "elevation":
        return value * 0.3048 if _FEET.search(text) else value
    if _CENTURIES.search(text):
        return PRESENT - 100 * value
    if _YEARS.search(text):
        return PRESENT - value
    if number[2] and "centur" in text:
        return -value * 100 if _BEFORE_CHRIST.search(text) else (value - 1) * 100
    return -value if _BEFORE_CHRIST.search(text) else value
