"""What the ledger reads in a seller's free text: prices, claims, questions, a yes."""

from __future__ import annotations

import pytest

from lmrlgym.envs.car_claims import BRANDS, FEATURES, LONGEST_READ, TYPES, Claims, mentions, read
from lmrlgym.envs.car_offers import Offer, plain, prices_in, read_offer


def offer(text: str) -> Offer:
    return read_offer(plain(text))


# ---- prices ----


@pytest.mark.parametrize(
    "text",
    [
        "$48,000", "I can offer it for $48,000.", "48k", "48K and it's yours", "48 k", "$48k", "48 thousand",
        "48-thousand", "forty-eight thousand", "Forty eight thousand dollars!", "fourty-eight thousand",
        "48,000 dollars", "48000 USD", "USD 48,000", "US$48,000", "$ 48,000", "$48.000", "$48,000.00",
        "48 grand", "Price: 48000", "How about 48000?", "48,000$", "48 000 dollars", "$48 000",
        "a 2021 BMW for $48,000", "Would you pay $48,000?", "4８,０００ dollars", "48,000 bucks",
        "plus $500 delivery fee, so in total $48,000", "I sell it for 48,000, and it has 12,000 miles on it",
    ],
)  # fmt: skip
def test_a_price_is_understood_however_it_is_written(text: str):
    assert offer(text).price == 48_000


@pytest.mark.parametrize(
    ("text", "price"),
    [
        ("$48.5k", 48_500),
        ("48.5 thousand", 48_500),
        ("forty-eight thousand five hundred", 48_500),
        ("forty-eight thousand and five hundred dollars", 48_500),
        ("a hundred grand", 100_000),
        ("one hundred twenty thousand dollars", 120_000),
        ("ninety-nine thousand nine hundred and ninety-nine", 99_999),
        ("$1,000", 1_000),
        ("$9,999,999", 9_999_999),
    ],
)
def test_prices_in_parts(text: str, price: int):
    assert offer(text).price == price


@pytest.mark.parametrize(
    "text",
    [
        "$499 a month", "$1,499/month", "only $1,499 per month", "$1,499 monthly", "$1,499 every month",
        "$1,499 for each month", "a monthly rate of $1,499", "48 monthly payments of $1,000",
        "fifteen hundred dollars a month", "$1,200 per week", "$5,000 down", "a deposit of $5,000",
        "a down payment of $4,000", "0.9% APR for 60 months",
    ],
)  # fmt: skip
def test_a_rate_or_deposit_is_no_offer(text: str):
    assert offer(text) == Offer()


@pytest.mark.parametrize(
    "text",
    [
        "", "hello", "It has 48,000 miles on it.", "The 2021 model", "Built in 2019", "Call 5551234567",
        "€48,000", "48,000 euros", "$999", "$0", "$10,000,000", "48 million dollars", "zero dollars",
        "the warranty is worth $2,000", "I'll throw in a $1,500 gift card", "300 horsepower", "free",
        "plus $1,500 in fees", "48,000 customers", "What about forty-two?", "0x10000", "1e5 dollars",
    ],
)  # fmt: skip
def test_other_numbers_are_no_offers(text: str):
    assert offer(text) == Offer()


@pytest.mark.parametrize(
    "text",
    [
        "I can't do $40,000", "$40,000 is too low", "You offered $40,000", "your offer of $40,000 is noted",
        "$40,000 won't work.", "Is $40,000 your budget?",
        "So the budget is $40,000?",
    ],
)  # fmt: skip
def test_a_price_refused_or_quoted_is_no_offer(text: str):
    assert offer(text).price == 0


def test_a_floor_is_an_offer():
    assert offer("I can't go below $45,000").price == 45_000


def test_the_last_price_named_is_the_offer():
    assert offer("You offered $40,000, I asked $50,000, so let us say $45,000").price == 45_000


@pytest.mark.parametrize(
    "text",
    [
        "The MSRP is $55,000, for you $48,000", "It was $55,000, now $48,000",
        "Reduced from $55,000 to $48,000",
        "$55,000 marked down to $48,000", "Instead of $55,000 you pay $48,000", "sticker $55k, yours for 48k",
    ],
)  # fmt: skip
def test_a_list_price_is_the_sticker_and_no_offer(text: str):
    assert offer(text) == Offer(price=48_000, sticker=55_000)


def test_a_list_price_alone_is_a_sticker():
    assert offer("The sticker says $55,000.") == Offer(sticker=55_000)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        # 10 % of 50,000 is 5,000
        ("The sticker is $50,000, and I take 10 % off the sticker.", Offer(price=45_000, sticker=50_000)),
        ("$50,000 minus 10%", Offer(price=45_000)),
        ("$50,000 less $2,000", Offer(price=48_000)),
        ("I'll take 10% off the sticker.", Offer(percent_off=10.0)),
        ("ten percent off", Offer(percent_off=10.0)),
        ("a 10 per cent discount", Offer(percent_off=10.0)),
        ("another 5 % off", Offer(percent_off=5.0, is_off_standing=True)),
        ("I can knock off two thousand dollars", Offer(amount_off=2_000, is_off_standing=True)),
        ("a discount of $3,000", Offer(amount_off=3_000, is_off_standing=True)),
        ("$3,000 off the sticker price", Offer(amount_off=3_000)),
        ("110% off", Offer()),
        ("0% off", Offer()),
    ],
)
def test_discounts_are_taken_off_what_they_are_said_to_be_off(text: str, read_as: Offer):
    assert offer(text) == read_as


def test_every_price_in_a_text_is_listed_whatever_is_said_about_it():
    assert prices_in(plain("You said $40,000; $499 a month; the sticker is 55k, 10 % off")) == [
        40_000,
        55_000,
    ]


# ---- claims ----


def mask(values: tuple[str, ...], *chosen: str) -> int:
    return sum(1 << values.index(value) for value in chosen)


def features(*chosen: str) -> Claims:
    return Claims(features=mask(FEATURES, *chosen))


def test_brand_type_and_features_are_claimed():
    said = read("This BMW sedan has heated seats and a sunroof.")
    assert said.claims == Claims(
        mask(BRANDS, "a BMW"), mask(TYPES, "sedan"), mask(FEATURES, "heated seats", "sunroof")
    )
    assert said.denies == Claims()


def test_every_feature_has_other_names():
    text = "reversing camera, GPS, seat heating, leather, 3rd row, blind-spot monitor, moonroof and CarPlay"
    assert read(f"It has a {text}.").claims == features(*FEATURES)


@pytest.mark.parametrize(
    "text",
    [
        "It has no sunroof.", "It doesn't have a sunroof.", "It comes without a sunroof.",
        "It has everything except the sunroof.", "Unfortunately it lacks a sunroof.",
    ],
)  # fmt: skip
def test_what_is_denied_is_not_claimed(text: str):
    said = read(text)
    assert (said.claims, said.denies) == (Claims(), features("sunroof"))


def test_a_denial_ends_with_its_clause():
    said = read("It doesn't have a sunroof, but it has heated seats.")
    assert (said.claims, said.denies) == (features("heated seats"), features("sunroof"))


@pytest.mark.parametrize(
    "text",
    [
        "Do you want a sunroof?", "You said you want a sunroof.", "It might have a sunroof.",
        "Let me check whether it has a sunroof.", "So you need a sunroof.", "Is a sunroof important to you?",
    ],
)  # fmt: skip
def test_what_is_doubted_or_asked_about_is_neither_claimed_nor_denied(text: str):
    assert (read(text).claims, read(text).denies) == (Claims(), Claims())


def test_not_only_is_no_denial():
    assert read("Not only does it have a sunroof, it has leather.").claims == features(
        "sunroof", "leather seats"
    )


def test_all_that_is_mentioned_is_mentioned_whatever_is_said():
    assert mentions("No BMW has a sunroof, does it?") == Claims(
        mask(BRANDS, "a BMW"), 0, mask(FEATURES, "sunroof")
    )


# ---- questions and a yes ----


@pytest.mark.parametrize(
    "text",
    [
        "What is your budget?", "How much can you spend?", "What price did you have in mind?",
        "Make me an offer?", "Tell me your budget.", "What's your limit?",
    ],
)  # fmt: skip
def test_the_budget_is_asked_for(text: str):
    assert read(text).asks_budget


@pytest.mark.parametrize(
    "text",
    [
        "What are you looking for?", "Which features do you need?", "Any must-haves?",
        "Tell me what you want in a car.", "Do you have any preferences?", "What kind of car do you want?",
    ],
)  # fmt: skip
def test_wishes_are_asked_for(text: str):
    assert read(text).asks_wishes


@pytest.mark.parametrize("text", ["It fits your budget.", "That is all you need."])
def test_a_statement_asks_for_nothing(text: str):
    assert not read(text).asks_budget
    assert not read(text).asks_wishes


@pytest.mark.parametrize(
    "text",
    [
        "Deal!", "It's a deal", "OK, you win.", "Sold!", "I accept your offer.", "I agree.", "It's yours.",
        "You've got yourself a deal!", "I'll take your offer.", "Your price works for me.", "We have a deal",
    ],
)  # fmt: skip
def test_a_yes_to_an_offer(text: str):
    assert read(text).accepts


@pytest.mark.parametrize(
    "text",
    [
        "No deal.", "I can't accept that.", "That's a great deal for you", "The deal is on",
        "Do we have a deal?", "If you accept, it's yours.", "We sold many cars.",
        "I accept credit cards", "I would accept more",
        "Would you shake on that?",
    ],
)  # fmt: skip
def test_no_yes_to_an_offer(text: str):
    assert not read(text).accepts


@pytest.mark.parametrize(
    ("text", "affirms", "is_bare"),
    [
        ("Yes.", True, True),
        ("Yes, it does.", True, False),
        ("Of course, sir!", True, True),
        ("It has that.", True, False),
        ("OK", False, True),
        ("Sure, what do you want?", False, False),
        ("Yes, maybe.", False, False),
        ("No.", False, False),
    ],
)
def test_a_yes_to_a_question(text: str, affirms: bool, is_bare: bool):
    assert (read(text).affirms, read(text).is_bare_yes) == (affirms, is_bare)


def test_a_text_of_over_2000_characters_is_not_read():
    price = "It costs $48,000."
    assert read(price + " " * (LONGEST_READ - len(price))).offer.price == 48_000
    assert not read(price + " " * (LONGEST_READ - len(price) + 1)).is_understood


@pytest.mark.parametrize("text", ["asdf qwer", "", "?!?", "dfoiu 12"])
def test_nonsense_is_not_understood(text: str):
    assert not read(text).is_understood
