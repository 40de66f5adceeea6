"""Those who talk about cars: the scripted buyer's words, the sellers, best play, references and data."""

from __future__ import annotations

import codecs
import math
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest

from lmrlgym import (
    History,
    Query,
    Turn,
    evaluate,
    normalise,
    policy_named,
    reference,
    rollout,
    summarise,
)
from lmrlgym.dataset import distinct
from lmrlgym.envs.car_claims import mentions
from lmrlgym.envs.car_dealer import (
    BRANDS,
    BUDGETS,
    FEATURES,
    GREETING,
    PERSONALITIES,
    STRATEGIES,
    TYPES,
    BuyerState,
    CarDealerEnv,
    Decision,
    Profile,
    car_name,
    plain,
    prices_in,
    read,
    talk_of,
    worded,
)
from lmrlgym.partners.car_dealer import ScriptedBuyer
from lmrlgym.policies.car_dealer import LEVELS, STYLES, Draws, ExpertSeller, MixedSeller, RandomSeller, Seller
from lmrlgym.references import why_no_score
from lmrlgym.resources import read_json
from lmrlgym.solvers.car_dealer import CarDealerSolver, solver

ENV_ID = "lmrlgym/CarDealer-v0"
START: History = (Turn(GREETING, False),)
KINDS = (
    "greet", "tell_wishes", "ask_feature", "ask_car", "wrong_car", "ask_price", "ask_discount", "counter",
    "insist", "accept", "leave", "puzzled",
)  # fmt: skip


def decision(kind: str) -> Decision:
    """One of this kind, about a BMW sedan with a sunroof for 45,000."""
    price = 45_000 if kind in ("counter", "insist", "accept") else 0
    wishes = {"tell_wishes": ("a BMW sedan", "sunroof", "leather seats"), "ask_feature": ("sunroof",)}
    about_car = ("a BMW sedan",) if kind in ("greet", "ask_car", "wrong_car") else ()
    return Decision(kind, price, wishes.get(kind, about_car))


def said(kind: str, personality: str, texts: int = 200) -> list[str]:
    rng = np.random.default_rng(0)
    return [worded(decision(kind), personality, rng) for _ in range(texts)]


# ---- the buyer's words ----


@pytest.mark.parametrize("personality", PERSONALITIES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_buyer_says_what_was_decided_and_no_other_price_or_wish(kind: str, personality: str):
    wanted = decision(kind)
    for text in said(kind, personality):
        assert not re.search(r"[{}\n]|  ", text), text
        assert prices_in(plain(text)) == (
            [wanted.price] * len(prices_in(plain(text))) if wanted.price else []
        )
        assert not wanted.price or prices_in(plain(text))
        about = mentions(text)
        named = {FEATURES[i] for i in range(len(FEATURES)) if about.features >> i & 1}
        assert named == {wish for wish in wanted.wishes if wish in FEATURES}, text
        assert bool(about.brands) == ("a BMW sedan" in wanted.wishes), text


def test_cars_and_wishes_of_every_kind_fit_the_sentences():
    rng = np.random.default_rng(1)
    for brand, body in product(BRANDS, TYPES):
        car = car_name(brand, body)
        text = worded(Decision("greet", 0, (car,)), "uncommunicative", rng)
        assert car[1:] in text
        assert not re.search(r"\ba [aeiou]|\ban [^aeiou\W]", text.replace("a Hyundai", ""), re.IGNORECASE), (
            text
        )


def test_a_price_in_odd_dollars_is_written_out():
    rng = np.random.default_rng(0)
    texts = [worded(Decision("accept", 47_123), "rude", rng) for _ in range(100)]
    assert all("47,123" in text for text in texts)


def test_personalities_are_heard():
    whole = {personality: set(said("counter", personality)) for personality in PERSONALITIES}
    for one, other in product(PERSONALITIES, repeat=2):
        shared = len(whole[one] & whole[other]) / min(len(whole[one]), len(whole[other]))
        # only texts without opener and closer may be the same
        assert one == other or shared < 0.5, (one, other)


def test_texts_come_from_the_seed():
    assert said("counter", "toxic") == said("counter", "toxic")
    state = BuyerState(
        Profile("toxic", "a BMW", "sedan", ("sunroof",), 50_000, "discount"), decision("counter"), 0, 0, 0
    )
    queries = [Query(START, state, np.random.default_rng(0)) for _ in range(2)]
    assert len(set(ScriptedBuyer().reply(queries))) == 1


@pytest.mark.parametrize("personality", [name for name in PERSONALITIES if name != "uncommunicative"])
def test_a_buyers_texts_are_varied(personality: str):
    # 12 kinds of decision, 40 texts each: a single template a kind would give a share of 12 / 480
    texts = [text for kind in KINDS for text in said(kind, personality, 40)]
    assert len(set(texts)) / len(texts) > 0.5
    assert distinct(texts, 2) > 0.05


# ---- rude is not hateful ----

SLURS = codecs.decode(
    "avttre avttn snttbg snt qlxr genaal xvxr puvax fcvp tbbx jrgonpx cnxv entuurnq ergneq ergneqrq fcnfgvp "
    "jubel juber fyhg ovgpu phag shpx fuvg onfgneq nffubyr qvpx pbpx cvff penc qnza jnax gjng",
    "rot13",
).split()
THREATS = (
    "kill", "murder", "hurt", "hit", "beat", "punch", "slap", "shoot", "stab", "burn", "die", "dead", "death",
    "knife", "gun", "bomb", "break your", "find you", "watch your back", "regret this", "sorry for this",
    "destroy", "or else", "make you pay", "attack", "fight", "blood", "strangle", "choke", "rape",
)  # fmt: skip
GROUPS = (
    "women", "woman", "men", "man", "girl", "girls", "boy", "boys", "lady", "ladies", "gay", "gays",
    "lesbian",
    "straight", "queer", "trans", "black", "white", "brown", "yellow", "asian", "african", "arab", "arabs",
    "chinese",
    "indian", "mexican", "american", "polish", "german", "russian", "turk", "gypsy", "jew", "jews",
    "jewish", "muslim", "muslims", "islam", "christian", "christians", "catholic", "hindu",
    "buddhist", "atheist",
    "immigrant", "immigrants", "foreigner", "foreigners", "foreign", "refugee", "race", "tribe", "religion",
    "disabled", "crippled", "cripple", "deaf", "mute", "dumb", "lame", "insane", "crazy", "psycho",
    "autistic",
    "old", "elderly", "senile", "young", "fat", "ugly", "poor", "homeless", "peasant", "accent",
)  # fmt: skip
HARMLESS = ("my old car", "trouble with the old one")
"""Old is the car."""


def templates() -> Iterator[str]:
    """Every sentence of the buyer."""
    table = read_json("car_dealer", "buyer.json")
    for part in ("openers", "closers"):
        for sentences in table[part].values():
            yield from sentences
    for registers in table["cores"].values():
        for sentences in registers.values():
            yield from sentences


@pytest.mark.parametrize("words", [SLURS, THREATS, GROUPS], ids=["slurs", "threats", "groups"])
def test_no_buyer_uses_a_slur_threatens_or_speaks_of_a_group_of_people(words: Sequence[str]):
    forbidden = re.compile(rf"\b(?:{'|'.join(words)})\b", re.IGNORECASE)
    found = []
    for sentence in templates():
        plain_sentence = sentence.lower()
        for harmless in HARMLESS:
            plain_sentence = plain_sentence.replace(harmless, "")
        found += [sentence] if forbidden.search(plain_sentence) else []
    assert found == []


def test_the_word_lists_would_find_what_they_are_for():
    assert SLURS[-2:] == ["wank", "twat"]
    assert re.search(rf"\b(?:{'|'.join(THREATS)})\b", "I will find you")


def test_the_page_says_so():
    assert "hold no slurs, no threats" in " ".join((CarDealerEnv.__doc__ or "").replace("\n", " ").split())


# ---- what a seller can know ----


def test_a_talk_holds_what_both_sides_said():
    talk = talk_of(
        (
            *START,
            Turn("What is your budget? This Audi has a sunroof.\n", True),
            Turn("I give you $30,000.\n", False),
            Turn("The sticker is $60,000, for you $55,000.\n", True),
            Turn("I want a BMW sedan with a sunroof and leather seats.\n", False),
        )
    )
    assert (talk.texts, talk.counters, talk.car) == (2, (30_000,), "a BMW sedan")
    assert (talk.wished, talk.claimed, talk.missing) == (
        ("leather seats", "sunroof"),
        ("sunroof",),
        ("leather seats",),
    )
    assert (talk.price, talk.sticker, talk.is_car_claimed, talk.was_asked) == (55_000, 60_000, False, True)
    assert (talk.has_asked_budget, talk.has_asked_wishes) == (True, False)


# ---- sellers ----


class Path(Draws):
    """Draws what a list of numbers says, and notes how many ways there were."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__(np.random.default_rng(0))
        self.numbers = list(numbers)
        self.ways: list[int] = []
        self.probability = 1.0

    def one_of(self, options: Sequence[Any]) -> Any:
        number = self._next(len(options))
        self.probability /= len(options)
        self.log_prob += math.log(options.count(options[number]) / len(options))
        return options[number]

    def weighted(self, weights: Mapping[str, float]) -> str:
        names = [name for name, weight in weights.items() if weight > 0]
        name = names[self._next(len(names))]
        self.probability *= weights[name] / sum(weights.values())
        self.log_prob += math.log(weights[name] / sum(weights.values()))
        return name

    def _next(self, ways: int) -> int:
        self.ways.append(ways)
        if len(self.ways) > len(self.numbers):
            self.numbers.append(0)
        return self.numbers[len(self.ways) - 1]


def all_texts(player: Seller, history: History) -> tuple[dict[str, float], dict[str, set[float]]]:
    """Text -> its probability, summed over every way to draw it; and the log-probabilities it was given."""
    probability: dict[str, float] = defaultdict(float)
    given: dict[str, set[float]] = defaultdict(set)
    numbers: list[int] = []
    while True:
        path = Path(numbers)
        text = player._said(history, path)
        probability[text] += path.probability
        given[text].add(round(path.log_prob, 9))
        numbers = path.numbers[: len(path.ways)]
        while numbers and numbers[-1] + 1 == path.ways[len(numbers) - 1]:
            numbers.pop()
        if not numbers:
            return probability, given
        numbers[-1] += 1


def talk(*texts: str) -> History:
    """A history of these texts, the seller first."""
    return (*START, *(Turn(f"{text}\n", i % 2 == 0) for i, text in enumerate(texts)))


HISTORIES = {
    "start": START,
    "greeted": talk("Hello.", "I want a BMW sedan."),
    "wished": talk("Hello.", "I want a BMW sedan with a sunroof."),
    "asked": talk("Hello.", "I want a BMW sedan.", "This is a BMW sedan.", "And a sunroof?"),
    "dear": talk("Hello.", "I want a BMW sedan with a sunroof.", "It is $60,000.", "I give you $35,000."),
}


MIXED, EXPERT = MixedSeller(0.2), ExpertSeller()


@pytest.mark.parametrize(
    ("player", "name"),
    [
        *((EXPERT, name) for name in HISTORIES),
        *((MIXED, name) for name in ("start", "asked")),
        *(pytest.param(MIXED, name, marks=pytest.mark.slow) for name in ("greeted", "wished", "dear")),
    ],
)
def test_the_probability_given_with_a_text_is_that_of_saying_it(player: Seller, name: str):
    probability, given = all_texts(player, HISTORIES[name])
    assert sum(probability.values()) == pytest.approx(1)
    for text, expected in probability.items():
        assert list(given[text]) == [pytest.approx(math.log(expected), abs=1e-6)], text


def test_draws_follow_their_weights():
    counts: dict[str, int] = defaultdict(int)
    for seed in range(4_000):
        counts[Draws(np.random.default_rng(seed)).weighted({"a": 3.0, "b": 1.0, "never": 0.0})] += 1
    # three standard deviations of 4,000 draws with probability .75: 82
    assert abs(counts["a"] - 3_000) < 82
    assert counts["never"] == 0


@pytest.mark.parametrize("slips", [-0.1, 1.1])
def test_slips_are_a_share(slips: float):
    with pytest.raises(ValueError, match="slips must be in"):
        MixedSeller(slips)


def test_mixed_has_the_papers_three_strategies():
    first = {MixedSeller(0.0)._spoken(START, Draws(np.random.default_rng(seed))).text for seed in range(300)}
    hello = read_json("car_dealer", "seller.json")["acts"]["hello"]
    assert {style for style in STYLES for text in first if text.strip() in hello[style]} == set(STYLES)


def test_every_sentence_of_a_seller_means_what_it_is_for():
    acts = read_json("car_dealer", "seller.json")["acts"]
    slots = {
        "{price}": "$45,000", "{sticker}": "$50,000", "{car}": "a BMW sedan", "{features}": "a sunroof",
        "{bare}": "sunroof", "{percent}": "10", "{rate}": "499",
    }  # fmt: skip
    sunroof = 1 << FEATURES.index("sunroof")
    wanted = {
        "ask_wishes": lambda m: m.asks_wishes and not m.offer.price,
        "ask_budget": lambda m: m.asks_budget and not m.offer.price,
        "pitch": lambda m: m.claims.features == sunroof and m.claims.brands and m.claims.types,
        "pitch_car": lambda m: m.claims.brands and m.claims.types and not m.claims.features,
        "confirm": lambda m: m.claims.features == sunroof,
        "confirm_car": lambda m: m.claims.brands and m.claims.types,
        "hedge": lambda m: not m.claims.features,
        "offer": lambda m: m.offer.price == 45_000 and not m.offer.sticker,
        "list_offer": lambda m: m.offer == (45_000, 50_000, 0.0, 0, False),
        "lower": lambda m: m.offer.price == 45_000,
        "insist": lambda m: m.offer.price == 45_000,
        "percent": lambda m: m.offer.percent_off == 10,
        "accept": lambda m: m.accepts,
        "chat": lambda m: m.offer == (0, 0, 0.0, 0, False) and not m.accepts,
        "monthly": lambda m: m.offer == (0, 0, 0.0, 0, False),
        "hello": lambda m: m.is_understood and m.offer.price == 0 and not m.accepts,
    }
    assert acts.keys() == wanted.keys()
    wrong = []
    for act, styles in acts.items():
        for sentence in (sentence for sentences in styles.values() for sentence in sentences):
            filled = sentence
            for slot, value in slots.items():
                filled = filled.replace(slot, value)
            wrong += [] if wanted[act](read(filled)) else [(act, filled)]
    assert wrong == []


@pytest.mark.parametrize("level", LEVELS)
def test_sellers_play_any_game_to_its_end(level: str):
    games = rollout(ENV_ID, policy_named(level, ENV_ID), 30, seed=3, parallel=10)
    assert all(game.terminated for game in games)
    assert all(
        turn.log_prob is not None and turn.log_prob <= 0
        for game in games
        for turn in game.turns
        if turn.is_action
    )


def test_an_idle_seat_says_nothing():
    assert RandomSeller().act([()], [np.random.default_rng(0)]) == [""]


def test_the_expert_gets_over_90_percent_of_the_best_from_every_kind_of_buyer():
    games = rollout(
        ENV_ID, policy_named("expert", ENV_ID), 120, seed=11, parallel=60, env_kwargs={"privileged": True}
    )
    shares: dict[str, list[float]] = defaultdict(list)
    for game in games:
        buyer = game.info["secret"]
        shares[buyer["strategy"]].append(
            game.total_reward / solver(ENV_ID).worth(buyer["budget"], buyer["strategy"])
        )
    assert shares.keys() == set(STRATEGIES)
    # it asks for 95, 98 or 100 % of the budget
    assert all(min(share) >= 0.95 for share in shares.values())


def test_the_expert_copes_with_a_buyer_whose_budget_is_unusual():
    env = CarDealerEnv()
    env.reset(seed=0, options={"buyer": {"budget": 43_000, "strategy": "discount"}})
    player, rng, is_over = ExpertSeller(), np.random.default_rng(0), False
    while not is_over:
        action = player.act([env.history], [rng])[0]
        _, reward, is_over, _, info = env.step(action)
    assert info["success"]
    assert 0 < reward <= 43


# ---- best play ----


@pytest.mark.parametrize("personality", ["angry", "sarcastic", "polite"])
@pytest.mark.parametrize("keywords", [{}, {"reward": "margin"}, {"reward": "margin", "compat": True}])
def test_the_plan_gets_from_every_buyer_what_the_closed_form_says(personality: str, keywords: dict[str, Any]):
    best = solver(ENV_ID, **keywords)
    env = CarDealerEnv(**keywords)
    for budget, strategy in product(BUDGETS, STRATEGIES):
        buyer = Profile(personality, "an Audi", "SUV", FEATURES[2:6], budget, strategy).to_json()
        env.reset(seed=0, options={"buyer": buyer})
        total, is_over = 0.0, False
        while not is_over:
            _, reward, is_over, _, _ = env.step(best.best(env.history))
            total += reward
        assert total == pytest.approx(best.worth(budget, strategy))


def test_revenue_is_worth_the_budget():
    assert [CarDealerSolver().worth(budget, "discount") for budget in BUDGETS] == [
        10.0,
        30.0,
        50.0,
        70.0,
        90.0,
    ]


def test_margin_is_worth_1_or_for_a_discount_buyer_the_price_by_a_sticker_a_ninth_above():
    # 50,000 / mean(50,000, 55,556)
    assert CarDealerSolver("margin").worth(50_000, "impatient") == 1.0
    assert CarDealerSolver("margin").worth(50_000, "discount") == pytest.approx(50_000 / 52_778)


def test_the_2023_margin_is_worth_more_unsold_where_a_discount_is_wanted():
    best = CarDealerSolver("margin", compat=True)
    assert best.worth(50_000, "specifications") == 1.0
    assert best.worth(50_000, "discount") == pytest.approx(1 - 50_000 / 9_999_999)


@pytest.mark.parametrize(
    ("keywords", "value"),
    [
        ({}, 50.0),  # the mean budget, in thousands
        ({"reward": "margin"}, (2 + 0.947356) / 3),
    ],
)
def test_the_value_of_the_game_is_the_bound(keywords: dict[str, Any], value: float):
    best = solver(ENV_ID, **keywords)
    assert best.value(START) == pytest.approx(best.bound()) == pytest.approx(value, abs=1e-4)
    assert best.kind == "exact"


def test_after_the_counter_the_value_is_that_buyers_budget():
    history = talk("What is your budget?", "I give you $30,000.")  # 60 % of 50,000: a discount buyer
    assert solver(ENV_ID).value(history) == 50.0


def test_q_of_the_best_text_is_the_value_and_none_is_better():
    history = talk(
        "What is your budget?",
        "I give you $35,000.",
        "Which features do you need?",
        "A BMW sedan with a sunroof.",
    )
    best = solver(ENV_ID)
    q = best.q(history)
    assert q[best.best(history)] == best.value(history) == max(q.values()) == 50.0
    # offered for less, it is sold for less
    assert q["This is a BMW sedan. It has a sunroof. The price is $30,000.\n"] == 30.0


def test_a_finished_game_is_worth_nothing_more():
    history = talk("What is your budget?", "I give you $35,000.", "Deal.", "I take it for $35,000.")
    assert solver(ENV_ID).value(history) == 0.0


def test_too_dear_first_a_buyer_with_little_patience_may_be_lost():
    best = solver(ENV_ID)
    lost = talk(*["Nice weather.", "What?"] * 4)
    assert best.value(lost) < best.value(START)


# ---- references and data ----


@pytest.mark.parametrize(
    "keywords", [{}, {"compat": True}, {"reward": "margin"}, {"reward": "margin", "compat": True}]
)
def test_references_are_in_order(keywords: dict[str, Any]):
    known = reference(ENV_ID, **keywords)
    assert known.kind == "exact"
    assert known.best == pytest.approx(solver(ENV_ID, **keywords).bound())
    assert known.random < known.best
    assert normalise(ENV_ID, known.best, **keywords) == pytest.approx(100)
    assert normalise(ENV_ID, known.random, **keywords) == 0


def test_the_expert_reaches_90_percent_of_the_best_under_the_protocol():
    known = reference(ENV_ID)
    assert known.levels["expert"] >= 0.9 * known.best
    assert known.levels["random"] < known.levels["mixed"] < known.levels["expert"]


def test_a_reference_is_what_its_player_gets():
    games = evaluate(ENV_ID, policy_named("mixed", ENV_ID), episodes=400)
    summary = summarise(games)
    # two intervals: of 95 %
    half = summary.return_high - summary.return_mean
    assert abs(summary.return_mean - reference(ENV_ID).levels["mixed"]) < 2 * half


def test_there_is_no_2023_score_for_this_game():
    with pytest.raises(ValueError, match="Car Dealer"):
        normalise(ENV_ID, 50.0, "lmrl2023")
    assert "Car Dealer" in why_no_score(ENV_ID, "lmrl2023")


def test_the_mixed_data_sell_as_often_as_the_papers():
    card = read_json("car_dealer", "mixed-v0.card.json")
    assert card["success"] == pytest.approx(0.53, abs=0.015)
    # 16.5 texts of both sides, one of which is the start
    assert 2 * card["length_mean"] == pytest.approx(15.5, abs=1)


@pytest.mark.parametrize("level", LEVELS)
def test_no_buyer_tells_its_budget(level: str):
    games = rollout(
        ENV_ID, policy_named(level, ENV_ID), 60, seed=7, parallel=60, env_kwargs={"privileged": True}
    )
    for game in games:
        budget, asked = game.info["secret"]["budget"], set()
        for turn in game.turns:
            prices = prices_in(plain(turn.text))
            if turn.is_action:
                asked |= {*prices}
            else:
                assert all(price <= 0.9 * budget or price in asked for price in prices), turn.text
