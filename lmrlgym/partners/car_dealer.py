"""The scripted buyer of Car Dealer: it words what the ledger decided, in ten personalities.

Texts are composed of an opener, what has to be said, and a closer, from `envs_data/car_dealer/buyer.json`.
A text is drawn by one number of the game's random stream. All of it was written for this game; the rude
buyers are rude about the service and hold no slurs, no threats and nothing about any group of people.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from numpy.random import Generator

from lmrlgym.env import Query
from lmrlgym.resources import read_json

if TYPE_CHECKING:
    from lmrlgym.envs.car_dealer import Decision

_DRAWS = 2**52
_WITHOUT_CLOSER = ("accept", "leave")
"""What ends the talk is not followed by a closer that goes on with it."""


class ScriptedBuyer:
    """Words every decision from templates."""

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [worded(query.state.decision, query.state.profile.personality, query.rng) for query in queries]


class _Phrases(NamedTuple):
    """What one personality may say for one kind of decision."""

    openers: tuple[str, ...]
    cores: tuple[str, ...]
    closers: tuple[str, ...]


def worded(decision: Decision, personality: str, rng: Generator) -> str:
    """`decision` in words, one line without its newline."""
    openers, cores, closers = _phrases(personality, decision.kind)
    draw = int(rng.random() * _DRAWS)
    draw, opener = divmod(draw, len(openers))
    draw, core = divmod(draw, len(cores))
    draw, closer = divmod(draw, len(closers))
    text = cores[core]
    if "{" in text:
        text = _filled(text, decision, draw)
    return f"{openers[opener]}{text}{closers[closer]}"


def _filled(text: str, decision: Decision, draw: int) -> str:
    from lmrlgym.envs.car_dealer import listed

    kind, price, wishes = decision
    if price:
        return text.replace("{price}", spelt_price(price, draw))
    if kind == "ask_feature":
        return _with(text, "wish", listed(wishes))
    text = _with(text, "car", wishes[0])
    return _with(text, "wishes", listed(wishes[1:])) if kind == "tell_wishes" else text


def _with(text: str, slot: str, words: str) -> str:
    """`text` with `words` in its slot, which is written with a capital where a sentence begins."""
    return text.replace(f"{{{slot}}}", words).replace(
        f"{{{slot.capitalize()}}}", words[0].upper() + words[1:]
    )


def spelt_price(price: int, draw: int) -> str:
    """`price` as a buyer writes it; `draw` chooses among the ways there are."""
    formats: tuple[str, ...] = _prices()
    style = formats[draw % len(formats)]
    if "{short}" in style and price % 100:
        style = formats[0]
    return style.replace("{full}", f"{price:,}").replace("{short}", f"{price / 1000:g}")


@cache
def _phrases(personality: str, kind: str) -> _Phrases:
    table = _table()
    cores = tuple(table["cores"][kind][table["registers"][personality]])
    openers = tuple(f"{opener} " if opener else "" for opener in table["openers"][personality])
    closers = tuple(f" {closer}" if closer else "" for closer in table["closers"][personality])
    return _Phrases(openers, cores, ("",) if kind in _WITHOUT_CLOSER else closers)


@cache
def _prices() -> tuple[str, ...]:
    return tuple(_table()["prices"])


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = read_json("car_dealer", "buyer.json")
    return table
