"""The scripted city: what it understands, that it answers truly, and how varied it is."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from lmrlgym import Query, Turn
from lmrlgym.envs.guess_my_city import (
    HEADER,
    NOT_UNDERSTOOD,
    NUMBERS,
    above,
    everything,
    facts,
    open_topics,
    state_of,
    words,
    yes_no_questions,
)
from lmrlgym.partners.guess_my_city import ScriptedCity, answers, understood
from lmrlgym.partners.guess_my_city_numbers import Comparison, comparison

ASIA, CHINA = "continent=Asia", "country=China"
EAST, SOUTHEAST = "regions=East Asia", "regions=Southeast Asia"


def fact(name: str) -> int:
    return yes_no_questions()[name].parts[0]


AFRICA = fact("continent=Africa")
AMERICAS = fact("continent=North America") | fact("continent=South America")


def number(word: str) -> int:
    return words().index(word)


def test_every_scripted_question_is_understood_as_it_is_meant():
    for name, question in yes_no_questions().items():
        for text in question.texts:
            assert (understood(text).kind, understood(text).mask) == ("fact", question.parts[0]), (name, text)
    for name, topic in open_topics().items():
        for text in topic.question.texts:
            assert (understood(text).kind, understood(text).topic) == ("open", name), text


def test_a_not_counts_in_its_own_sentence_only():
    for text in (
        "It is not in Europe. Is it in Asia?",
        "So it's not by the sea; is it in Asia?",
        "I do not know! Is it in Asia?",
        "Not in Africa? Is it in Asia?",
    ):
        assert (understood(text).kind, understood(text).mask) == ("fact", fact(ASIA)), text
    # in the same sentence it turns what follows it
    assert understood("Is it not in Asia?").mask == everything() & ~fact(ASIA)
    assert understood("I do not know. What language do they speak?").kind == "open"


def test_every_answer_to_every_scripted_question_is_true():
    for question in yes_no_questions().values():
        for task in range(100):
            wanted = "Yes" if question.parts[0] >> task & 1 else "No"
            assert {line[: len(wanted)] for line in answers(question.texts[0], task)} == {wanted}
    for topic in open_topics().values():
        for task in range(100):
            for line in answers(topic.question.texts[0], task):
                assert topic.question.left_after(line) >> task & 1


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("Asia?", ASIA),
        ("is your city in asia", ASIA),
        ("ARE YOU ASIAN", ASIA),
        ("Isn't it in Asia?", ASIA),
        ("Is it in China?", CHINA),
        ("Is it a Chinese city?", CHINA),
        ("Does the country border China?", "neighbours=China"),
        ("Is your city in a country that borders China?", "neighbours=China"),
        ("Is it Spanish?", "country=Spain"),
        ("Is Spanish spoken there?", "languages=Spanish"),
        ("Is the official language Spanish?", "languages=Spanish"),
        ("Was it a Spanish colony?", "colony_of=Spain"),
        ("Was the country ruled by the Dutch?", "colony_of=Netherlands"),
        ("Is it in Ivory Coast?", "country=Ivory Coast"),
        ("Is it by the sea?", "coastal"),
        ("Is it a coastal city?", "coastal"),
        ("Are there beaches?", "coastal"),
        ("Is it on the Pacific coast?", "sea=Pacific"),
        ("Is it on the Black Sea?", "sea=Black Sea"),
        ("Is it inland?", "inland"),
        ("Is it on the Nile?", "rivers=Nile"),
        ("Does the Yangtze River flow through it?", "rivers=Yangtze"),
        ("Is there a famous river running through the city?", "river"),
        ("Is it on the island of Java?", "island=Java"),
        ("Is it on an island?", "insular"),
        ("Is it in an island nation?", "island_country"),
        ("Is your city a capital?", "capital"),
        ("Was it formerly the capital?", "former_capital"),
        ("Is it the biggest city in the country?", "largest"),
        ("Does it have a subway system?", "metro"),
        ("Has the city ever hosted the Olympics?", "olympics"),
        ("Do you get a lot of snow?", "snow"),
        ("Do they have a king?", "government=monarchy"),
        ("Is it in a communist country?", "government=one-party state"),
        ("Can I see the Eiffel Tower there?", "sights=the Eiffel Tower"),
        ("Is sushi a local dish?", "dishes=sushi"),
        ("Do you pay in euros?", "currency=euro"),
        ("Do they drive on the left side of the road?", "left_driving"),
        ("Is it in the EU?", "eu"),
        ("Is it close to the equator?", "near_equator"),
        ("Is it located in the Southern Hemisphere?", "southern"),
        ("Is it a port city?", "industries=shipping"),
        ("Is soccer popular?", "sports=football"),
        ("Is it in Texas?", "province=Texas"),
        ("Does it have more than ten million inhabitants?", "population>10"),
        ("Is the population over 5,000,000?", "population>5"),
        ("Is the population bigger than 5m?", "population>5"),
        ("Does your country have over 100 million people?", "nation_population>100"),
        ("Was it founded before 1500?", "founded>1500"),
        ("Was it founded before the 16th century?", "founded>1500"),
        ("Is it more than 1000 metres above sea level?", "elevation>1000"),
    ],
)  # fmt: skip
def test_it_understands(said: str, name: str):
    assert (understood(said).kind, understood(said).mask) == ("fact", fact(name))


@pytest.mark.parametrize(
    ("said", "mask"),
    [
        ("Is it in Asia or Europe?", fact(ASIA) | fact("continent=Europe")),
        ("Is it a coastal capital in Asia?", fact(ASIA) & fact("coastal") & fact("capital")),
        ("Is it in Asia and do they speak Chinese?", fact(ASIA) & fact("languages=Chinese")),
        ("Is it in Asia but not in China?", fact(ASIA) & ~fact(CHINA)),
        ("Is it not in Asia?", everything() & ~fact(ASIA)),
        ("Is it outside of Asia?", everything() & ~fact(ASIA)),
        ("Is it in Asia, Africa or Europe?", AFRICA | fact(ASIA) | fact("continent=Europe")),
        ("Is it a capital in Asia or Africa?", fact("capital") & (fact(ASIA) | AFRICA)),
        ("Is it neither in Asia nor in Europe?", everything() & ~(fact(ASIA) | fact("continent=Europe"))),
        ("Is it in East or Southeast Asia?", fact(EAST) | fact(SOUTHEAST)),
        ("Is it in North or South America?", AMERICAS),
        ("Is it in the Americas?", AMERICAS),
        ("Was it founded after 1800?", everything() & ~fact("founded>1800")),
        ("Was it founded in the 16th century?", fact("founded>1600") & ~fact("founded>1500")),
        ("Is the population between 2 and 5 million?", fact("population>2") & ~fact("population>5")),
        ("Do fewer than 2 million people live there?", everything() & ~fact("population>2")),
        ("Is it in Kenya?", 0),
        ("Are you in Nigeria?", 0),
        ("Do they speak Swedish?", 0),
        ("Is it Seattle?", 0),
        ("Does its country border Kenya?", fact("neighbours=Kenya")),
    ],
)  # fmt: skip
def test_it_combines_turns_round_and_knows_what_is_elsewhere(said: str, mask: int):
    assert (understood(said).kind, understood(said).mask) == ("fact", mask)


@pytest.mark.parametrize(
    ("said", "topic"),
    [
        ("Where is it?", "place"),
        ("which continent are you on", "place"),
        ("What food are you famous for?", "food"),
        ("Can you describe the local cuisine?", "food"),
        ("Tell me about the climate.", "climate"),
        ("What's the weather like in your city?", "climate"),
        ("What language do people speak?", "language"),
        ("In what language do they sing?", "language"),
        ("What is the population?", "size"),
        ("How many people live in your city?", "size"),
        ("When was it founded?", "age"),
        ("What is your city known for?", "sights"),
        ("What are some famous landmarks?", "sights"),
        ("Which ocean is it close to?", "water"),
        ("What is the main industry?", "economy"),
        ("Which sport is popular?", "sport"),
        ("What currency is used?", "currency"),
        ("Which countries does it border?", "neighbours"),
        ("What's the main religion?", "religion"),
    ],
)
def test_it_understands_open_questions(said: str, topic: str):
    assert (understood(said).kind, understood(said).topic) == ("open", topic)


@pytest.mark.parametrize(
    "said",
    [
        "", "?", "blah", "I love you", "Is it beautiful?", "Are you happy?", "What color is your flag?",
        "Yes", "42", "Is it the oldest city in the world?", "Is it the second largest city?",
        "Is it safe there?", "Is it within 50 km of the sea?", "Is it larger than 1 million square km?",
        "What music is popular?", "What is the flag of the country?",
    ],
)  # fmt: skip
def test_what_it_does_not_understand_it_says(said: str):
    assert understood(said).kind == "nothing"
    assert answers(said, 0) == (NOT_UNDERSTOOD,)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("more than 1.5 million people?", Comparison("population", (1.5,))),
        ("less than 800,000 inhabitants", Comparison("population", (0.8,), True)),
        ("over 1 billion people in the country?", Comparison("nation_population", (1000.0,))),
        ("older than 500 years?", Comparison("founded", (1525.0,))),
        ("less than 500 years old?", Comparison("founded", (1525.0,), True)),
        ("more than 20 centuries old?", Comparison("founded", (25.0,))),
        ("founded before 300 BC", Comparison("founded", (-300.0,))),
        ("founded between 1500 and 1600", Comparison("founded", (1500.0, 1600.0))),
        ("established since 1900", Comparison("founded", (1900.0,), True)),
        ("higher than 1000 feet", Comparison("elevation", (304.8,))),
        ("above 2000m", Comparison("elevation", (2000.0,))),
        ("lower than 100 meters", Comparison("elevation", (100.0,), True)),
        ("are there 3 bridges", None),
        ("is it old", None),
    ],
)  # fmt: skip
def test_numbers_are_read(said: str, meant: Comparison | None):
    found = comparison(said)
    if meant is None or found is None:
        assert found is meant
    else:
        assert found._replace(limits=meant.limits) == meant
        assert found.limits == pytest.approx(meant.limits)


def labelled() -> list[dict[str, str]]:
    """Questions in plain English, with cities where the answer is yes or no, or the open topic meant."""
    with Path(__file__).with_name("guess_my_city_questions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def is_answered_rightly(row: dict[str, str]) -> bool:
    meaning = understood(row["question"])
    if row["topic"]:
        return row["topic"] in (meaning.topic, meaning.kind)
    yes, no = (filter(None, row[column].split(" | ")) for column in ("yes", "no"))
    return (
        meaning.kind == "fact"
        and all(meaning.mask >> number(word) & 1 for word in yes)
        and not any(meaning.mask >> number(word) & 1 for word in no)
    )


def test_labelled_questions_are_answered_rightly():
    rows = labelled()
    assert len(rows) > 500
    assert [row["question"] for row in rows if not is_answered_rightly(row)] == []


def test_numbers_are_compared_with_the_table():
    for topic, (column, unit, thresholds) in NUMBERS.items():
        limit = thresholds[-1]
        for i, city in enumerate(facts()):
            value = float(city[column]) / unit
            assert bool(above(topic, limit) >> i & 1) == (
                value < limit if topic == "founded" else value > limit
            )


def test_a_hint_tells_something_open():
    told = {line for topic in open_topics().values() for line in topic.answers[number("paris,france")]}
    assert set(answers("Give me a hint", number("paris,france"))) == told


def test_all_wordings_come_up_and_the_query_s_generator_alone_decides():
    state = state_of(number("paris,france"))
    history = (Turn(HEADER, False), Turn("Is it in Europe?\n", True))

    def said(seed: int, count: int) -> list[str]:
        rng = np.random.default_rng(seed)
        return ScriptedCity().reply([Query(history, state, rng)] * count)

    assert set(said(0, 500)) == set(answers("Is it in Europe?\n", state.task))
    assert len(set(said(0, 500))) >= 4
    assert said(1, 50) == said(1, 50) != said(2, 50)
