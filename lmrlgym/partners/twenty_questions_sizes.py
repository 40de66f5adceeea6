"""Questions of measure: comparisons, numbers with units, what fits where, what one can lift.

Sizes of the objects stand in `objects.csv`, those of other things in `sizes.csv`. "Bigger" compares volumes,
"longer" and "taller" the longest side.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from lmrlgym.partners.twenty_questions_words import bag


class Truth(NamedTuple):
    """Of which objects something is true (`sure`), and of which it may be (`may`, those included)."""

    sure: int
    may: int

    def __and__(self, other: Truth) -> Truth:
        return Truth(self.sure & other.sure, self.may & other.may)

    def __or__(self, other: Truth) -> Truth:
        return Truth(self.sure | other.sure, self.may | other.may)

    def __invert__(self) -> Truth:
        return Truth(~self.may, ~self.sure)


class Size(NamedTuple):
    """What a thing measures."""

    length_cm: float
    volume_l: float
    weight_kg: float
    price_usd: float
    speed_kmh: float


COUNTED = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
SPEEDS = {
    "Cat": 40, "Dog": 45, "Horse": 65, "Cow": 25, "Sheep": 30, "Rabbit": 45, "Lion": 70, "Tiger": 60,
    "Bear": 50, "Elephant": 35, "Car": 160, "Truck": 120, "Motorcycle": 180, "Boat": 60, "Airplane": 900, 
    "Train": 200,
    "Bus": 100, "Helicopter": 250, "Scooter": 20, "Ship": 40, "River": 5, "Meteorite": 40000,
}  # fmt: skip
"""Top speeds in km/h, roughly; all other objects stand still."""


@cache
def object_sizes() -> tuple[Size, ...]:
    """The size of every object, in order. What nobody buys has no price (0)."""
    from lmrlgym.envs.twenty_questions import things

    return tuple(
        Size(t.length_cm, t.volume_l, t.weight_kg, _price(t.price_usd), SPEEDS.get(t.name, 0))
        for t in things()
    )


def _price(price_usd: float) -> float:
    return price_usd if price_usd < 1e8 else 0.0


@cache
def known_sizes() -> dict[str, Size]:
    """Name -> size: of the objects, by all their names, and of the other things in `sizes.csv`."""
    from lmrlgym.envs.twenty_questions import rows_of, split_cell, things

    found = {}
    for row in rows_of("sizes.csv"):
        columns = ("length_cm", "volume_l", "weight_kg", "price_usd", "speed_kmh")
        for name in split_cell(row["thing"]):
            found[name] = Size(*(float(row[column]) for column in columns))
    for thing, size in zip(things(), object_sizes(), strict=True):
        for name in (*thing.also_called, *thing.variants):
            key = name.lower().replace("'", "").replace("-", " ")
            if name in thing.variants or key not in found:
                found[key] = size
    return found


def _where(holds: Callable[[Size], bool]) -> int:
    return sum(1 << number for number, size in enumerate(object_sizes()) if holds(size))


def truth(sure: Callable[[Size], bool], may: Callable[[Size], bool] | None = None) -> Truth:
    """`sure` and `may` of every object's size; `may` None: there is nothing in between."""
    yes = _where(sure)
    return Truth(yes, yes if may is None else yes | _where(may))


MEASURED: dict[str, Callable[[], Truth]] = {
    "big": lambda: truth(lambda s: s.volume_l >= 60, lambda s: s.volume_l >= 18),
    "very_big": lambda: truth(lambda s: s.volume_l >= 900, lambda s: s.volume_l >= 300),
    "small": lambda: truth(lambda s: s.volume_l <= 3.5, lambda s: s.volume_l <= 20),
    "very_small": lambda: truth(lambda s: s.volume_l <= 0.05, lambda s: s.volume_l <= 0.2),
    "medium": lambda: truth(lambda s: 2 <= s.volume_l <= 100, lambda s: 0.5 <= s.volume_l <= 300),
    "heavy": lambda: truth(lambda s: s.weight_kg >= 20, lambda s: s.weight_kg >= 8),
    "lightweight": lambda: truth(lambda s: s.weight_kg <= 1.6, lambda s: s.weight_kg <= 3),
    "tall": lambda: truth(lambda s: s.length_cm >= 160 and s.volume_l > 50, lambda s: s.length_cm >= 100),
    "short": lambda: truth(lambda s: s.length_cm <= 30, lambda s: s.length_cm <= 70),
    "expensive": lambda: truth(lambda s: s.price_usd >= 800, lambda s: s.price_usd >= 250),
    "cheap": lambda: truth(lambda s: 0 <= s.price_usd <= 20, lambda s: s.price_usd <= 60),
    "lift": lambda: truth(lambda s: s.weight_kg <= 30, lambda s: s.weight_kg <= 60),
    "hard_to_carry": lambda: truth(lambda s: s.weight_kg > 15 or s.volume_l > 250, lambda s: s.weight_kg > 6),
    "one_hand": lambda: truth(lambda s: s.weight_kg <= 2.2 and s.volume_l <= 6.6, lambda s: s.weight_kg <= 5
                              and s.volume_l <= 14),
    "in_hands": lambda: truth(lambda s: s.weight_kg <= 5 and s.volume_l <= 14, lambda s: s.weight_kg <= 15
                              and s.volume_l <= 45),
    "palm": lambda: truth(lambda s: s.length_cm <= 11 and s.volume_l <= 0.5, lambda s: s.length_cm <= 16
                          and s.volume_l <= 0.5),
    "afford": lambda: truth(lambda s: 0 < s.price_usd <= 1500, lambda s: s.price_usd <= 40000),
    "hand_size": lambda: truth(lambda s: 3 <= s.length_cm <= 25 and s.volume_l <= 1.2),
}  # fmt: skip
"""Attributes that are read off the sizes."""

_DETERMINERS = (
    r"(?:(?:a|an|the|your|my|one|ones|most|average|typical|standard|normal|regular|someones|peoples|"
    r"persons) )*"
)
_ONLY_FITS = ("fit", "squeez", "slip")
_SMALL_CONTAINERS = frozenset(
    ("pocket", "wallet", "purse", "handbag", "mouth", "backpack", "bag", "suitcase", "shoebox", "palm")
)


@cache
def _containers() -> dict[str, tuple[float, float]]:
    """Where things fit: the longest side in cm and the volume in litres."""
    from lmrlgym.envs.twenty_questions import rows_of

    return {
        row["container"]: (float(row["length_cm"]), float(row["volume_l"]))
        for row in rows_of("containers.csv")
    }


_FITTING = (
    "fit|fits|fitting|fitted|put|carry|carried|keep|kept|place|placed|go|slip|squeeze|store|stored|stuff"
)


@cache
def _fits() -> re.Pattern[str]:
    names = "|".join(sorted(_containers(), key=len, reverse=True))
    return re.compile(
        rf"\b(?:{_FITTING})\b"
        r"(?: \w+){0,3}? (?:in|inside|into|within|through|under|on) (?:the (?:size|inside) of )?"
        rf"{_DETERMINERS}(?:\w+ )?({names})s?\b"
    )


_HAND = re.compile(
    r"\b(?:hold|held|holds|fit|fits|lift|lifted|carry|carried|pick|grab|grip|hold it|holding|"
    r"contained)\b(?: \w+){0,4}? "
    r"(?:(?:in|with|inside|into|by|using|within) )?(?P<which>(?:just |only |a |the |your |my |"
    r"someones )*(?:(?:one|single|"
    r"both|two|human|persons|palm of)? ?(?:your |my |the |a )?)?(?:hands?|palms?))\b"
)
_MORE = (
    r"bigger|larger|greater|heavier|taller|longer|wider|thicker|faster|quicker|more expensive|pricier|"
    r"costlier|higher"
)
_LESS = r"smaller|tinier|lighter|shorter|thinner|narrower|slower|less expensive|cheaper|littler"
_DIRECTIONS = rf"{_MORE}|{_LESS}|more|less|over|under|above|below|at least|at most|up to|exceed|exceeds|fewer"
_COLUMNS = (
    (
        "length_cm",
        r"taller|longer|shorter|wider|narrower|thicker|thinner|higher|tall|long|short|wide|high|"
        r"length|height",
    ),
    ("weight_kg", r"heavier|lighter|heavy|light|weigh|weighs|weight"),
    ("speed_kmh", r"faster|slower|quicker|fast|slow|speed"),
    (
        "price_usd",
        r"more expensive|less expensive|cheaper|pricier|costlier|expensive|cheap|costs?|price|worth",
    ),
)
_THAN = re.compile(
    rf"\b(?:(?P<more>{_MORE})|(?P<less>{_LESS})) (?:in (?:size|weight|length) )?than (?P<rest>.*)"
)
_WEIGHS = re.compile(
    r"\b(?P<what>weighs?|costs?|worth) (?:(?P<more>more|over|above|greater)|(?P<less>less|under|below)) "
    r"(?:than )?(?P<rest>.*)"
)
_AS = re.compile(
    r"\b(?:(?P<about>about |around |roughly |approximately |nearly |almost )?"
    r"as (?P<what>big|large|small|heavy|light|tall|long|fast|wide|little|tiny|expensive) as|"
    r"(?P<same>(?:(?:about|around|roughly|approximately|nearly) )?(?:the )?(?:same )?size (?:of|as)|"
    r"similar in size to|"
    r"similar size to|comparable in size to)) (?P<rest>.*)"
)
_NUMBERS = {
    **{word: number for number, word in enumerate(COUNTED, start=1)},
    **{"a": 1, "an": 1, "fifteen": 15, "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "hundred": 100},
    **{"hundreds": 100, "thousand": 1e3, "thousands": 1e3, "k": 1e3, "million": 1e6, "millions": 1e6},
    **{"billion": 1e9, "half": 0.5, "couple": 2, "few": 3, "dozen": 12},
}
_NUMBER_WORD = "|".join(sorted(_NUMBERS, key=len, reverse=True))
_UP = frozenset([*_MORE.split("|"), "more", "over", "above", "at least", "exceed", "exceeds"])


@cache
def _units() -> dict[str, tuple[str, float]]:
    """Unit -> the measure it is of, and how much it is in ours."""
    from lmrlgym.envs.twenty_questions import rows_of, split_cell

    return {
        unit: (row["measure"], float(row["factor"]))
        for row in rows_of("units.csv")
        for unit in split_cell(row["units"])
    }


@cache
def _quantities() -> re.Pattern[str]:
    units = "|".join(sorted(_units(), key=len, reverse=True))
    return re.compile(
        rf"\b(?P<direction>{_DIRECTIONS}) "
        r"(?:than )?(?:about )?(?P<money>\$ ?)?"
        rf"(?P<number>(?:\d+(?:\.\d+)?|{_NUMBER_WORD})(?: (?:{_NUMBER_WORD}|of))*) ?(?P<unit>{units})?\b"
    )


def measured_part(text: str) -> tuple[Truth, str] | None:
    """What a plain question says about measures, and the text without it; None if nothing."""
    words = bag(text)
    for needed, read in _readers():
        if not needed.isdisjoint(words) and (found := read(text)) is not None:
            return found
    return None


@cache
def _readers() -> tuple[tuple[frozenset[str], Callable[[str], tuple[Truth, str] | None]], ...]:
    """What reads a measure, and words of which a text must hold one to be worth its patterns."""
    hands = (
        one + hand
        for one in ("", "one", "single", "both", "two", "human", "persons", "of")
        for hand in ("hand", "hands", "palm", "palms")
    )
    return (
        (frozenset(part.split()[0] for part in _parts()), _count),
        (frozenset(word.split()[0] for word in _DIRECTIONS.split("|")), _quantity),
        (frozenset(("than", "weigh", "weighs", "cost", "costs", "worth")), _comparison),
        (frozenset(("as", "size")), _likeness),
        (frozenset(hands), _in_hand),
        (frozenset(_FITTING.split("|")), _fitting),
    )


@cache
def _parts() -> dict[str, tuple[tuple[int, int], ...]]:
    """Part -> how many of it which objects have."""
    from lmrlgym.envs.twenty_questions import mask_of, rows_of, split_cell

    found: dict[str, tuple[tuple[int, int], ...]] = {}
    for row in rows_of("counts.csv"):
        for part in split_cell(row["part"]):
            found[part] = (*found.get(part, ()), (int(row["count"]), mask_of(row["objects"])))
    return found


@cache
def _counts() -> re.Pattern[str]:
    parts = "|".join(sorted(_parts(), key=len, reverse=True))
    return re.compile(
        r"\b(?P<how>more than|over|at least|less than|fewer than|under|at most|up to|exactly|only|just)? ?"
        rf"(?P<number>\d+|{'|'.join(COUNTED)})(?P<more> or more| or fewer| or less)? (?P<part>{parts})\b"
    )


def _count(text: str) -> tuple[Truth, str] | None:
    """`more than two wheels`: of the objects whose wheels can be counted. Feet that measure are no part."""
    match = _counts().search(text)
    if match is None or re.search(r"\b(?:long|tall|high|wide|deep|away|than|above)\b", text[match.end() :]):
        return None
    if match["part"] in _units() and not re.search(r"\b(?:have|has|with|on|walk)\b", text[: match.start()]):
        return None
    number = int(match["number"]) if match["number"].isdigit() else COUNTED.index(match["number"]) + 1
    how = match["how"] or (match["more"] or "").replace(" or more", "at least").replace(" or ", "at most ")
    mask = 0
    for count, objects in _parts()[match["part"]]:
        if how in ("more than", "over"):
            holds = count > number
        elif how in ("less than", "fewer than", "under"):
            holds = count < number
        elif how == "at least":
            holds = count >= number
        elif how.startswith(("at most", "up to")):
            holds = count <= number
        else:
            holds = count == number
        mask |= objects if holds else 0
    return Truth(mask, mask), f"{text[: match.start()]} {text[match.end() :]}"


def _quantity(text: str) -> tuple[Truth, str] | None:
    match = _quantities().search(text)
    if match is None or not (match["unit"] or match["money"]):
        return None
    column, factor = _units()[match["unit"] or "dollars"]
    limit = _number(match["number"]) * factor
    place = Size._fields.index(column)
    is_up = match["direction"] in _UP
    sizes = truth(lambda s: s[place] > limit if is_up else s[place] < limit)
    if column == "price_usd":
        sizes = sizes & truth(lambda s: s.price_usd > 0)
    return sizes, f"{text[: match.start()]} {text[match.end() :]}"


def _number(words: str) -> float:
    value = 1.0
    for word in words.split():
        if word != "of":
            value *= _NUMBERS[word] if word in _NUMBERS else float(word)
    return value


def named(text: str) -> tuple[Size, str] | None:
    """The thing of known size that `text` begins with, determiners left out, and what follows it."""
    words = re.sub(rf"^{_DETERMINERS}", "", f"{text} ").split()
    for start in (0, 1):
        for end in range(min(len(words), start + 5), start, -1):
            name = " ".join(words[start:end])
            for form in (name, name.removesuffix("s"), name.removesuffix("es"), f"{name}s"):
                if form in known_sizes():
                    return known_sizes()[form], " ".join(words[end:])
    return None


def _comparison(text: str) -> tuple[Truth, str] | None:
    match = _THAN.search(text) or _WEIGHS.search(text)
    if match is None:
        return None
    other = named(match["rest"])
    if other is None:
        return None
    size, rest = other
    said = match.groupdict().get("what") or match["more"] or match["less"]
    column = next((name for name, words in _COLUMNS if re.fullmatch(words, said)), "volume_l")
    place = Size._fields.index(column)
    limit = size[place]
    if match["more"]:
        return truth(lambda s: s[place] > limit), f"{text[: match.start()]} {rest}"
    return truth(lambda s: s[place] < limit), f"{text[: match.start()]} {rest}"


def _likeness(text: str) -> tuple[Truth, str] | None:
    match = _AS.search(text)
    other = None if match is None else named(match["rest"])
    if match is None or other is None:
        return None
    size, rest = other
    what = match["what"]
    left = f"{text[: match.start()]} {rest}"
    column = next((name for name, words in _COLUMNS if what and re.fullmatch(words, what)), "volume_l")
    place = Size._fields.index(column)
    mine = size[place]
    if what in ("small", "light", "short", "little", "tiny") and not match["about"]:
        return truth(lambda s: s[place] <= 1.3 * mine, lambda s: s[place] <= 2 * mine), left
    if what and not match["about"]:
        return truth(lambda s: s[place] >= 0.7 * mine, lambda s: s[place] >= 0.5 * mine), left
    return truth(
        lambda s: mine / 2.5 <= s[place] <= 2.5 * mine, lambda s: mine / 4 <= s[place] <= 4 * mine
    ), left


def _in_hand(text: str) -> tuple[Truth, str] | None:
    match = _HAND.search(text)
    if match is None or re.search(r"\b(?:hands? (?:free|made|tools?|writ)|clock hands)\b", text):
        return None
    which = match["which"]
    attribute = "palm" if "palm" in which else "one_hand" if re.search(r"hand$", which) else "in_hands"
    return MEASURED[attribute](), f"{text[: match.start()]} {text[match.end() :]}"


def _fitting(text: str) -> tuple[Truth, str] | None:
    match = _fits().search(text)
    if match is None:
        return None
    name = match[1]
    is_fit = match[0].startswith(_ONLY_FITS) or " fit " in f" {match[0]} "
    if not is_fit and name not in _SMALL_CONTAINERS:
        return None
    longest, volume = _containers()[name]
    fits = truth(
        lambda s: s.length_cm <= longest * 1.05 and s.volume_l <= volume,
        lambda s: s.length_cm <= longest * 1.3 and s.volume_l <= volume * 1.5,
    )
    return fits, f"{text[: match.start()]} {text[match.end() :]}"
