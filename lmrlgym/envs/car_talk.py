"""What a seller can know: the visible talk, with what the buyer named and what the seller said so far."""

from __future__ import annotations

from typing import NamedTuple

from lmrlgym.envs.car_claims import BRANDS, FEATURES, TYPES, mentions, read
from lmrlgym.envs.car_ledger import Ledger, car_name, profile_of
from lmrlgym.envs.car_offers import plain, prices_in
from lmrlgym.types import History


class Talk(NamedTuple):
    """A talk as both sides know it; nothing in it is hidden from the seller."""

    texts: int
    """Texts of the seller."""
    counters: tuple[int, ...]
    """The prices that the buyer named, first to last."""
    car: str
    """The wished car in words; "" as long as the buyer has not named it."""
    is_car_claimed: bool
    wished: tuple[str, ...]
    """The features that the buyer named."""
    claimed: tuple[str, ...]
    """The features that the seller claimed."""
    missing: tuple[str, ...]
    """Those that the buyer named and the seller has not claimed."""
    was_asked: bool
    """Whether the buyer's last text names one of the missing."""
    price: int
    """The seller's standing offer; 0 if there is none."""
    sticker: int
    has_asked_budget: bool
    has_asked_wishes: bool


def talk_of(history: History) -> Talk:
    """What `history` holds."""
    # What a ledger enters about prices and questions is the same for every buyer.
    ledger = Ledger(profile_of(0))
    counters: list[int] = []
    named = claimed = brand = body = last = 0
    own_brands = own_types = 0
    for turn in history:
        if turn.is_action:
            said = read(turn.text)
            ledger.hear(said)
            claimed = (claimed | said.claims.features) & ~(said.denies.features & ~said.claims.features)
            own_brands |= said.claims.brands
            own_types |= said.claims.types
            continue
        counters += prices_in(plain(turn.text))
        heard = mentions(turn.text)
        last = heard.features
        named |= last
        brand, body = heard.brands or brand, heard.types or body
    missing = named & ~claimed
    return Talk(
        texts=ledger.turns,
        counters=tuple(counters),
        car=car_name(BRANDS[_first(brand)], TYPES[_first(body)]) if brand and body else "",
        is_car_claimed=bool(own_brands & brand and own_types & body),
        wished=_listed(named),
        claimed=_listed(claimed),
        missing=_listed(missing),
        was_asked=bool(last & missing),
        price=ledger.price,
        sticker=ledger.sticker,
        has_asked_budget=bool(ledger.asked & 1),
        has_asked_wishes=bool(ledger.asked & 2),
    )


def _first(mask: int) -> int:
    return (mask & -mask).bit_length() - 1


def _listed(mask: int) -> tuple[str, ...]:
    return tuple(feature for number, feature in enumerate(FEATURES) if mask >> number & 1)
