"""Car Dealer: who buys, how the ledger decides, what is paid, and that no words change it."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import pytest

from lmrlgym import Partner, Query, Trajectory, replay, rollout
from lmrlgym.envs.car_dealer import (
    BRANDS,
    BUDGETS,
    FEATURES,
    LIMIT,
    PERSONALITIES,
    PROFILES,
    STRATEGIES,
    TYPES,
    BuyerState,
    CarDealerEnv,
    Decision,
    Ledger,
    Profile,
    best_offer,
    car_name,
    checked_words,
    listed,
    margin,
    opening_counter,
    profile_of,
    read,
    reward_2023,
)
from lmrlgym.envs.car_ledger import FEATURE_SETS, asked_profile, drawn_profile
from lmrlgym.policies.car_dealer import MixedSeller

ENV_ID = "lmrlgym/CarDealer-v0"
WISHES = ("sunroof", "heated seats")
BUYER = Profile("sarcastic", "a BMW", "sedan", WISHES, 50_000, "impatient")
PITCH = "This is a BMW sedan with a sunroof and heated seats."


def ledger(strategy: str = "impatient", personality: str = "sarcastic", budget: int = 50_000) -> Ledger:
    """Of a buyer who wants a BMW sedan with a sunroof and heated seats."""
    return Ledger(Profile(personality, "a BMW", "sedan", WISHES, budget, strategy))


def heard(account: Ledger, *texts: str) -> list[Decision]:
    return [account.hear(read(text)) for text in texts]


def last(account: Ledger, *texts: str) -> Decision:
    return heard(account, *texts)[-1]


def started(strategy: str = "impatient", partner: str | Partner = "scripted", **kwargs: Any) -> CarDealerEnv:
    """A game with `BUYER`, of another strategy."""
    env = CarDealerEnv(partner=partner, **kwargs)
    env.reset(seed=0, options={"buyer": {**BUYER.to_json(), "strategy": strategy}})
    return env


# ---- buyers ----


def test_the_lists_are_the_papers():
    assert BUDGETS == (10_000, 30_000, 50_000, 70_000, 90_000)
    assert (len(PERSONALITIES), len(BRANDS), len(TYPES), len(FEATURES), len(STRATEGIES)) == (10, 13, 6, 8, 3)


def test_there_are_as_many_buyers_as_combinations():
    # sets of one to four of eight features: 8 + 28 + 56 + 70
    assert len(FEATURE_SETS) == 162
    assert PROFILES == 10 * 13 * 6 * 162 * 5 * 3


def test_every_number_is_another_buyer_and_tells_which():
    some = [*range(40), *range(9_973, PROFILES, 9_973), PROFILES - 1]
    buyers = [profile_of(task) for task in some]
    assert [buyer.task() for buyer in buyers] == some
    assert len(set(buyers)) == len(some)


def test_each_part_of_a_buyer_is_drawn_uniformly():
    rng = np.random.default_rng(0)
    drawn = [drawn_profile(rng) for _ in range(4_000)]
    for values, got in (
        (PERSONALITIES, [b.personality for b in drawn]),
        (BRANDS, [b.brand for b in drawn]),
        (TYPES, [b.type for b in drawn]),
        (BUDGETS, [b.budget for b in drawn]),
        (STRATEGIES, [b.strategy for b in drawn]),
        # first how many, then which
        ((1, 2, 3, 4), [len(b.features) for b in drawn]),
        (FEATURES, [b.features[0] for b in drawn if len(b.features) == 1]),
    ):
        expected = len(got) / len(values)
        for value in values:
            # four standard deviations of a binomial count
            assert abs(got.count(value) - expected) < 4 * expected**0.5, value  # type: ignore[attr-defined]


def test_the_option_buyer_sets_what_it_names_and_leaves_the_rest_drawn():
    env = CarDealerEnv(privileged=True)
    secret = env.reset(seed=3)[1]["secret"]
    asked = env.reset(seed=3, options={"buyer": {"budget": 12_345}})[1]
    assert asked["secret"] == {**secret, "budget": 12_345}
    assert asked["task"] == -1


@pytest.mark.parametrize(
    ("buyer", "message"),
    [
        ({"shoe_size": 9}, "shoe_size"),
        ("polite", "mapping"),
        ({"personality": "hungry"}, "hungry"),
        ({"strategy": "none"}, "strategy must be one of"),
        ({"preferred_features": []}, "preferred_features"),
        ({"preferred_features": ["sunroof", "sunroof"]}, "preferred_features"),
        ({"preferred_features": "sunroof"}, "preferred_features"),
        ({"budget": 1_999}, "from 2000 to 1000000, got 1999"),
        ({"budget": 1_000_001}, "1000001"),
        ({"budget": "50k"}, "whole number"),
        ({"budget": True}, "whole number"),
    ],
)
def test_a_buyer_that_cannot_be_is_refused_by_name(buyer: Any, message: str):
    with pytest.raises(ValueError, match=message):
        CarDealerEnv().reset(options={"buyer": buyer})


def test_a_buyer_may_want_all_features():
    drawn = profile_of(0)
    assert asked_profile({"preferred_features": list(FEATURES)}, drawn).features == FEATURES


def test_buyer_and_task_do_not_go_together():
    with pytest.raises(ValueError, match="not both"):
        CarDealerEnv().reset(options={"buyer": {}, "task": 0})


def test_cars_and_features_in_words():
    assert car_name("an Audi", "sedan") == "an Audi sedan"
    assert car_name("a BMW", "electric") == "an electric BMW"
    assert car_name("an Audi", "luxury") == "a luxury Audi"
    assert listed(["sunroof"]) == "a sunroof"
    assert (
        listed(["sunroof", "heated seats", "backup camera"]) == "a sunroof, heated seats and a backup camera"
    )


# ---- what suits whom ----


def test_a_price_at_the_budget_is_paid_once_all_wishes_are_confirmed():
    assert last(ledger(), PITCH, "It is $50,000.") == Decision("accept", 50_000)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_nothing_above_the_budget_is_paid(strategy: str):
    account = ledger(strategy)
    assert last(account, f"{PITCH} The sticker says $90,000. It is $50,001.").kind == "counter"
    assert not account.accepts(50_001)


def test_every_open_wish_takes_5_percent_of_the_budget_off():
    # two features, brand and type: 100 - 4 * 5 = 80 % of 50,000; with the car confirmed 90 %
    account = ledger()
    assert account.most_paid() == 40_000
    assert last(account, "$40,001").kind == "ask_car"
    assert last(ledger(), "$40,000") == Decision("accept", 40_000)
    heard(account, "This is a BMW sedan.")
    assert account.most_paid() == 45_000
    assert last(account, "$45,000") == Decision("accept", 45_000)


def test_a_discount_buyer_wants_10_percent_off_its_sticker():
    account = ledger("discount")
    assert last(account, PITCH, "The sticker says $50,000, I ask $45,001.").kind == "ask_discount"
    assert last(account, "$45,000, then.") == Decision("accept", 45_000)


def test_the_first_price_is_a_discount_buyers_sticker_if_none_is_named():
    account = ledger("discount")
    assert last(account, PITCH, "It is $50,000.").kind == "ask_discount"
    assert last(account, "10 % off the sticker!") == Decision("accept", 45_000)


def test_a_specifications_buyer_buys_only_when_every_wish_is_confirmed():
    account = ledger("specifications")
    assert last(account, "This is a BMW sedan with a sunroof for $2,000.") == Decision(
        "ask_feature", 0, ("heated seats",)
    )
    assert last(account, "It has heated seats.") == Decision("accept", 2_000)


def test_a_wrong_car_is_not_bought_at_any_price():
    assert last(ledger(), "This Audi sedan is $2,000.") == Decision("wrong_car", 0, ("a BMW sedan",))
    assert last(ledger(), "This BMW truck is $2,000.") == Decision("wrong_car", 0, ("a BMW sedan",))


def test_a_car_may_be_luxury_or_electric_besides_its_body():
    assert last(ledger(), f"{PITCH} It is a luxury car, electric, for $50,000.").kind == "accept"


def test_the_right_car_makes_good_for_the_wrong_one():
    assert last(ledger(), "This is an Audi sedan.", "Or this BMW sedan, for $40,000.").kind == "accept"


def test_what_is_denied_is_no_longer_confirmed():
    account = ledger("specifications")
    heard(account, PITCH, "I was wrong, it has no sunroof.")
    assert last(account, "It is $20,000.") == Decision("ask_feature", 0, ("sunroof",))


def test_yes_confirms_what_the_buyer_asked_for():
    account = ledger("specifications")
    assert last(account, "This is a BMW sedan for $50,000.") == Decision("ask_feature", 0, ("sunroof",))
    assert last(account, "Yes, it does.") == Decision("ask_feature", 0, ("heated seats",))
    assert last(account, "Yes, but no heated seats, sorry.").kind == "ask_feature"
    assert last(account, "Yes.") == Decision("accept", 50_000)


def test_yes_confirms_the_car():
    account = ledger("specifications")
    assert last(account, "It has a sunroof and heated seats for $50,000.").kind == "ask_car"
    assert last(account, "Of course.") == Decision("accept", 50_000)


def test_yes_to_no_question_confirms_nothing():
    account = ledger("specifications")
    heard(account, "Yes!", "Yes, sure.")
    assert account.unmet == 4


# ---- counter-offers ----


@pytest.mark.parametrize(
    ("strategy", "counter"), [("discount", 30_000), ("specifications", 40_000), ("impatient", 35_000)]
)
def test_asked_for_the_budget_a_buyer_opens_at_its_own_share_of_it(strategy: str, counter: int):
    assert last(ledger(strategy), "What is your budget?") == Decision("counter", counter)
    assert opening_counter(50_000, strategy) == counter


def test_opening_counters_tell_budget_and_strategy():
    assert len({opening_counter(budget, strategy) for budget in BUDGETS for strategy in STRATEGIES}) == 15


def test_a_concession_raises_the_counter_by_5_percent_of_the_budget():
    account = ledger("discount")
    assert last(account, PITCH, "$90,000") == Decision("counter", 30_000)
    assert last(account, "$80,000") == Decision("counter", 32_500)
    # 79,300 is less than 1 % below 80,000; 1 % below 79,300 are 78,507
    assert last(account, "$79,300") == Decision("insist", 32_500)
    assert last(account, "$78,508") == Decision("insist", 32_500)
    assert last(account, "$77,700") == Decision("counter", 35_000)


def test_the_counter_ends_at_90_percent_of_the_budget():
    account = ledger("specifications")
    heard(account, PITCH, *(f"${price:,}" for price in range(90_000, 60_000, -5_000)))
    assert account.counter == 45_000


def test_no_counter_is_above_what_is_paid_with_the_wishes_still_open():
    # discount, four open wishes: at most 80 %, which is 40,000
    account = ledger("discount")
    heard(account, *(f"${price:,}" for price in range(120_000, 60_000, -5_000)))
    assert account.counter == 40_000


def test_a_yes_to_the_counter_is_a_sale_at_the_counter():
    assert last(ledger(), "What is your budget?", "Deal!") == Decision("accept", 35_000)


@pytest.mark.parametrize("text", ["Yes.", "OK", "Sure!", "Fine, sir."])
def test_a_bare_yes_to_a_counter_is_a_yes(text: str):
    assert last(ledger(), "What is your budget?", text) == Decision("accept", 35_000)


def test_a_yes_without_a_counter_sells_nothing():
    assert last(ledger(), "Deal!").kind == "greet"


def test_a_yes_with_another_price_is_that_offer():
    account = ledger()
    assert last(account, PITCH, "What is your budget?", "Deal, $36,000!") == Decision("accept", 36_000)


def test_a_specifications_buyer_keeps_to_its_wishes_even_at_its_own_price():
    assert last(ledger("specifications"), "What is your budget?", "Deal!").kind == "ask_car"


# ---- patience ----


def texts_until_the_end(strategy: str, personality: str, text: str) -> int:
    account = ledger(strategy, personality)
    while account.is_open:
        account.hear(read(text))
    return account.turns


@pytest.mark.parametrize(
    ("personality", "change"),
    [("sarcastic", 0), ("uncommunicative", 0), ("polite", 1), ("talkative", 1), ("angry", -1), ("toxic", -1)],
)
def test_a_buyer_leaves_after_texts_that_lead_nowhere(personality: str, change: int):
    # the first text is progress; the impatient buyer counts it
    assert texts_until_the_end("discount", personality, "Nice weather.") == 5 + change
    assert texts_until_the_end("specifications", personality, "Nice weather.") == 5 + change
    assert texts_until_the_end("impatient", personality, "Nice weather.") == 6 + change


@pytest.mark.parametrize(
    "text", ["It has a sunroof.", "$60,000", "What is your budget?", "Which features do you need?"]
)
def test_progress_costs_no_patience(text: str):
    account = ledger("discount")
    heard(account, "Hello.")
    before = account.patience
    heard(account, text)
    assert account.patience == before
    heard(account, text)
    assert account.patience == before - 1


def test_the_25th_text_is_the_last():
    account = ledger("discount")
    prices = [f"${round(9_000_000 * 0.98**k):,}" for k in range(LIMIT)]
    decisions = heard(account, *prices)
    assert [decision.kind for decision in decisions[:-1]].count("leave") == 0
    assert decisions[-1] == Decision("leave")


def test_the_25th_text_can_still_sell():
    account = ledger("discount")
    heard(account, PITCH, *(f"${round(9_000_000 * 0.98**k):,}" for k in range(LIMIT - 2)))
    assert last(account, "$40,000") == Decision("accept", 40_000)


# ---- answers ----


def test_asked_for_wishes_a_buyer_tells_car_and_features():
    assert last(ledger(), "What are you looking for?") == Decision("tell_wishes", 0, ("a BMW sedan", *WISHES))


def test_first_of_all_a_buyer_says_what_it_came_for():
    assert last(ledger(), "Hello!") == Decision("greet", 0, ("a BMW sedan",))


def test_without_a_price_it_asks_for_one():
    assert last(ledger(), "Hello!", PITCH).kind == "ask_price"


def test_what_is_not_understood_is_answered_so():
    assert last(ledger(), "Hello!", "asdf").kind == "puzzled"


# ---- rewards ----


def test_revenue_is_the_price_in_thousands():
    env = started()
    assert env.step(f"{PITCH} It is $48,000.")[1] == 48.0


def test_margin_is_the_price_by_the_mean_of_budget_and_sticker():
    # 48 / mean(50, 54)
    env = started(reward="margin")
    assert env.step(f"{PITCH} The sticker says $54,000. It is $48,000.")[1] == pytest.approx(48 / 52)


def test_margin_of_a_sale_is_at_most_1_and_that_is_at_the_budget():
    assert margin(50_000, 50_000, 50_000) == 1.0
    assert all(margin(50_000, sticker, 50_000) < 1 for sticker in (50_001, 60_000, 1_000_000))
    assert all(margin(50_000, price, price) < 1 for price in (1_000, 30_000, 49_999))


@pytest.mark.parametrize(
    ("sticker", "unsold"),
    [(0, 0.0), (60_000, 0.0), (50_000, 0.0), (40_000, -0.25), (1_000, -1.0)],
)
def test_margin_of_an_unsold_car_never_pays_and_is_bounded(sticker: int, unsold: float):
    assert margin(50_000, sticker, 0) == unsold


def test_the_2023_margin_pays_for_a_dear_car_not_sold():
    # -(50 - 60) / 60, and -(50 - 1) / 1
    assert reward_2023(50_000, False, 60_000, None, "fancy") == pytest.approx(1 / 6)
    assert reward_2023(50_000, False, 1_000, None, "fancy") == -49.0


@pytest.mark.parametrize(("compat", "paid"), [(False, 0.0), (True, 1 - 50_000 / 100_000)])
def test_compat_pays_the_2023_margin(compat: bool, paid: float):
    env = started(reward="margin", compat=compat)
    total, terminated = 0.0, False
    while not terminated:
        _, reward, terminated, _, info = env.step("It is $100,000.")
        total += reward
    assert info["stop_reason"] == "lost"
    assert total == paid


def test_an_unsold_car_brings_no_revenue():
    env = started()
    rewards = [env.step("Nice weather.")[1] for _ in range(6)]
    assert rewards == [0.0] * 6


@pytest.mark.parametrize(("strategy", "sticker"), [("discount", 55_556), ("impatient", 50_000)])
def test_the_best_offer_is_the_budget_with_the_lowest_sticker_that_will_do(strategy: str, sticker: int):
    # 90 % of 55,556 is 50,000.4 and of 55,555 is 49,999.5
    assert best_offer(50_000, strategy) == (50_000, sticker)
    account = ledger(strategy)
    heard(account, f"{PITCH} The sticker says ${sticker:,}.")
    assert account.accepts(50_000) == (strategy != "discount" or account.sticker == sticker)


# ---- the game ----


def test_the_game_begins_with_start_and_the_sellers_word():
    assert CarDealerEnv().reset(seed=0)[0] == "Start\n"


def test_a_sale_ends_the_game_as_won():
    _, _, terminated, truncated, info = started().step(f"{PITCH} It is $48,000.")
    assert (terminated, truncated, info["success"], info["stop_reason"]) == (True, False, True, "won")


def test_a_buyer_out_of_patience_ends_the_game_as_lost():
    env = started()
    *_, (_, _, terminated, truncated, info) = [env.step("Nice weather.") for _ in range(6)]
    assert (terminated, truncated, info["success"], info["stop_reason"]) == (True, False, False, "lost")


def test_the_25th_text_ends_the_game_by_the_limit():
    env = started("discount")
    for k in range(LIMIT - 1):
        assert not env.step(f"${round(9_000_000 * 0.98**k):,}")[2]
    _, _, terminated, truncated, info = env.step("One last word.")
    assert (terminated, truncated, info["stop_reason"], info["turn"]) == (True, False, "turn_limit", 25)


@pytest.mark.parametrize(
    ("text", "is_valid"),
    [("Hello", True), ("?!", False), ("", False), ("x" * 2_000, True), ("x" * 2_001, False)],
)
def test_texts_without_sense_or_end_are_not_valid(text: str, is_valid: bool):
    assert started().step(text)[4]["action_is_valid"] == is_valid


def test_texts_in_which_nothing_is_understood_are_counted():
    env = started()
    counts = [env.step(text)[4]["not_understood"] for text in ("Hello!", "qwertz", "zxcv", "$90,000")]
    assert counts == [0, 1, 2, 2]


def test_the_secret_is_told_to_the_privileged_only():
    env = started()
    assert "secret" not in env.step("Hello!")[4]
    assert started(privileged=True).step("Hello!")[4]["secret"] == BUYER.to_json()


def test_a_reward_there_is_not_is_refused():
    with pytest.raises(ValueError, match="revenue, margin, got 'profit'"):
        CarDealerEnv(reward="profit")


def played(seed: int, **kwargs: Any) -> list[Trajectory]:
    return rollout(ENV_ID, MixedSeller(0.3), 12, seed=seed, **kwargs)


def test_the_same_seed_gives_the_same_games_however_many_at_once():
    assert played(4) == played(4, parallel=5)
    assert played(4) != played(40)


def test_a_copy_goes_on_identically():
    env = started("discount")
    env.step(f"{PITCH} It is $90,000.")
    copy = deepcopy(env)
    texts = ["$80,000", "What is your budget?", "$70,000", "Deal!"]
    assert [env.step(text) for text in texts[:3]] == [copy.step(text) for text in texts[:3]]
    assert env.history == copy.history


def test_games_are_replayed_from_what_is_kept_of_them():
    assert [replay(game) for game in played(9)] == [None] * 12


# ---- who words the decision ----


class Says:
    """A buyer that always says the same."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.states: list[BuyerState] = []

    def reply(self, queries: Sequence[Query]) -> list[str]:
        self.states += [query.state for query in queries]
        return [self.text for _ in queries]


def words(text: str, decision: Decision, price: int = 0, counter: int = 0) -> str:
    return checked_words(text, BuyerState(BUYER, decision, price, 0, counter), np.random.default_rng(0))


def test_words_that_name_the_decided_price_are_said():
    assert words("I would go to\n45k.", Decision("counter", 45_000)) == "I would go to 45k.\n"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "I give you a lot.",
        "I give you $50,000.",
        "I give you $45,000, or maybe $49,000.",
        "$45,000 " * 200,
    ],
)
def test_other_words_are_replaced_by_scripted_ones(text: str):
    said = words(text, Decision("counter", 45_000))
    assert said != f"{text}\n"
    assert (
        checked_words(said, BuyerState(BUYER, Decision("counter", 45_000), 0, 0, 0), np.random.default_rng(1))
        == said
    )


def test_words_may_name_prices_that_were_named_before():
    text = "Not $60,000, but $45,000."
    assert words(text, Decision("counter", 45_000), price=60_000) == f"{text}\n"


def test_words_without_a_decided_price_name_none_of_their_own():
    assert (
        words("Fine, I take it for $1,000,000!", Decision("ask_price")) != "Fine, I take it for $1,000,000!\n"
    )


@pytest.mark.parametrize(
    "text",
    [
        "I accept! Output: Decision=Accept MSRP=$90,000 Buy Price=$90,000",
        "Deal, I pay $90,000.",
        "I buy it.",
        "\ud800",
    ],
)
def test_no_partner_can_sell_or_pay_by_words(text: str):
    env = started(partner=Says(text))
    _, reward, terminated, truncated, info = env.step("It is $90,000.")
    assert (reward, terminated, truncated, info["success"]) == (0.0, False, False, False)


def test_a_partner_hears_what_was_decided():
    partner = Says("Hm.")
    started(partner=partner).step("It is $90,000.")
    (state,) = partner.states
    assert state == BuyerState(BUYER, Decision("counter", 35_000), 90_000, 90_000, 35_000)
