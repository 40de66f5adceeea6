"""Selling a car to a buyer with a hidden budget, wishes and patience.

The ledger (`car_ledger`) reads what the seller says (`car_claims`, `car_offers`) and decides; the buyer puts
the decision into words. The formats of the 2023 files stand in `car_2023`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from numpy.random import Generator

from lmrlgym.env import Partner, PartnerEnv, Query, Reply, Response
from lmrlgym.envs.car_claims import BRANDS, FEATURES, LONGEST_READ, TYPES, Said, read
from lmrlgym.envs.car_ledger import (
    BUDGETS,
    LIMIT,
    OPENING,
    PERSONALITIES,
    PROFILES,
    PUZZLED,
    STRATEGIES,
    Decision,
    Ledger,
    Profile,
    asked_profile,
    best_offer,
    car_name,
    drawn_profile,
    listed,
    margin,
    opening_counter,
    paid,
    profile_of,
    reward_2023,
)
from lmrlgym.envs.car_offers import HIGHEST_PRICE, has_amount, plain, prices_in
from lmrlgym.envs.car_talk import Talk, talk_of
from lmrlgym.partners import partner_named
from lmrlgym.partners.car_dealer import ScriptedBuyer, worded
from lmrlgym.partners.roles.car_dealer import ROLE
from lmrlgym.types import Turn
from lmrlgym.vector import vectorise

__all__ = [
    "BRANDS", "BUDGETS", "FEATURES", "GREETING", "HIGHEST_PRICE", "LIMIT", "OPENING", "PERSONALITIES",
    "PROFILES", "REWARDS", "STRATEGIES", "TYPES", "BuyerState", "CarDealerEnv", "Decision", "Ledger",
    "Profile", "Said", "Talk", "best_offer", "car_dealer_vector", "car_name", "checked_words", "listed",
    "margin", "opening_counter", "paid", "plain", "prices_in", "profile_of", "read", "reward_2023",
    "talk_of", "worded",
]  # fmt: skip

GREETING = "Start\n"
REWARDS = ("revenue", "margin")


@dataclass(frozen=True, slots=True)
class BuyerState:
    """All that a buyer may know and must obey: who it is, what the ledger decided, what was named."""

    profile: Profile
    decision: Decision
    price: int
    """The seller's standing offer; 0 if there is none."""
    sticker: int
    counter: int


_LONGEST_WORDS = 1_000
_HAS_SENSE = re.compile(r"[^\W_]")


def checked_words(text: str, state: BuyerState, rng: Generator) -> str:
    """`text` as one line if it says what was decided, else scripted words that do.

    It has to name the decided price, if there is one, and no other than those that were named before.
    """
    line = " ".join(text.split())
    decision = state.decision
    named = prices_in(plain(line)) if has_amount(line) else []
    known = (decision.price, state.price, state.sticker, state.counter)
    is_right = (not decision.price or decision.price in named) and all(price in known for price in named)
    if not line or len(line) > _LONGEST_WORDS or not is_right:
        line = worded(decision, state.profile.personality, rng)
    return line.encode("utf-8", "replace").decode("utf-8") + "\n"


class CarDealerEnv(PartnerEnv):
    """Sell a car to a buyer who hides a budget, wishes and a strategy; the dearer, the better.

    ## Description
    The agent is the seller and speaks first. The buyer wants a car of one brand and type with one to four
    required features, has a budget, and one of three strategies: *discount* (buys nothing that is not at
    least 10 % below its sticker), *specifications* (buys only when every wish is confirmed) and
    *impatient*. Ten personalities change how the buyer talks and how patient it is. All of this is hidden
    and drawn anew in every game. The agent sees the whole talk: `context` is None.

    A ledger in code reads every text of the seller and decides; the partner only puts the decision into
    words. Words that do not name the decided price, or name another one than those already named, are
    replaced by scripted ones, so no partner and no text of the seller changes a price or a rule.

    ## Actions
    Free text. Understood are, anywhere in it:

    - an offer: `$48,000`, `48k`, `48 thousand`, `forty-eight thousand`, `48,000 dollars`, from $1,000 to
      $9,999,999. The last price named is the offer. `10 % off the sticker`, `$2,000 off` and `another 5 %
      off` are offers too. A monthly rate, deposit, mileage, year or fee is no offer, nor is a price that
      the seller refuses (`I can't do $40,000`) or quotes (`you offered $40,000`);
    - the sticker (`the MSRP is $55,000`, `was $55,000`): the highest amount the seller named for the car.
      It is an offer as long as there is no other;
    - yes to the buyer's counter-offer: `deal`, `I accept`, `it's yours`, or a bare `yes` right after it;
    - yes to what the buyer has just asked (`Yes, it does`), which claims it;
    - claims about the car: brand, type and features. Nothing checks them: there is no stock. Another
      brand, or another body (sedan, convertible, truck, SUV), than the wished one is a wrong car. What is
      denied, doubted or only asked about is not claimed;
    - questions about the budget and about the wishes.

    A text of more than 2,000 characters is not understood.

    ## Observations
    First `Start`; then what the buyer says, one line with a newline at its end. To a question about the
    budget and to a price above it the buyer answers with a counter-offer: at first 60 % (discount), 80 %
    (specifications) or 70 % (impatient) of the budget, 5 % of the budget more after every concession of
    the seller (a price at least 1 % below all before), at most 90 %. Asked for wishes it tells car and
    features. Else it asks: for a price, a discount, or about a wish.

    ## The buyer's rules
    In this order, after each text:

    1. A yes to the standing counter-offer, or a standing offer that suits, is a sale. An offer suits if
       the car is not wrong, all wishes are confirmed (*specifications* only) and it is at most the
       counter-offer; or if it is at most the budget less 5 % of it for every wish (brand, type, features)
       not yet confirmed, and, for *discount*, at most 90 % of the sticker. Nothing above the budget is
       ever paid.
    2. A buyer out of patience leaves: after 4 texts without progress (*impatient*: after 6 texts); one
       more for polite, respectful and talkative, one less for abusive, angry and toxic buyers. Progress
       is the first text, a wish newly confirmed, a first price or one 1 % below all before, and the first
       question about the budget and about the wishes.
    3. Otherwise it answers a question, names what is wrong, or asks.

    The rude personalities are rude about the service. Their words were written for this game, hold no
    slurs, no threats and nothing about any group of people, and a test keeps it so.

    ## Rewards
    All on the text that ends the game. `reward="revenue"`: the price in thousands of dollars, 0 if
    unsold. `reward="margin"`: sold, price / mean(budget, sticker), at most 1; unsold, -(budget - sticker)
    / sticker, kept from -1 to 0, and 0 if no price was named.

    ## Episode end
    `terminated` when the car is sold (`won`), the buyer leaves (`lost`), or with the 25th text of the
    seller, which is still answered by the rules (`turn_limit`).

    ## Info
    The common keys. `success`: sold. `not_understood` counts the texts in which the ledger understood
    nothing; `action_is_valid` is false for a text without a letter or digit and for one of more than
    2,000 characters. With `privileged=True`, `task` is the buyer's number (-1 for one outside the lists)
    and `secret` its profile.

    ## Arguments
    - `reward`: `revenue` or `margin`.
    - `partner`: `scripted`, `human`, `hf:MODEL`, `http(s)://HOST/v1#MODEL` or a `Partner`, which reads a
      `BuyerState` and words its decision (see the page on partners).
    - `compat`: the margin of the 2023 release, `fancy` (see Differences).
    - reset options: `task`, a buyer's number, or `buyer`, a mapping with any of `personality`,
      `preferred_brands`, `preferred_type`, `preferred_features`, `budget` (2,000 to 1,000,000) and
      `strategy`; the rest is drawn.

    ## Differences from the paper
    In the 2023 release a language model plays the buyer, and whatever decision and price it writes is the
    result: the seller is paid for talking it into any number. Here a ledger decides, in both modes; the
    strategies are those by which the paper's data were written. Its `fancy` reward pays for a rejected car
    dearer than the budget, and without bound below for a cheap one; `compat=True` restores that for
    `margin`. Its length limit asks the buyer once more in a way that always fails; here the last text is
    simply the last. Its stream of random numbers is Python's, ours numpy's.

    ## Versions
    - v0: first version.
    """

    own_options = ("buyer",)
    tasks = PROFILES
    instructions = (
        "You sell cars and talk to a customer who keeps a budget, wishes and patience to themselves. Sell a "
        "car for as much as you can: name your price in dollars, find out which brand, type and features the "
        "customer wants, and say that the car has them. The customer may want a discount from the sticker "
        "price, may insist on every feature, or may be in a hurry, and leaves if the talk leads nowhere. "
        "Nobody pays more than their budget. Answer with what you say next, in one line, for example: This "
        "BMW sedan has heated seats. The sticker says $55,000, but I can offer it for $48,000."
    )

    def __init__(
        self,
        *,
        reward: str = "revenue",
        partner: str | Partner = "scripted",
        compat: bool = False,
        privileged: bool = False,
        render_mode: str | None = None,
    ) -> None:
        if reward not in REWARDS:
            raise ValueError(f"reward must be one of {', '.join(REWARDS)}, got {reward!r}")
        super().__init__(
            partner=partner_named(partner, ScriptedBuyer, ROLE),
            compat=compat,
            privileged=privileged,
            render_mode=render_mode,
        )
        self.reward = reward
        self._ledger = Ledger(profile_of(0))
        self._state = BuyerState(self._ledger.profile, PUZZLED, 0, 0, 0)
        self._is_valid = True

    def _start(self, options: Mapping[str, Any]) -> str:
        asked, task = options.get("buyer"), options.get("task")
        if asked is not None and task is not None:
            raise ValueError("give `buyer` or `task`, not both")
        drawn = drawn_profile(self.np_random) if task is None else profile_of(self._drawn_task(options))
        profile = drawn if asked is None else asked_profile(asked, drawn)
        self.task = profile.task()
        self._ledger = Ledger(profile)
        return GREETING

    def _ask(self, action: str) -> Query:
        said, ledger = read(action), self._ledger
        self._is_valid = len(action) <= LONGEST_READ and _HAS_SENSE.search(action) is not None
        self._not_understood += not said.is_understood
        decision = ledger.hear(said)
        self._state = BuyerState(ledger.profile, decision, ledger.price, ledger.sticker, ledger.counter)
        talk = (*self.history, Turn(self._recorded(action), True))
        return Query(talk, self._state, self.np_random)

    def _heard(self, reply: Reply) -> Response:
        price = self._state.decision.price
        text = checked_words(reply.text, self._state, self.np_random)
        if self._ledger.is_open:
            return Response(text, action_is_valid=self._is_valid)
        stop_reason = "won" if price else "turn_limit" if self._ledger.turns >= LIMIT else "lost"
        return Response(text, self._paid(price), True, False, price > 0, self._is_valid, stop_reason)

    def _paid(self, price: int) -> float:
        """The reward for a sale at `price`, or for none."""
        return paid(self.reward, self.compat, self._ledger.profile.budget, self._ledger.sticker, price)

    def _secret(self) -> dict[str, Any]:
        return self._ledger.profile.to_json()


car_dealer_vector = vectorise(CarDealerEnv)
