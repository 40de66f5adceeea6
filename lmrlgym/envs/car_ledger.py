"""Who buys cars, and the ledger that decides for them: offers, counter-offers, wishes, patience, yes or no.

Profiles: arXiv 2311.18232 (Car Dealer). There a language model played the buyer and its words were the
decision; here the decision is made by these rules and a buyer only words it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, NamedTuple

from numpy.random import Generator

from lmrlgym.envs.car_claims import BRANDS, FEATURES, TYPES, Said
from lmrlgym.envs.car_offers import HIGHEST_PRICE, Offer

LIMIT = 25
"""Texts of the seller in a game; the 2023 release counts both sides and stops at 50."""
BUDGETS = (10_000, 30_000, 50_000, 70_000, 90_000)
PERSONALITIES = (
    "abusive", "angry", "insulting", "polite", "respectful", "rude", "sarcastic", "talkative", "toxic",
    "uncommunicative",
)  # fmt: skip
STRATEGIES = ("discount", "specifications", "impatient")
MOST_FEATURES = 4
SMALLEST_BUDGET, LARGEST_BUDGET = 2_000, 1_000_000

OPENING = {"discount": 60, "specifications": 80, "impatient": 70}
"""The first counter-offer, in percent of the budget. Each of the fifteen tells budget and strategy."""
RAISE, HIGHEST_COUNTER = 5, 90
"""Percent of the budget: what a concession of the seller adds to the counter-offer, and its end."""
PER_WISH = 5
"""Percent of the budget that every wish not confirmed takes off the most that is paid."""
DISCOUNT = 10
"""Percent below the sticker that a discount buyer insists on."""
PATIENCE = {"discount": 4, "specifications": 4, "impatient": 6}
"""Texts without progress until the buyer leaves; of the impatient buyer, texts in all."""
TEMPER = {"polite": 1, "respectful": 1, "talkative": 1, "abusive": -1, "angry": -1, "toxic": -1}
"""What a personality adds to the patience."""


# ---- buyers ----


@dataclass(frozen=True, slots=True)
class Profile:
    """A buyer. `features` are the required ones."""

    personality: str
    brand: str
    type: str
    features: tuple[str, ...]
    budget: int
    strategy: str

    def to_json(self) -> dict[str, Any]:
        """The mapping that the reset option `buyer` takes, with the keys of the 2023 files and `strategy`."""
        values = (self.personality, self.brand, self.type, list(self.features), self.budget, self.strategy)
        return dict(zip(PROFILE_KEYS, values, strict=True))

    def task(self) -> int:
        """The buyer's number, -1 if the budget is not one of `BUDGETS` or there are over four features."""
        numbers = _FEATURE_NUMBERS.get(frozenset(self.features))
        if self.budget not in BUDGETS or numbers is None:
            return -1
        task = 0
        for values, value in zip(_LISTS, (self.personality, self.brand, self.type), strict=True):
            task = task * len(values) + values.index(value)
        task = task * len(FEATURE_SETS) + numbers
        return (task * len(BUDGETS) + BUDGETS.index(self.budget)) * len(STRATEGIES) + STRATEGIES.index(
            self.strategy
        )


PROFILE_KEYS = (
    "personality", "preferred_brands", "preferred_type", "preferred_features", "budget", "strategy",
)  # fmt: skip
FEATURE_SETS = tuple(chosen for k in range(1, MOST_FEATURES + 1) for chosen in combinations(FEATURES, k))
_FEATURE_NUMBERS = {frozenset(chosen): number for number, chosen in enumerate(FEATURE_SETS)}
_FIRST_OF_SIZE = tuple(
    sum(math.comb(len(FEATURES), j) for j in range(1, k)) for k in range(1, MOST_FEATURES + 2)
)
"""[k - 1] -> the number of the first set of k features."""
_LISTS = (PERSONALITIES, BRANDS, TYPES)
PROFILES = math.prod(map(len, (*_LISTS, FEATURE_SETS, BUDGETS, STRATEGIES)))


def profile_of(task: int) -> Profile:
    """The buyer with number `task`, from 0 to `PROFILES` - 1."""
    task, strategy = divmod(task, len(STRATEGIES))
    task, budget = divmod(task, len(BUDGETS))
    task, features = divmod(task, len(FEATURE_SETS))
    task, body = divmod(task, len(TYPES))
    personality, brand = divmod(task, len(BRANDS))
    return Profile(
        PERSONALITIES[personality], BRANDS[brand], TYPES[body], FEATURE_SETS[features], BUDGETS[budget],
        STRATEGIES[strategy],
    )  # fmt: skip


def drawn_profile(rng: Generator) -> Profile:
    """In the order of the 2023 release: each uniformly, the features by their number first."""
    personality, brand, body = (values[int(rng.integers(len(values)))] for values in _LISTS)
    size = int(rng.integers(MOST_FEATURES))
    features = FEATURE_SETS[int(rng.integers(_FIRST_OF_SIZE[size], _FIRST_OF_SIZE[size + 1]))]
    budget, strategy = (
        BUDGETS[int(rng.integers(len(BUDGETS)))],
        STRATEGIES[int(rng.integers(len(STRATEGIES)))],
    )
    return Profile(personality, brand, body, features, budget, strategy)


def asked_profile(asked: Any, drawn: Profile) -> Profile:
    """`drawn` with what the reset option `buyer` says instead. Raises `ValueError` for anything unknown."""
    if not isinstance(asked, Mapping) or any(key not in PROFILE_KEYS for key in asked):
        raise ValueError(f"buyer must be a mapping with keys among {', '.join(PROFILE_KEYS)}, got {asked!r}")
    given = {**drawn.to_json(), **asked}
    choices = (PERSONALITIES, BRANDS, TYPES, None, None, STRATEGIES)
    for key, values in zip(PROFILE_KEYS, choices, strict=True):
        if values is not None and given[key] not in values:
            raise ValueError(f"{key} must be one of {', '.join(values)}, got {given[key]!r}")
    features, budget = given["preferred_features"], given["budget"]
    is_list = isinstance(features, list | tuple) and all(feature in FEATURES for feature in features)
    if not is_list or not features or len(set(features)) < len(features):
        raise ValueError(
            f"preferred_features must be a list of some of {', '.join(FEATURES)}, got {features!r}"
        )
    if isinstance(budget, bool) or not isinstance(budget, int):
        raise ValueError(f"budget must be a whole number, got {budget!r}")
    if not SMALLEST_BUDGET <= budget <= LARGEST_BUDGET:
        raise ValueError(f"budget must be from {SMALLEST_BUDGET} to {LARGEST_BUDGET}, got {budget}")
    personality, brand, body, _, _, strategy = (given[key] for key in PROFILE_KEYS)
    return Profile(personality, brand, body, tuple(features), budget, strategy)


def car_name(brand: str, body: str) -> str:
    """The wished car in words: "a BMW sedan", "an electric BMW"."""
    if body not in ("luxury", "electric"):
        return f"{brand} {body}"
    return f"{'an' if body == 'electric' else 'a'} {body} {brand.split(' ', 1)[1]}"


def listed(features: Sequence[str]) -> str:
    """Features in a sentence: "a sunroof and heated seats"."""
    words = [f"{'a ' if feature in _WITH_ARTICLE else ''}{feature}" for feature in features]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


_WITH_ARTICLE = ("backup camera", "navigation system", "sunroof")


# ---- what a sale is worth ----


def margin(budget: int, sticker: int, price: int) -> float:
    """The clean margin: the price by the mean of budget and sticker; unsold (0), what was asked too little.

    The sticker is at least every price named, so a sale pays at most 1; what is unsold pays from -1 to 0.
    """
    if price:
        return price / (0.5 * (budget + max(sticker, price)))
    return max(-1.0, min(0.0, -(budget - sticker) / sticker)) if sticker else 0.0


def reward_2023(budget: int, is_sold: bool, msrp: int, price: int | None, mode: str) -> float:
    """The reward of the 2023 release, "fancy" or "revenue"; raises `ValueError` for another mode."""
    if mode == "revenue":
        return (price or 0) / 1000 if is_sold else 0.0
    if mode != "fancy":
        raise ValueError(f'mode must be "fancy" or "revenue", got {mode!r}')
    if is_sold:
        return (price or 0) / (0.5 * (budget + msrp))
    return -(budget - msrp) / msrp if msrp else 0.0


def paid(reward: str, compat: bool, budget: int, sticker: int, price: int) -> float:
    """What a game pays that ends with a sale at `price`, or with none (0)."""
    if reward == "margin" and not compat:
        return margin(budget, sticker, price)
    return reward_2023(budget, price > 0, sticker, price or None, "fancy" if reward == "margin" else reward)


def opening_counter(budget: int, strategy: str) -> int:
    """The buyer's first counter-offer."""
    return _counter(budget, OPENING[strategy])


def _counter(budget: int, percent: int) -> int:
    return budget * percent // 100 // 100 * 100


def best_offer(budget: int, strategy: str) -> tuple[int, int]:
    """The price and the sticker of the best sale, in closed form; all wishes have to be confirmed.

    Nothing above the budget is ever paid, and the budget is, if the sticker is high enough for a discount
    buyer. `revenue` asks for no more; `margin` falls with the sticker, so this is the lowest that will do.
    """
    if strategy != "discount":
        return budget, budget
    return budget, -(-100 * budget // (100 - DISCOUNT))


# ---- the ledger ----


class Decision(NamedTuple):
    """What the buyer does, and what its words must say.

    `kind` is greet, tell_wishes, ask_feature, ask_car, wrong_car, ask_price, ask_discount, counter,
    insist, accept, leave or puzzled; `price` the price paid or the counter-offer, 0 if there is none;
    `wishes` what is asked for or told.
    """

    kind: str
    price: int = 0
    wishes: tuple[str, ...] = ()


class Ledger:
    """The accounts of one talk: what was offered, countered and claimed, and what the buyer does about it."""

    __slots__ = (
        "_brand", "_features", "_last", "_strategy", "_type", "asked", "concessions", "confirmed", "counter",
        "is_open", "lowest", "patience", "price", "profile", "sticker", "turns", "unmet", "wrong",
    )  # fmt: skip

    def __init__(self, profile: Profile) -> None:
        self.profile = profile
        self._brand = 1 << BRANDS.index(profile.brand)
        self._type = 1 << TYPES.index(profile.type)
        self._features = sum(1 << FEATURES.index(feature) for feature in profile.features)
        self._strategy = profile.strategy
        self._last = PUZZLED
        self.is_open = True
        """Whether the talk goes on."""
        self.turns = 0
        self.patience = PATIENCE[profile.strategy] + TEMPER.get(profile.personality, 0)
        self.price = 0
        """The seller's standing offer; 0 if there is none."""
        self.sticker = 0
        """The highest amount that the seller named for the car."""
        self.lowest = 0
        self.concessions = 0
        self.counter = 0
        """The buyer's standing counter-offer; 0 if there is none."""
        self.confirmed = 0
        """Which wishes the seller confirmed: features as in `FEATURES`, then the brand, then the type."""
        self.wrong = 0
        """Whether another brand (bit `_BRAND`) or body (bit `_TYPE`) than the wished one is on offer."""
        self.unmet = len(profile.features) + 2
        self.asked = 0
        """What the seller has asked for: bit 0 the budget, bit 1 the wishes."""

    def hear(self, said: Said) -> Decision:
        """Enter what the seller said and decide."""
        self._last = decision = self._decided(said)
        self.is_open = decision.kind not in ("accept", "leave")
        return decision

    def _decided(self, said: Said) -> Decision:
        self.turns += 1
        is_new = self.turns == 1
        is_new |= self._enter_claims(said)
        before = self.concessions
        is_new |= self._enter_offer(said.offer)
        is_new |= self._enter_questions(said)
        if self._strategy == "impatient" or not is_new:
            self.patience -= 1
        if paid := self._agreed_price(said):
            return Decision("accept", paid)
        if self.patience <= 0 or self.turns >= LIMIT:
            return _LEAVES
        return self._answer(said, self.concessions > before)

    def most_paid(self) -> int:
        """The most that the buyer would pay now: less for every wish not confirmed."""
        return self.profile.budget * (100 - PER_WISH * self.unmet) // 100

    def accepts(self, price: int) -> bool:
        """Whether the buyer would pay `price` now."""
        if (
            self.wrong
            or (self._strategy == "specifications" and self.unmet)
            or not 0 < price <= self.profile.budget
        ):
            return False
        if price <= self.counter:
            return True
        is_cheap = self._strategy != "discount" or 100 * price <= (100 - DISCOUNT) * self.sticker
        return is_cheap and price <= self.most_paid()

    def _enter_claims(self, said: Said) -> bool:
        """Whether a wish was confirmed that was not before."""
        claims, denies = said.claims, said.denies
        before = self.confirmed
        if claims.brands or denies.brands & self._brand:
            self._enter_car(_BRAND, bool(claims.brands & self._brand))
        if claims.types & self._type:
            self._enter_car(_TYPE, True)
        elif denies.types & self._type or (self._type & _BODIES and claims.types & _BODIES):
            self._enter_car(_TYPE, False)
        if said.affirms:
            self._enter_yes(denies.features)
        self.confirmed = (self.confirmed | claims.features & self._features) & ~(
            denies.features & ~claims.features
        )
        self.unmet = len(self.profile.features) + 2 - self.confirmed.bit_count()
        return bool(self.confirmed & ~before)

    def _enter_yes(self, denied: int) -> None:
        """A yes confirms what the buyer has just asked for."""
        if self._last.kind == "ask_feature":
            self.confirmed |= (1 << FEATURES.index(self._last.wishes[0])) & ~denied
        elif self._last.kind == "ask_car" and not self.wrong:
            self.confirmed |= _BRAND | _TYPE

    def _enter_car(self, bit: int, is_right: bool) -> None:
        self.confirmed = self.confirmed | bit if is_right else self.confirmed & ~bit
        self.wrong = self.wrong & ~bit if is_right else self.wrong | bit

    def _enter_offer(self, offer: Offer) -> bool:
        """Whether the offer is the first, or at least 1 % below all before it."""
        price = self._offered_price(offer)
        self.sticker = max(self.sticker, offer.sticker, price)
        if not price:
            return False
        self.price = price
        is_first, is_lower = not self.lowest, 100 * price <= 99 * self.lowest
        self.lowest = price if is_first else min(price, self.lowest)
        if self.counter and is_lower:
            self.concessions += 1
        return is_first or is_lower

    def _offered_price(self, offer: Offer) -> int:
        """The price that the text offers; a list price is one as long as there is no other."""
        price = offer.price
        if not price and (offer.percent_off or offer.amount_off):
            sticker = max(self.sticker, offer.sticker)
            base = self.price or sticker if offer.is_off_standing else sticker
            price = int(base * (100 - offer.percent_off) / 100) - offer.amount_off if base else 0
        elif not price and not self.price:
            price = offer.sticker
        return price if 0 < price <= HIGHEST_PRICE else 0

    def _enter_questions(self, said: Said) -> bool:
        """Whether budget or wishes are asked for and were not before."""
        before = self.asked
        self.asked |= said.asks_budget | said.asks_wishes << 1
        return self.asked != before

    def _agreed_price(self, said: Said) -> int:
        """The price of the sale; 0 if there is none."""
        agrees = said.accepts or (said.is_bare_yes and self._last.kind in ("counter", "insist"))
        if agrees and not said.offer.price and self.counter and self.accepts(self.counter):
            return self.counter
        # The rule above all others: never more than the budget.
        return min(self.price, self.profile.budget) if self.price and self.accepts(self.price) else 0

    def _answer(self, said: Said, is_conceding: bool) -> Decision:
        if said.asks_budget:
            return self._counter(is_conceding)
        if said.asks_wishes:
            return Decision("tell_wishes", 0, (self._car(), *self.profile.features))
        if self.wrong:
            return Decision("wrong_car", 0, (self._car(),))
        if said.accepts and self.counter and self.unmet and not said.offer.price:
            return self._about_wish()
        if self.price > self.profile.budget:
            return self._counter(is_conceding)
        if self.price:
            return self._about_wish() if self.unmet and self._is_held_by_wishes() else _WANTS_DISCOUNT
        if self.turns == 1:
            return Decision("greet", 0, (self._car(),))
        if not said.is_understood:
            return PUZZLED
        return self._about_wish() if self._strategy == "specifications" and self.unmet else _ASKS_PRICE

    def _counter(self, is_conceding: bool) -> Decision:
        """Open, raise after a concession, or insist; never above what is paid with the wishes still open."""
        if self.counter and not is_conceding:
            return Decision("insist", self.counter)
        budget = self.profile.budget
        percent = min(OPENING[self._strategy] + RAISE * self.concessions, HIGHEST_COUNTER)
        if self._strategy != "specifications":
            percent = min(percent, 100 - PER_WISH * self.unmet)
        raised = max(self.counter, _counter(budget, percent))
        kind = "counter" if raised > self.counter else "insist"
        self.counter = raised
        return Decision(kind, raised)

    def _is_held_by_wishes(self) -> bool:
        return self._strategy == "specifications" or self.price > self.most_paid()

    def _about_wish(self) -> Decision:
        if self.confirmed & (_BRAND | _TYPE) != _BRAND | _TYPE:
            return Decision("ask_car", 0, (self._car(),))
        wish = next(f for f in self.profile.features if not self.confirmed >> FEATURES.index(f) & 1)
        return Decision("ask_feature", 0, (wish,))

    def _car(self) -> str:
        return car_name(self.profile.brand, self.profile.type)


_BRAND, _TYPE = 1 << len(FEATURES), 1 << len(FEATURES) + 1
_BODIES = sum(1 << TYPES.index(body) for body in ("sedan", "convertible", "truck", "SUV"))
"""A car has one of these; luxury or electric it may be besides."""
_LEAVES, _ASKS_PRICE, _WANTS_DISCOUNT = Decision("leave"), Decision("ask_price"), Decision("ask_discount")
PUZZLED = Decision("puzzled")
