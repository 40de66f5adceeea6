"""Best play of Car Dealer against the scripted buyer, in closed form.

Nothing above the budget B is ever paid, so no sale is worth more than this (S: the sticker, the highest
amount named for the car, which is never below the price):

    revenue    B / 1000
    margin     B / mean(B, S) with the least S that will do: B, and B / 0.9 for a discount buyer
    fancy      the same; unsold, 1 - B / S with S as high as it is read, which beats it for a discount buyer

And no buyer is worth less: asked for the budget, it names a counter-offer that tells budget and strategy;
asked for wishes, it tells them all; offered a car that has them, it pays the budget, if a discount buyer
hears a sticker to suit with it. These are three texts, and no buyer leaves before the fourth. So the value
of a game is the mean of these numbers over the buyers (`kind` exact). Later in a game the value is what
this plan gets from there, a lower bound: the mean over the buyers that would have named the prices heard.
"""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy

import numpy as np

from lmrlgym.envs.car_dealer import (
    BRANDS,
    BUDGETS,
    FEATURES,
    HIGHEST_PRICE,
    OPENING,
    REWARDS,
    STRATEGIES,
    TYPES,
    Ledger,
    Profile,
    Talk,
    best_offer,
    car_name,
    listed,
    opening_counter,
    paid,
    plain,
    prices_in,
    read,
    talk_of,
    worded,
)
from lmrlgym.types import History, Turn

ASKS_BUDGET, ASKS_WISHES = "What is your budget?\n", "Which features do you need?\n"
NAMES_HIGHEST, SAYS_NOTHING = f"The list price is ${HIGHEST_PRICE:,}.\n", "Nice weather today.\n"
MOST_WISHES = 4
_TEMPERS = {"sarcastic": 4, "polite": 3, "angry": 3}
"""A personality of usual, of longer and of shorter patience, and how many of the ten are like it."""
_CARS = {car_name(brand, body): (brand, body) for brand in BRANDS for body in TYPES}


class CarDealerSolver:
    """Value and best text at every history, whoever the buyer may be."""

    kind = "exact"

    def __init__(self, reward: str = "revenue", *, compat: bool = False) -> None:
        if reward not in REWARDS:
            raise ValueError(f"reward must be one of {', '.join(REWARDS)}, got {reward!r}")
        self.reward = reward
        self.compat = compat

    def worth(self, budget: int, strategy: str) -> float:
        """The most that a game with such a buyer can pay, in closed form."""
        price, sticker = best_offer(budget, strategy)
        return max(self._paid(budget, sticker, price), self._paid(budget, HIGHEST_PRICE, 0))

    def bound(self) -> float:
        """What nobody's mean return can exceed: the mean worth of all buyers."""
        worths = [self.worth(budget, strategy) for budget in BUDGETS for strategy in STRATEGIES]
        return sum(worths) / len(worths)

    def value(self, history: History) -> float:
        """The expected return of the plan from here on; 0 where the game is over."""
        return self._expected(history, self.best(history))

    def q(self, history: History) -> dict[str, float]:
        """Text -> the expected return of saying it and following the plan afterwards.

        The texts are the plan's: its questions, and the wished car for every budget there may be.
        """
        talk = talk_of(history)
        texts = [ASKS_BUDGET, ASKS_WISHES, *(_offer(talk, price, 0) for price in BUDGETS), self.best(history)]
        return {text: self._expected(history, text) for text in texts}

    def best(self, history: History) -> str:
        """What the plan says next."""
        talk = talk_of(history)
        if not talk.counters:
            return ASKS_BUDGET
        buyer = max((ledger.profile for _, ledger in _fitting(history, talk)), key=lambda p: p.budget)
        price, sticker = best_offer(buyer.budget, buyer.strategy)
        if self._paid(buyer.budget, HIGHEST_PRICE, 0) > self._paid(buyer.budget, sticker, price):
            return SAYS_NOTHING if talk.sticker == HIGHEST_PRICE else NAMES_HIGHEST
        if not (talk.car and talk.wished):
            return ASKS_WISHES
        return _offer(talk, price, sticker if sticker > price else 0)

    def _expected(self, history: History, text: str) -> float:
        fitting = _fitting(history, talk_of(history))
        total = sum(weight for weight, _ in fitting)
        return sum(weight * self._played(history, ledger, text) for weight, ledger in fitting) / total

    def _played(self, history: History, ledger: Ledger, text: str) -> float:
        """What the plan gets from this buyer, after saying `text`."""
        ledger = copy(ledger)
        paid = 0.0
        while ledger.is_open:
            decision = ledger.hear(read(text))
            answer = worded(decision, "uncommunicative", np.random.default_rng(0))
            history = (*history, Turn(text, True), Turn(f"{answer}\n", False))
            if ledger.is_open:
                text = self.best(history)
            else:
                paid = self._paid(ledger.profile.budget, ledger.sticker, decision.price)
        return paid

    def _paid(self, budget: int, sticker: int, price: int) -> float:
        return paid(self.reward, self.compat, budget, sticker, price)


def _offer(talk: Talk, price: int, sticker: int) -> str:
    """The wished car, as far as it is known, for `price`; with a sticker if one is given."""
    car = f"This is {talk.car}. " if talk.car else ""
    wished = f"It has {listed(talk.wished)}. " if talk.wished else ""
    list_price = f"The sticker says ${sticker:,}. " if sticker else ""
    return f"{car}{wished}{list_price}The price is ${price:,}.\n"


# ---- who the buyer may be ----


def _fitting(history: History, talk: Talk) -> list[tuple[int, Ledger]]:
    """(weight, ledger now) of the buyers that would have named the prices heard; of all if none would."""
    heard = [(weight, ledger, _answers(history, ledger)) for weight, ledger in _hypotheses(talk)]
    fits = [(weight, ledger) for weight, ledger, is_fit in heard if is_fit]
    return fits or [(weight, ledger) for weight, ledger, _ in heard]


def _hypotheses(talk: Talk) -> Iterator[tuple[int, Ledger]]:
    """Buyers with new ledgers. Wishes not told are taken from those that the seller has not claimed."""
    brand, body = _CARS[talk.car] if talk.car else (BRANDS[0], TYPES[0])
    others = [feature for feature in FEATURES if feature not in (*talk.wished, *talk.claimed)]
    told = talk.wished and talk.has_asked_wishes
    counts = [len(talk.wished)] if told else range(max(len(talk.wished), 1), MOST_WISHES + 1)
    for budget, strategy in _budgets(talk):
        for count in counts:
            wished = (*talk.wished, *others)[:count]
            for personality, weight in _TEMPERS.items():
                yield weight, Ledger(Profile(personality, brand, body, wished, budget, strategy))


def _budgets(talk: Talk) -> list[tuple[int, str]]:
    """Budgets and strategies whose first counter-offer is the one that was heard."""
    usual = [(budget, strategy) for budget in BUDGETS for strategy in STRATEGIES]
    if not talk.counters:
        return usual
    opening = talk.counters[0]
    fitting = [
        (budget, strategy) for budget, strategy in usual if opening_counter(budget, strategy) == opening
    ]
    # A buyer of one's own making has another budget; the counter-offer is rounded down to hundreds.
    return fitting or [(opening * 100 // OPENING[strategy], strategy) for strategy in STRATEGIES]


def _answers(history: History, ledger: Ledger) -> bool:
    """Whether this buyer would name the prices that were heard; its ledger is then as the talk left it."""
    fits = True
    for turn, answer in zip(history[1::2], history[2::2], strict=True):
        fits &= ledger.is_open
        decision = ledger.hear(read(turn.text))
        heard = prices_in(plain(answer.text))
        fits &= decision.price in heard if decision.price else not heard
    return fits


def solver(
    env_id: str,
    *,
    reward: str = "revenue",
    partner: object = "scripted",
    compat: bool = False,
    privileged: bool = False,
) -> CarDealerSolver:
    """The solver of `env_id`. The ledger decides whoever the partner is, so that it is the same for all."""
    return CarDealerSolver(reward, compat=compat)
