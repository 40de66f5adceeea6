"""Guess My City: every rule of the environment, and that nothing gives the secret away."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import pytest

from lmrlgym import Query
from lmrlgym.envs.guess_my_city import (
    GUARDED,
    HEADER,
    LONGEST_READ,
    NOT_UNDERSTOOD,
    RIGHT,
    SEVERAL,
    TURNS,
    WRONG,
    GuessMyCityEnv,
    cities_in,
    countries_of,
    facts,
    folded,
    named_city,
    names_in,
    names_of,
    open_topics,
    rows,
    scripted_questions,
    scripted_texts,
    secret_names,
    words,
    yes_no_questions,
)
from lmrlgym.partners.guess_my_city import REFUSALS, answers, understood
from lmrlgym.resources import data_folder

FOLDER = data_folder() / "guess_my_city"


class Sayer:
    """A partner that says the same to everything."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.asked: list[Query] = []

    def reply(self, queries: Sequence[Query]) -> list[str]:
        self.asked += queries
        return [self.text] * len(queries)


def started(city: str, **kwargs: object) -> GuessMyCityEnv:
    env = GuessMyCityEnv(**kwargs)  # type: ignore[arg-type]
    env.reset(seed=0, options={"city": city})
    return env


# ---- the list ----


def test_the_list_has_100_cities_and_that_of_2023_leaves_out_seoul():
    assert words()[:2] == ("seoul,south korea", "sao paulo,brazil")
    assert words()[-1] == "caracas,venezuela"
    assert (GuessMyCityEnv().tasks, GuessMyCityEnv(compat=True).tasks) == (100, 99)


def test_task_0_is_seoul_and_sao_paulo_in_2023():
    for compat, word in ((False, "seoul,south korea"), (True, "sao paulo,brazil")):
        env = GuessMyCityEnv(compat=compat, privileged=True)
        _, info = env.reset(options={"task": 0})
        assert (info["task"], info["secret"]) == (0, word)


def test_every_city_is_drawn_about_equally_often():
    env = GuessMyCityEnv()
    drawn = [env.reset(seed=seed)[1] and env.task for seed in range(3_000)]
    counts = [drawn.count(task) for task in range(100)]
    assert min(counts) >= 10  # 30 expected, deviation 5.5
    assert max(counts) <= 55


# ---- guesses ----


def test_a_game_as_it_is_told():
    env = started("paris,france")
    assert env.history[0].text == HEADER == "Questions:\n"
    told = env.step("Is it in Europe?\n")
    assert told[0].startswith("Yes")
    assert told[1:4] == (-1.0, False, False)
    told = env.step("Is it London?\n")
    assert told[0] in WRONG
    assert told[1:4] == (-1.0, False, False)
    text, reward, terminated, truncated, info = env.step("Is it Paris?\n")
    assert (text, reward, terminated, truncated) == (RIGHT, 0.0, True, False)
    assert (info["success"], info["stop_reason"], info["turn"]) == (True, "won", 3)


@pytest.mark.parametrize("task", range(100))
def test_every_name_of_every_city_wins_in_any_case_with_or_without_accents(task: int):
    env = GuessMyCityEnv()
    for name in names_of(facts()[task]):
        for said in (name, name.upper(), folded(name), f"Is it {name}?", f"¿«{name}»,is that it"):
            env.reset(options={"task": task})
            assert env.step(said)[1:3] == (0.0, True), said


@pytest.mark.parametrize(
    ("city", "said"),
    [
        ("bombay,india", "Is it Mumbai?"),
        ("sao paulo,brazil", "Is it São Paulo?"),
        ("xian,china", "Are you from Xi’an?"),
        ("rome,italy", "Is the city Rome?"),
        ("new york,usa", "Is it New York City?"),
        ("lima,peru", "Are you from lima,peru"),
        ("kinshaha,congo", "kinshasa"),
        ("st petersburg,russia", "Is it St. Petersburg?"),
        ("ho chi minh city,vietnam", "saigon!"),
        ("cali,colombia", "Is it Santiago de Cali?"),
        ("delhi,india", "Is it New Delhi?"),
    ],
)
def test_other_spellings_win(city: str, said: str):
    assert started(city).step(said)[2]


@pytest.mark.parametrize(
    ("city", "said"),
    [
        ("paris,france", "Is it comparison shopping?"),
        ("lima,peru", "Are you in a limazone?"),
        ("rome,italy", "Is it in Romeland?"),
        ("salvador,brazil", "Does it border El Salvador?"),
        ("salvador,brazil", "Is it San Salvador?"),
        ("santiago,chile", "Is it Santiago de Cali?"),
        ("mexico city,mexico", "Is it in Mexico?"),
        ("delhi,india", "Is it old?"),
        ("paris,france", "Is it the capital of France?"),
        ("paris,france", "paris" * 10),
    ],
)
def test_names_are_whole_words_and_the_longest_counts(city: str, said: str):
    assert not started(city).step(said)[2]


def test_naming_several_cities_is_no_guess():
    env = started("paris,france")
    for said in ("Is it Paris or Rome?", "Paris Rome", "; ".join(words())[:LONGEST_READ]):
        text, reward, terminated, _, info = env.step(said)
        assert (text, reward, terminated, info["action_is_valid"]) == (SEVERAL, -1.0, False, False)
    assert env.step("Paris! Yes, Paris. City of Light?")[2]  # one city by two names


def test_no_name_belongs_to_two_cities():
    named = [(folded(name), i) for i, city in enumerate(facts()) for name in names_of(city)]
    owners = {name: {i for other, i in named if other == name} for name, _ in named}
    assert {name: cities for name, cities in owners.items() if len(cities) > 1} == {}


def test_the_twentieth_question_ends_the_game():
    env = started("paris,france")
    for turn in range(1, TURNS + 1):
        _, reward, terminated, truncated, info = env.step("Is it in Asia?\n")
        assert (reward, terminated, truncated) == (-1.0, turn == 20, False)
    assert (info["stop_reason"], info["success"]) == ("turn_limit", False)
    assert sum(turn.reward for turn in env.history) == -20


@pytest.mark.parametrize("said", ["Is it Rome?", "Rome or Lima", "blah", "x" * 2_000])
def test_it_ends_whatever_the_twentieth_is(said: str):
    env = started("paris,france")
    for _ in range(TURNS - 1):
        env.step("Is it in Asia?")
    assert env.step(said)[2]


def test_the_twentieth_may_be_the_right_guess():
    env = started("paris,france")
    for _ in range(TURNS - 1):
        env.step("Is it in Asia?")
    _, reward, terminated, _, info = env.step("Paris")
    assert (reward, terminated, info["success"], info["stop_reason"]) == (0.0, True, True, "won")


def test_in_2023_a_name_within_a_word_wins_and_other_names_do_not():
    env = started("paris,france", compat=True)
    assert env.step("Is it comparison shopping?")[2]
    assert not started("bombay,india", compat=True).step("Is it Mumbai?")[2]
    assert not started("sao paulo,brazil", compat=True).step("Is it São Paulo?")[2]
    assert started("paris,france", compat=True).step("Paris, Rome or Lima")[2]


def test_in_2023_a_wrong_guess_is_answered_no_by_the_partner():
    env = started("paris,france", compat=True)
    text, _, _, _, info = env.step("Is it Rome?")
    assert text.startswith("No")
    assert info["partner_usage"]["calls"] == 1


# ---- partners ----


def test_guesses_do_not_ask_the_partner():
    partner = Sayer("Yes.")
    env = started("paris,france", partner=partner)
    env.step("Is it Rome?")
    env.step("Rome or Paris")
    env.step("Is it Paris?")
    assert partner.asked == []


def test_a_partner_sees_the_talk_with_the_question_and_the_facts():
    partner = Sayer("Perhaps.")
    env = started("paris,france", partner=partner)
    assert env.step("Is it old?")[0] == "Perhaps.\n"
    (query,) = partner.asked
    assert [turn.text for turn in query.history] == [HEADER, "Is it old?\n"]
    assert query.state.word == "paris,france"
    assert query.state.facts["continent"] == "Europe"
    assert {"paris", "france", "french"} <= query.state.forbidden


@pytest.mark.parametrize(
    "leak", ["It is Paris.", "In FRANCE!", "A french city", "pàrïs", "Franco-British? No: France."]
)
def test_a_partner_that_names_the_secret_is_silenced(leak: str):
    assert started("paris,france", partner=Sayer(leak)).step("Where is it?")[0] == GUARDED


def test_what_the_agent_said_first_may_be_said():
    env = started("paris,france", partner=Sayer("Yes, in France."))
    assert env.step("Is it in Europe?")[0] == GUARDED
    assert env.step("Is it in France?")[0] == "Yes, in France.\n"
    assert env.step("So what?")[0] == "Yes, in France.\n"
    env.reset(options={"city": "paris,france"})
    assert env.step("So what?")[0] == GUARDED  # a new game forgets


def test_other_names_may_be_said():
    env = started("paris,france", partner=Sayer("It is not Rome, nor in Italy."))
    assert env.step("Where?")[0] == "It is not Rome, nor in Italy.\n"


def test_replies_become_one_line():
    env = started("paris,france", partner=Sayer("a\n\n b " + "c" * 1_000))
    text = env.step("Where?")[0]
    assert text.startswith("a b c")
    assert len(text) == 501


def test_a_partner_that_says_nothing_has_not_understood():
    text, _, _, _, info = started("paris,france", partner=Sayer(" ")).step("Where is it?")
    assert (text, info["not_understood"]) == (NOT_UNDERSTOOD, 1)


def test_what_is_not_understood_is_counted():
    env = started("paris,france")
    text, reward, _, _, info = env.step("I love you")
    assert (text, reward, info["not_understood"], info["action_is_valid"]) == (NOT_UNDERSTOOD, -1.0, 1, False)
    assert env.step("Is it in Europe?")[4]["not_understood"] == 1
    assert env.step("")[4]["not_understood"] == 2
    assert env.reset()[1]["not_understood"] == 0


def test_long_texts_are_not_read():
    env = started("paris,france")
    assert env.step("Is it Paris?" + " " * LONGEST_READ)[0] == NOT_UNDERSTOOD
    assert env.step("Is it Paris?".ljust(LONGEST_READ))[2]


@pytest.mark.parametrize("partner", ["parrot", "", "hf"])
def test_an_unknown_partner_is_refused(partner: str):
    with pytest.raises(ValueError, match=f"partner must be .*, got '{partner}'"):
        GuessMyCityEnv(partner=partner)


@pytest.mark.parametrize("city", ["Paris", "paris", "atlantis,greece", 3, ["paris,france"]])
def test_an_unknown_city_is_refused(city: object):
    with pytest.raises(ValueError, match="city must be one of the 100 entries of the list"):
        GuessMyCityEnv().reset(options={"city": city})


def test_city_and_task_exclude_each_other_and_seoul_is_not_in_the_list_of_2023():
    with pytest.raises(ValueError, match="not both"):
        GuessMyCityEnv().reset(options={"city": "paris,france", "task": 1})
    with pytest.raises(ValueError, match="99 entries"):
        GuessMyCityEnv(compat=True).reset(options={"city": "seoul,south korea"})


# ---- nothing gives the secret away ----


def lines_to(text: str) -> set[str]:
    """Everything that is said to `text` while any of the cities is hidden."""
    meaning = understood(text)
    if meaning.kind == "fact":
        return {*meaning.yes, *meaning.no}
    return {line for task in range(100) for line in answers(text, task)}


def test_no_answer_to_any_scripted_question_names_any_city_or_country():
    # Stronger than the rule: not even the names of other cities are said, so no city is told by silence.
    said = {line for text in scripted_texts() for line in lines_to(text)}
    assert len(said) > 500
    assert {line for line in said if names_in(line)} == set()


@pytest.mark.slow
@pytest.mark.parametrize("task", range(100))
def test_in_no_game_a_scripted_question_is_answered_with_the_secret(task: int):
    env, secret = GuessMyCityEnv(), secret_names(task)
    env.reset(seed=task, options={"task": task})
    for text in scripted_texts():
        told, _, terminated, _, _ = env.step(text)
        assert not names_in(told) & secret, (text, told)
        if terminated:
            env.reset(options={"task": task})


QUESTION_FORMS = (
    "{}",
    "{}?",
    "Tell me about {}",
    "What about {}?",
    "Is it near {}?",
    "Is it {} or not?",
    "Do people there speak {}?",
    "What is the {} like?",
    "Which {} is it?",
    "Is it not {}?",
    "What do {} people eat?",
    "How big is {}?",
    "Give me a hint about {}",
)


@pytest.mark.slow
@pytest.mark.parametrize("form", QUESTION_FORMS)
def test_nor_does_any_answer_to_any_form_of_question_about_any_entry_of_the_table(form: str):
    cells = {cell for city in facts() for cell in city.values()}
    cells |= {row[column] for row in rows("traits") for column in ("value", "cities")}
    cells |= {row["words"] for row in rows("words")}
    entries = {entry for cell in cells for entry in cell.split(";") if entry}
    assert len(entries) > 1_500
    said = {line for entry in sorted(entries) for line in lines_to(form.format(entry))}
    assert {line for line in said if names_in(line)} == set()


@pytest.mark.parametrize("topic", sorted(open_topics()))
def test_an_open_answer_leaves_three_cities_of_two_countries(topic: str):
    for line, cities in open_topics()[topic].question.reads.items():
        countries = {facts()[i]["country"] for i in cities_in(cities)}
        assert cities.bit_count() >= 3, line
        assert len(countries) >= 2, line


@pytest.mark.parametrize(
    "said",
    [
        "What country is it in?",
        "What is the name of your city?",
        "What is the city called?",
        "Which city are you from?",
        "Which letter does it start with?",
        "Does its name start with P?",
        "What is the capital of the country?",
        "What's your city's name?",
        "Spell it.",
        "Tell me the answer",
    ],
)
def test_questions_for_a_name_are_refused_for_every_city(said: str):
    for task in range(100):
        assert set(answers(said, task)) <= set(REFUSALS), said


def test_the_names_that_must_not_be_said():
    for i, city in enumerate(facts()):
        for name in (*names_of(city), *countries_of(city)):
            assert folded(name) in secret_names(i)
            assert folded(name) in names_in(f"It is {name}, see?")
    assert {"turkish", "turk", "istanbul", "constantinople"} <= secret_names(words().index("istanbul,turkey"))


# ---- the table ----


def test_scripted_questions_name_no_city_unless_they_guess():
    for question in scripted_questions():
        for text in question.texts:
            assert (named_city(text) >= 0) == question.is_guess, text


def test_every_column_of_every_table_names_its_source():
    with (FOLDER / "columns.csv").open(encoding="utf-8", newline="") as file:
        listed = [
            (row["file"], row["column"]) for row in csv.DictReader(file) if row["source"] and row["meaning"]
        ]
    there = []
    for path in sorted(FOLDER.glob("*.csv")):
        if path.name != "columns.csv":
            with path.open(encoding="utf-8", newline="") as file:
                there += [(path.name, column) for column in next(csv.reader(file))]
    assert sorted(listed) == sorted(there)


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.csv")), ids=lambda path: path.name)
def test_every_row_is_complete_and_trimmed(path: Path):
    with path.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            assert None not in row
            for cell in row.values():
                assert cell is not None
                assert cell == cell.strip()


def test_there_are_facts_about_everything():
    topics = {fact.split("=")[0].split(">")[0] for fact in yes_no_questions()}
    assert len(topics) >= 50
    assert len(yes_no_questions()) >= 1_000
    assert len(open_topics()) == 27


@pytest.mark.parametrize(
    ("fact", "city", "is_true"),
    [
        ("capital", "paris,france", True),
        ("capital", "sydney,australia", False),
        ("continent=South America", "lima,peru", True),
        ("southern", "jakarta,indonesia", True),
        ("western", "london,uk", True),
        ("near_equator", "singapore,singapore", True),
        ("coastal", "madrid,spain", False),
        ("country=China", "hong kong,china", True),
        ("country=China", "taipei,china", True),
        ("languages=Tamil", "madras,india", True),
        ("population>10", "tokyo,japan", False),
        ("founded>1", "rome,italy", True),
        ("neighbours=Germany", "paris,france", True),
        ("olympics", "mexico city,mexico", True),
        ("left_driving", "bangkok,thailand", True),
        ("landlocked", "addis ababa,ethopia", True),
        ("elevation>2000", "bogota,colombia", True),
        ("eu", "london,uk", False),
        ("sea=Atlantic", "casablanca,morocco", True),
        ("rivers=Nile", "cairo,egypt", True),
    ],
)
def test_some_facts(fact: str, city: str, is_true: bool):
    assert bool(yes_no_questions()[fact].parts[0] >> words().index(city) & 1) == is_true
