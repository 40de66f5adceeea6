"""The formats of the 2023 release of Car Dealer: what a buyer decided, and its talks as data.

arXiv 2311.18232. There a language model played the buyer: it was told its profile in one line and ended the
talk by writing what it decided. Here such texts decide nothing; they are for models that learn from them.
(What such a model is told stands in `lmrlgym.partners.roles.car_dealer`.)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lmrlgym.envs.car_ledger import Profile
from lmrlgym.partners.roles.car_dealer import profile_line
from lmrlgym.types import Turn

START = "Start\n"


class Output(NamedTuple):
    """What a 2023 buyer decided, in dollars; `buy_price` is None if it named none or bought nothing."""

    car_bought: bool
    msrp: int
    buy_price: int | None = None


_NUMBER = r"\$([1-9][0-9,]*)"
_OUTPUT = re.compile(rf"Output: Decision=(Accept|Reject) MSRP={_NUMBER}(?: Buy Price={_NUMBER})?")


def read_output(text: str) -> tuple[Output | None, str]:
    """The first decision written in `text`, None if there is none, and the text without it."""
    found = _OUTPUT.search(text)
    if found is None:
        return None, text
    decision, msrp, price = found.groups()
    is_bought = decision == "Accept"
    output = Output(is_bought, _whole(msrp), _whole(price) if price and is_bought else None)
    return output, text[: found.start()] + text[found.end() :]


def written_output(output: Output) -> str:
    """A decision as a 2023 buyer writes it."""
    price = "" if output.buy_price is None else f" Buy Price=${output.buy_price:,}"
    return f"Output: Decision={'Accept' if output.car_bought else 'Reject'} MSRP=${output.msrp:,}{price}"


def buyer_of(info: Mapping[str, Any]) -> Profile:
    """The buyer of a 2023 record, whatever it likes; the files name no strategy."""
    return Profile(
        info["personality"], info["preferred_brands"], info["preferred_type"],
        tuple(info["preferred_features"]), info["budget"], "",
    )  # fmt: skip


def joined(history: Sequence[Turn]) -> list[Turn]:
    """`history` with the texts that the agent says in a row made one; rewards add up."""
    turns: list[Turn] = []
    for turn in history:
        if turn.is_action and turns and turns[-1].is_action:
            before = turns.pop()
            text = f"{before.text.rstrip(chr(10))} {turn.text}"
            turn = Turn(text, True, before.reward + turn.reward)
        turns.append(turn._replace(text=turn.text.rstrip("\n") + "\n") if turn.is_action else turn)
    return turns


def buyer_turns(record: Mapping[str, Any]) -> list[Turn]:
    """A conversation of the 2023 files as the buyer's: the actions are its, the decision ends the last.

    The seller's side of the same record is `lmrlgym.loaders2023.sale_to_turns`.
    """
    turns = [Turn(START, False), Turn(profile_line(buyer_of(record["buyer_info"])), False)]
    turns += [Turn(f"{line['text']}\n", line["role"] == "Buyer") for line in record["lines"]]
    if record.get("output") is not None:
        turns.append(Turn(f"{written_output(Output(**record['output']))}\n", True))
    return joined(turns)


def lines_of(history: Sequence[Turn]) -> list[dict[str, str]]:
    """A seller's history as the `lines` of a 2023 record."""
    return [
        {"role": "Seller" if turn.is_action else "Buyer", "text": turn.text.rstrip("\n")}
        for turn in history[1:]
    ]


def _whole(digits: str) -> int:
    return int(digits.replace(",", ""))
