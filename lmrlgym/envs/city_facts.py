"""The cities of Guess My City: the table of facts, their names, and finding names in a text.

A set of cities is a whole number, a "mask": bit i is city number i of the 2023 list.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import cache, lru_cache
from typing import Any

from lmrlgym.resources import data_path

NO_GUESS, TOO_MANY, ELSEWHERE = -1, -2, -3
_CACHED = 1 << 16

Row = dict[str, str]


def folded(text: str) -> str:
    """Lower case a-z, 0-9 and single blanks: accents, apostrophes and punctuation are gone."""
    text = text.casefold()
    if not text.isascii():
        text = unicodedata.normalize("NFKD", text)
        text = "".join(letter for letter in text if not unicodedata.combining(letter))
    return _OTHER.sub(" ", _APOSTROPHES.sub("", text)).strip()


_APOSTROPHES, _OTHER = re.compile("['’ʼ`]"), re.compile("[^a-z0-9]+")


def rows(name: str) -> list[Row]:
    """The rows of a table of `envs_data/guess_my_city`."""
    with data_path("guess_my_city", f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def listed(cell: str, mark: str = ";") -> list[str]:
    """The entries of a cell that holds several."""
    return [entry.strip() for entry in cell.split(mark) if entry.strip()]


@cache
def facts() -> tuple[Row, ...]:
    """[city] -> everything known about it, its country's facts included."""
    countries = {row["code"]: row for row in rows("countries")}
    for row in rows("geonames_countries"):
        countries[row["code"]] |= {
            "nation_population": row["population"],
            "neighbours": row["neighbours"],
            "area": row["area"],
        }
    places = {row["word"]: row for row in rows("geonames_cities")}
    found = []
    for city in rows("cities"):
        nation = countries[city["country"]]
        about_nation = {name: cell for name, cell in nation.items() if name not in ("code", "name", "names")}
        country = {"country": nation["name"], "country_names": nation["names"], "code": nation["code"]}
        found.append({**about_nation, **places[city["word"]], **city, **country})
    return tuple(found)


@cache
def words() -> tuple[str, ...]:
    """The cities as the 2023 list has them, e.g. "paris,france"."""
    return tuple(row["word"] for row in facts())


def names_of(city: Row) -> list[str]:
    """All names by which a guess may call the city; the first is its usual one."""
    return [city["name"], city["word"].split(",")[0], *listed(city["names"])]


def countries_of(city: Row) -> list[str]:
    """All names of the city's country, and those of its people."""
    released = city["word"].split(",")[1]
    return [city["country"], released, *listed(city["country_names"]), *listed(city["adjectives"])]


def everything() -> int:
    """The mask of all cities."""
    return (1 << len(words())) - 1


def cities_in(mask: int) -> list[int]:
    """The numbers of the cities of a mask, ascending."""
    return [i for i in range(mask.bit_length()) if mask >> i & 1]


def values(topic: str, city: Row) -> list[str]:
    """What the columns of the table say of a city about a topic; [] for nothing."""
    if topic == "languages":
        return listed(city["languages"]) + listed(city["local_languages"])
    if topic == "country":
        return [city["country"], *(["China"] if "China" in listed(city["country_names"]) else [])]
    if topic == "religion":
        return listed(city["religions"])[:1]
    if topic == "sport":
        return listed(city["sports"])[:1]
    if topic == "buildings":
        sacred = _HOUSES.get(listed(city["religions"])[0], [])
        return list(dict.fromkeys([*listed(city["sight"].replace("beaches", "")), *sacred, "museums"]))
    return listed(city.get(topic, ""))


_HOUSES: Mapping[str, list[str]] = {
    "Christianity": ["churches"],
    "Islam": ["mosques"],
    "Hinduism": ["temples"],
    "Buddhism": ["temples"],
    "Shinto": ["temples"],
}
"""Religion -> the buildings that every city has where it is the main one."""


@cache
def traits() -> dict[str, dict[str, int]]:
    """Topic -> value ("" if the topic has none) -> the cities that `traits.csv` lists."""
    found: dict[str, dict[str, int]] = {}
    for row in rows("traits"):
        codes, named = listed(row["countries"]), listed(row["cities"])
        mask = mask_of(
            f"-{city['word']}" not in named
            and (codes == ["*"] or city["code"] in codes or city["word"] in named)
            for city in facts()
        )
        about = found.setdefault(row["topic"], {})
        about[row["value"]] = about.get(row["value"], 0) | mask
    return found


NUMBERS: Mapping[str, tuple[str, float, tuple[int, ...]]] = {
    "population": ("population", 1e6, (1, 2, 3, 5, 8, 10)),
    "nation_population": ("nation_population", 1e6, (50, 100, 200, 1000)),
    "founded": ("founded", 1, (1, 500, 1000, 1300, 1500, 1600, 1700, 1800, 1850)),
    "elevation": ("elevation", 1, (20, 50, 100, 300, 500, 1000, 2000)),
}
"""Topic -> (column, unit, the thresholds that scripted players ask about)."""


def above(topic: str, threshold: float) -> int:
    """The cities with more than `threshold` units; for "founded", those founded before that year."""
    column, unit, _ = NUMBERS[topic]
    limit = threshold * unit
    if topic == "founded":
        return mask_of(float(city[column]) < limit for city in facts())
    return mask_of(float(city[column]) > limit for city in facts())


def mask_of(flags: Iterable[bool]) -> int:
    """The mask of the cities whose flag is true."""
    return sum(1 << i for i, flag in enumerate(flags) if flag)


@cache
def flags() -> dict[str, int]:
    """Topic without a value -> the cities of which it is true."""
    cities, all_cities = facts(), everything()
    column = {name for name, cell in cities[0].items() if cell in ("yes", "no")}
    found = {name: mask_of(city[name] == "yes" for city in cities) for name in column}
    found |= {topic: masks[""] for topic, masks in traits().items() if "" in masks}
    latitude = [float(city["latitude"]) for city in cities]
    longitude = [float(city["longitude"]) for city in cities]
    coastal, insular, river = (
        mask_of(bool(city[name]) for city in cities) for name in ("sea", "island", "rivers")
    )
    area = [float(city["area"]) for city in cities]
    return found | {
        "northern": mask_of(x > 0 for x in latitude),
        "southern": mask_of(x < 0 for x in latitude),
        "eastern": mask_of(x > 0 for x in longitude),
        "western": mask_of(x < 0 for x in longitude),
        "near_equator": mask_of(abs(x) < 10 for x in latitude),
        "tropics": mask_of(abs(x) < 23.44 for x in latitude),
        "warm": mask_of(city["snow"] == "no" and city["climate"] not in _COOL for city in cities),
        "rainy": mask_of(city["climate"] in _RAINY for city in cities),
        "humid": mask_of(city["climate"] in ("tropical", "subtropical") for city in cities),
        "seasons": mask_of(
            abs(x) > 23.44 and city["climate"] != "tropical" for x, city in zip(latitude, cities, strict=True)
        ),
        "coastal": coastal,
        "inland": all_cities & ~coastal,
        "insular": insular,
        "coastal_country": all_cities & ~found["landlocked"],
        "river": river,
        "water": coastal | river | traits()["lake"]["a lake"],
        "right_driving": all_cities & ~found["left_driving"],
        "high": above("elevation", 1000),
        "low": all_cities & ~above("elevation", 30),
        "big": above("population", 8),
        "small": all_cities & ~above("population", 2),
        "ancient": above("founded", 500),
        "historic": above("founded", 1700) | traits()["unesco"][""],
        "young": all_cities & ~above("founded", 1800),
        "big_country": mask_of(size > _LARGE for size in area),
        "small_country": mask_of(size < _LITTLE for size in area),
        "populous_country": above("nation_population", 100),
        "developing": all_cities & ~found["developed"],
        "industrial": mask_of(not _FACTORIES.isdisjoint(listed(city["industries"])) for city in cities),
    }


_COOL, _RAINY = ("oceanic", "highland"), ("tropical", "subtropical", "oceanic")
_LARGE, _LITTLE = 1e6, 1e5
"""Square kilometres."""
_FACTORIES = {"steel", "cars", "textiles", "chemicals", "ceramics", "leather", "aerospace", "electronics"}


@cache
def holding(topic: str) -> dict[str, int]:
    """Value -> the cities that have it."""
    found: dict[str, int] = {}
    for i, city in enumerate(facts()):
        for value in values(topic, city):
            found[value] = found.get(value, 0) | 1 << i
    for value, mask in traits().get(topic, {}).items():
        found[value] = found.get(value, 0) | mask
    return found


@cache
def display() -> dict[tuple[str, str], tuple[str, ...]]:
    """(topic, value) -> the words for it, the usual one first, where it is not called by its name."""
    return {(row["topic"], row["value"]): tuple(listed(row["words"])) for row in rows("words")}


# ---- names ----


class Phrases:
    """A dictionary of folded phrases, found in folded text between word boundaries."""

    def __init__(self, meanings: Mapping[str, Any]) -> None:
        self.meanings = meanings
        self._longest = max(phrase.count(" ") for phrase in meanings) + 1

    def all_in(self, text: str) -> Iterator[str]:
        """Every phrase in the text, those within others included."""
        words = text.split()
        for start in range(len(words)):
            for end in range(start + 1, min(start + self._longest, len(words)) + 1):
                phrase = " ".join(words[start:end])
                if phrase in self.meanings:
                    yield phrase

    def longest_in(self, text: str) -> Iterator[str]:
        """The phrases in the text from left to right, the longest at each place, none twice."""
        words, start = text.split(), 0
        while start < len(words):
            for end in range(min(start + self._longest, len(words)), start, -1):
                phrase = " ".join(words[start:end])
                if phrase in self.meanings:
                    yield phrase
                    start = end - 1
                    break
            start += 1


@cache
def _city_names() -> Phrases:
    numbers = {folded(row["name"]): ELSEWHERE for row in rows("elsewhere")}
    for i, city in enumerate(facts()):
        numbers |= {folded(name): i for name in names_of(city)}
    return Phrases(numbers)


@lru_cache(_CACHED)
def named_city(text: str) -> int:
    """The city of the list that `text` names, by any of its names; NO_GUESS, or TOO_MANY if several."""
    names = _city_names()
    named = {names.meanings[phrase] for phrase in names.longest_in(folded(text))} - {ELSEWHERE}
    return named.pop() if len(named) == 1 else TOO_MANY if named else NO_GUESS


@cache
def _secret_names() -> tuple[Phrases, tuple[frozenset[str], ...]]:
    of_city = tuple(
        frozenset(folded(name) for name in (*names_of(city), *countries_of(city))) for city in facts()
    )
    return Phrases(dict.fromkeys(name for names in of_city for name in names)), of_city


@lru_cache(_CACHED)
def names_in(text: str) -> frozenset[str]:
    """The names of cities and countries of the list (and of their people) that `text` holds, folded."""
    return frozenset(_secret_names()[0].all_in(folded(text)))


def secret_names(task: int) -> frozenset[str]:
    """What must not be said while city number `task` is hidden, folded."""
    return _secret_names()[1][task]
