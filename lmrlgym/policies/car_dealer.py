"""Sellers of cars: `random`, `mixed` (the three strategies of the paper's data, imperfectly) and `expert`.

arXiv 2311.18232 (Car Dealer): its sellers give discounts, talk about features, or are concise. `mixed` is
one of the three, drawn with the first text and kept after it; it prices by guess and sometimes says nothing
useful. `expert` asks for budget and wishes, reads the budget off the first counter-offer, and offers it or a
little less, every text in any of the three voices. `random` says any sentence with any numbers. Texts are
composed from `envs_data/car_dealer/seller.json`; every player reads the visible talk only.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import Any, TypeVar

from numpy.random import Generator

from lmrlgym.envs.car_dealer import (
    BRANDS,
    BUDGETS,
    FEATURES,
    STRATEGIES,
    TYPES,
    Talk,
    best_offer,
    car_name,
    listed,
    opening_counter,
    talk_of,
)
from lmrlgym.resources import read_json
from lmrlgym.types import Action, History

CARS = tuple(car_name(brand, body) for brand in BRANDS for body in TYPES)
STYLES = ("discounts", "features", "concise")
GUESSES = tuple(range(20_000, 110_001, 5_000))
"""First prices of a seller who knows nothing."""
MARKUPS = (100, 110, 120, 130, 150)
"""First prices after a counter-offer, in percent of it."""
STICKERS = (105, 110, 115, 120)
"""List prices, in percent of the price offered with them."""
CONCESSIONS = (20, 30, 40, 50, 70)
"""How much of the way to the counter-offer a seller comes down, in percent."""
CUTS = (2, 5, 8, 10, 15)
"""What comes off a price that met no counter-offer, in percent."""
PERCENTS = ("5", "8", "10", "12", "15")
"""Discounts."""
RATES = ("299", "399", "499", "649", "799")
"""Monthly rates, which are no offers."""
SHADES = (100, 100, 98, 95)
"""The expert's price, in percent of the budget."""

Weights = Mapping[str, float]
_Option = TypeVar("_Option")


class Draws:
    """Choices drawn one after another, with the log-probability of all of them together."""

    def __init__(self, rng: Generator) -> None:
        self._rng = rng
        self.log_prob = 0.0

    def one_of(self, options: Sequence[_Option]) -> _Option:
        """Each place in `options` equally likely; equal options add up."""
        chosen = options[int(self._rng.random() * len(options))]
        self.log_prob += math.log(options.count(chosen) / len(options))
        return chosen

    def weighted(self, weights: Weights) -> str:
        """A key, as often as its weight says."""
        total = sum(weights.values())
        left = self._rng.random() * total
        chosen = ""
        for name, weight in weights.items():
            if weight > 0:
                chosen = name
                left -= weight
                if left < 0:
                    break
        self.log_prob += math.log(weights[chosen] / total)
        return chosen


# ---- sentences ----


class Voice:
    """Composes sentences in one of the three styles."""

    def __init__(self, style: str, draws: Draws) -> None:
        self.style = style
        self.draws = draws

    def says(self, act: str, *, price: int = 0, sticker: int = 0, **slots: str) -> str:
        """A sentence for `act`, its prices in figures of one kind or another."""
        text = self.draws.one_of(_acts()[act][self.style])
        for name, amount in (("{price}", price), ("{sticker}", sticker)):
            if name in text:
                text = text.replace(name, self._spelt(amount))
        for name, words in slots.items():
            text = text.replace(f"{{{name}}}", words)
        if act in ("hello", "accept"):
            return f"{text}\n"
        opener, closer = (
            self.draws.one_of(_asides("openers", self.style)),
            self.draws.one_of(_asides("closers", self.style)),
        )
        return f"{opener} {text} {closer}".strip() + "\n"

    def _spelt(self, amount: int) -> str:
        full, short = f"{amount:,}", f"{amount / 1000:g}"
        formats = ["${full}" if "{short}" in way and amount % 100 else way for way in _table()["prices"]]
        return self.draws.one_of([way.replace("{full}", full).replace("{short}", short) for way in formats])


def style_of(history: History) -> str:
    """The style in which the seller said hello; "" if it did not."""
    first = next((turn.text.strip() for turn in history if turn.is_action), "")
    return next((style for style in STYLES if first in _acts()["hello"][style]), "")


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = read_json("car_dealer", "seller.json")
    return table


def _acts() -> dict[str, dict[str, list[str]]]:
    acts: dict[str, dict[str, list[str]]] = _table()["acts"]
    return acts


def _asides(place: str, style: str) -> list[str]:
    asides: list[str] = _table()[place][style]
    return asides


# ---- players ----


class Seller:
    """Says what `_said` decides, in a voice; subclasses decide."""

    def act(self, histories: Sequence[History], rngs: Sequence[Generator]) -> list[str | Action]:
        return [
            self._spoken(history, Draws(rng)) if history else ""
            for history, rng in zip(histories, rngs, strict=True)
        ]

    def _spoken(self, history: History, draws: Draws) -> Action:
        text = self._said(history, draws)
        return Action(text, log_prob=draws.log_prob)

    def _said(self, history: History, draws: Draws) -> str:
        raise NotImplementedError


class RandomSeller(Seller):
    """Any act in any voice with any numbers, cars and features."""

    def _said(self, history: History, draws: Draws) -> str:
        voice = Voice(draws.one_of(STYLES), draws)
        act = draws.one_of(tuple(_acts()))
        slots = {}
        if act == "percent":
            slots["percent"] = draws.one_of(PERCENTS)
        if act == "monthly":
            slots["rate"] = draws.one_of(RATES)
        if act in ("pitch", "pitch_car", "confirm_car"):
            slots["car"] = draws.one_of(CARS)
        if act in ("pitch", "confirm", "hedge"):
            slots["bare"] = feature = draws.one_of(FEATURES)
            slots["features"] = listed([feature])
        price = draws.one_of(GUESSES) if act in _PRICED else 0
        return voice.says(act, price=price, sticker=price + 5_000, **slots)


class MixedSeller(Seller):
    """One of the three strategies of the paper's data, with guesses and slips."""

    def __init__(self, slips: float) -> None:
        if not 0 <= slips <= 1:
            raise ValueError(f"slips must be in [0, 1], got {slips}")
        self.slips = slips

    def _said(self, history: History, draws: Draws) -> str:
        talk = talk_of(history)
        if not talk.texts:
            return Voice(draws.one_of(STYLES), draws).says("hello")
        style = style_of(history) or STYLES[0]
        acts = _wanted_acts(talk, style)
        wanted = draws.weighted({**acts, **{act: self.slips * w for act, w in _slips(talk).items()}})
        return _mixed_sentence(wanted, talk, Voice(style, draws))


_PRICED = ("offer", "list_offer", "lower", "insist")
_PRICES_FIRST: Mapping[str, Weights] = {
    "discounts": {"list_offer": 0.5, "ask_budget": 0.1},
    "features": {"offer": 0.2, "list_offer": 0.1},
    "concise": {"offer": 0.6},
}
_PRICES_LATER: Mapping[str, Weights] = {
    "discounts": {"lower": 0.7, "percent": 0.2, "accept": 0.1},
    "features": {"lower": 0.6, "insist": 0.2, "accept": 0.15},
    "concise": {"lower": 0.6, "insist": 0.25, "accept": 0.1},
}


def _wanted_acts(talk: Talk, style: str) -> dict[str, float]:
    """What a seller of this style might sensibly say now, and how likely."""
    if talk.was_asked:
        return {"confirm": 1.0}
    if not talk.car:
        return {"ask_wishes": 1.0} if not talk.has_asked_wishes else dict(_PRICES_FIRST[style])
    acts: dict[str, float] = {}
    if not talk.is_car_claimed:
        acts["pitch" if talk.wished else "pitch_car"] = 1.5
    elif talk.missing:
        acts["confirm"] = 0.6 if style == "features" else 0.25
    if not talk.has_asked_wishes:
        acts["ask_wishes"] = 0.8 if style == "features" else 0.2
    acts |= _PRICES_LATER[style] if talk.price else _PRICES_FIRST[style]
    if not talk.counters:
        acts.pop("accept", None)
    return acts


def _slips(talk: Talk) -> dict[str, float]:
    slips = {"chat": 1.0, "monthly": 0.3, "wrong_car": 0.3}
    if talk.price:
        slips["insist"] = 0.7
    if talk.missing:
        slips["hedge"] = 0.7
    return slips


def _mixed_sentence(act: str, talk: Talk, voice: Voice) -> str:
    draws = voice.draws
    if act in ("confirm", "hedge"):
        feature = talk.missing[0]
        return voice.says(act, features=listed(talk.missing if act == "confirm" else [feature]), bare=feature)
    if act == "pitch":
        return voice.says(act, car=talk.car, features=listed(talk.wished))
    if act in ("pitch_car", "wrong_car"):
        car = talk.car if act == "pitch_car" else draws.one_of([car for car in CARS if car != talk.car])
        return voice.says("pitch_car", car=car)
    if act == "percent":
        return voice.says(act, percent=draws.one_of(PERCENTS))
    if act == "monthly":
        return voice.says(act, rate=draws.one_of(RATES))
    if act not in _PRICED:
        return voice.says(act)
    price = draws.one_of(_prices(act, talk))
    if act != "list_offer":
        return voice.says(act, price=price)
    return voice.says(act, price=price, sticker=_rounded(price * draws.one_of(STICKERS) // 100))


def _prices(act: str, talk: Talk) -> tuple[int, ...]:
    """The prices that a seller thinks of for this act."""
    if act == "insist":
        return (talk.price,)
    counter = talk.counters[-1] if talk.counters else 0
    if act == "lower" and 0 < counter < talk.price:
        return tuple(_rounded(talk.price - (talk.price - counter) * part // 100) for part in CONCESSIONS)
    if act == "lower":
        return tuple(_rounded(talk.price * (100 - part) // 100) for part in CUTS)
    return tuple(_rounded(counter * part // 100) for part in MARKUPS) if counter else GUESSES


def _rounded(price: int) -> int:
    return max(price // 100 * 100, 1_000)


class ExpertSeller(Seller):
    """Asks for budget and wishes, tells both from the answers, and then asks for nearly all of the budget."""

    def _said(self, history: History, draws: Draws) -> str:
        talk = talk_of(history)
        voice = Voice(style_of(history) or draws.one_of(STYLES), draws)
        questions = [
            act
            for act, is_open in (("ask_budget", not talk.counters), ("ask_wishes", not talk.has_asked_wishes))
            if is_open
        ]
        if questions and not (talk.price and talk.texts > 4):
            return voice.says(draws.one_of(questions))
        if talk.car and not talk.is_car_claimed and talk.wished:
            return voice.says("pitch", car=talk.car, features=listed(talk.wished))
        if talk.missing:
            return voice.says("confirm", features=listed(talk.missing))
        budget, strategy = _read_off(talk)
        if talk.price and talk.price <= budget * SHADES[-1] // 100:
            return voice.says("lower", price=_rounded(talk.price * 95 // 100))
        price, sticker = best_offer(budget, strategy)
        price = price * draws.one_of(SHADES) // 100
        if strategy != "discount":
            return voice.says("offer", price=price)
        return voice.says("list_offer", price=price, sticker=-(-sticker // 100) * 100)


def _read_off(talk: Talk) -> tuple[int, str]:
    """Budget and strategy as the first counter-offer tells them; a careful guess if they are unusual."""
    counter = talk.counters[0] if talk.counters else 0
    return _OPENINGS.get(counter, (max(counter * 5 // 4, 1_000), "discount"))


_OPENINGS = {
    opening_counter(budget, strategy): (budget, strategy) for budget in BUDGETS for strategy in STRATEGIES
}


def _random(
    *, reward: str = "revenue", partner: Any = None, compat: bool = False, privileged: bool = False
) -> Seller:
    return RandomSeller()


def _mixed(
    *, reward: str = "revenue", partner: Any = None, compat: bool = False, privileged: bool = False
) -> Seller:
    return MixedSeller(SLIPS)


def _expert(
    *, reward: str = "revenue", partner: Any = None, compat: bool = False, privileged: bool = False
) -> Seller:
    return ExpertSeller()


SLIPS = 0.186
"""How likely a useless text is beside a useful one; chosen so that .53 of the games end in a sale."""

LEVELS: dict[str, Callable[..., Seller]] = {"random": _random, "mixed": _mixed, "expert": _expert}
"""Name -> the environment's keywords -> player."""
