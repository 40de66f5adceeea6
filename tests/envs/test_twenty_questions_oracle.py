"""The scripted oracle of Twenty Questions: its table, and how it reads English."""

from __future__ import annotations

import csv
import itertools
from collections import Counter

import pytest

from lmrlgym import Query
from lmrlgym.envs.twenty_questions import (
    Secret,
    TwentyQuestionsEnv,
    asked,
    facts,
    mask_of,
    moves,
    rows_of,
    things,
)
from lmrlgym.partners import (
    twenty_questions,
    twenty_questions_lexicon,
    twenty_questions_names,
    twenty_questions_sizes,
    twenty_questions_words,
)
from lmrlgym.partners.twenty_questions import (
    NOT_UNDERSTOOD,
    ScriptedOracle,
    objects_asked_for,
    understood,
)
from lmrlgym.resources import data_path

NUMBERS = {thing.name: number for number, thing in enumerate(things())}


def said_of(name: str, question: str) -> str:
    """yes, no, or ? where the question is not understood."""
    mask = objects_asked_for(question)
    return "?" if mask is None else "yes" if mask >> NUMBERS[name] & 1 else "no"


# ---- the table ----


def test_the_table_has_158_objects_and_at_least_150_attributes_each_with_its_source():
    rows = rows_of("knowledge.csv")
    assert len(things()) == 158
    assert len({row["attribute"] for row in rows}) == len(rows) >= 150
    assert {row["source"] for row in rows} == {"written by us"}


def test_yes_and_either_are_disjoint_and_hold_only_objects():
    everything = mask_of("all objects")
    assert everything == (1 << 158) - 1
    for name, fact in facts().items():
        assert not fact.yes & fact.either, name
        assert (fact.yes | fact.either) & ~everything == 0, name


def test_a_cell_is_read_from_left_to_right():
    # all ten animals, less the cat, and the tree
    assert mask_of("all Animals; not Cat; Tree").bit_count() == 10 - 1 + 1
    with pytest.raises(ValueError, match="'Unicorn'"):
        mask_of("Dog; Unicorn")


def test_no_two_objects_are_told_alike_but_the_ocean_and_the_sea():
    masks = [move.mask for move in moves() if move.guess < 0]
    rows = Counter(tuple(mask >> number & 1 for mask in masks) for number in range(158))
    assert sorted(rows.values()) == [1] * 156 + [2]
    assert all((mask >> NUMBERS["Ocean"] ^ mask >> NUMBERS["Sea"]) & 1 == 0 for mask in masks)


def test_phrases_and_questions_name_attributes_of_the_table():
    from lmrlgym.partners.twenty_questions_sizes import MEASURED

    assert {row["attribute"] for row in rows_of("phrases.csv")} <= facts().keys() | MEASURED.keys()
    assert asked().keys() <= facts().keys()


# ---- the labelled questions ----


def labelled(part: str) -> list[dict[str, str]]:
    with data_path("twenty_questions", "questions.csv").open(encoding="utf-8", newline="") as lines:
        return [row for row in csv.DictReader(lines) if row["part"] == part]


@pytest.mark.parametrize(("part", "at_least"), [("tune", 500), ("aside", 250)])
def test_at_least_95_percent_of_the_labelled_questions_are_answered_right(part: str, at_least: int):
    rows = labelled(part)
    right = [said_of(row["object"], row["question"]).replace("?", "no") == row["answer"] for row in rows]
    assert len(rows) >= at_least
    assert sum(right) / len(rows) >= 0.95


class AllWords(frozenset[str]):
    """Holds whatever one looks for."""

    def __contains__(self, _: object) -> bool:
        return True

    def isdisjoint(self, _: object) -> bool:
        return False


def test_no_reading_depends_on_which_patterns_are_skipped(monkeypatch: pytest.MonkeyPatch):
    # every third labelled question, in forms that hold tags, exceptions, lists and measures
    questions = [row["question"].rstrip("?") for row in labelled("tune")[::3]]
    texts = [frame.format(question) for question in questions for frame in ("{}?", "So, {} or not, right?")]
    texts += [f"{one} but not {two}" for one, two in itertools.pairwise(questions[::4])]
    skipping = [understood(text) for text in texts]
    everything = AllWords()
    monkeypatch.setattr(twenty_questions, "_LAST_OF_TAGS", everything)
    monkeypatch.setattr(twenty_questions, "_SUBJECT_WORDS", everything)
    monkeypatch.setattr(twenty_questions, "_EXCEPT_PIECES", ("",))
    monkeypatch.setattr(twenty_questions_lexicon, "_JOINTS", everything)
    monkeypatch.setattr(twenty_questions_names, "_SPELLED", everything)
    monkeypatch.setattr(twenty_questions_names, "_SUPERLATIVES", everything)
    readers = tuple((everything, read) for _, read in twenty_questions_sizes._readers())
    monkeypatch.setattr(twenty_questions_sizes, "_readers", lambda: readers)
    merged = tuple((("",), pattern, said) for _, pattern, said in twenty_questions_words._MERGED)
    monkeypatch.setattr(twenty_questions_words, "_MERGED", merged)
    twenty_questions._bare_sentence.cache_clear()
    assert [understood(text) for text in texts] == skipping
    twenty_questions._bare_sentence.cache_clear()


# ---- one thing, many wordings ----


@pytest.mark.parametrize(
    "question",
    [
        "Is it something you would find in a kitchen?",
        "is it found in the kitchen",
        "Would you find it in a kitchen?",
        "Might I see this in my kitchen?",
        "Is the object usually kept in kitchens?",
        "So, would you say it's a thing that people have in the kitchen?",
        "Isn't it something you'd find in a kitchen?",
    ],
)
def test_paraphrases_are_read_alike(question: str):
    assert [said_of(name, question) for name in ("Fork", "Refrigerator", "Saxophone", "Lion")] == [
        *("yes", "yes", "no", "no")
    ]


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        ("Is it alive?", "Dog", "Spoon"),
        ("Is it not alive?", "Spoon", "Dog"),
        ("Isn't it alive?", "Dog", "Spoon"),  # asks for a yes
        ("Is it inanimate?", "Spoon", "Dog"),
        ("Is it a non-living thing?", "Spoon", "Dog"),
        ("Is it something that can't be eaten?", "Spoon", "Apple"),
        ("Is it an animal that doesn't eat meat?", "Cow", "Lion"),
        ("Is it a fruit but not a citrus fruit?", "Apple", "Orange"),
        ("Is it a vehicle without wheels?", "Boat", "Car"),
        ("Is it neither a fruit nor a vegetable?", "Dog", "Apple"),
        ("Is it anything other than an animal?", "Fork", "Dog"),
    ],
)
def test_negations_turn_what_they_belong_to(question: str, yes: str, no: str):
    assert (said_of(yes, question), said_of(no, question)) == ("yes", "no")


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        ("Is it a fruit or a vegetable?", ("Apple", "Carrot"), ("Dog",)),
        ("Is it either red or green?", ("Strawberry", "Spinach"), ("Elephant",)),
        ("Is it a cat, a dog or a horse?", ("Cat", "Dog", "Horse"), ("Cow",)),
        ("Is it worn on the head and made of fabric?", ("Hat",), ("Helmet", "Shirt")),
        ("Is it black or white?", ("Piano", "Sheep"), ("Banana",)),
        ("Is it bigger than a car but smaller than a house?", ("Bus",), ("Mountain", "Ring")),
    ],
)
def test_or_needs_one_and_and_needs_all(question: str, yes: tuple[str, ...], no: tuple[str, ...]):
    assert [said_of(name, question) for name in (*yes, *no)] == ["yes"] * len(yes) + ["no"] * len(no)


@pytest.mark.parametrize(
    ("question", "name"),
    [
        ("Is it a sock?", "Socks"),
        ("Are they socks?", "Socks"),
        ("Is it a pair of headphones?", "Headphone"),
        ("Is it a plane?", "Airplane"),
        ("I think it's a dog.", "Dog"),
        ("My guess is a TV", "Television"),
        ("are you thinking of a piece of paper?", "Paper"),
    ],
)
def test_guesses_are_true_of_their_object_alone(question: str, name: str):
    assert objects_asked_for(question) == 1 << NUMBERS[name]


@pytest.mark.parametrize("name", ["unicorn", "submarine", "penguin", "lawyer"])
def test_a_guess_of_no_object_is_answered_no(name: str):
    assert said_of("Dog", f"Is it a {name}?") in ("no", "?")


# ---- measures ----


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        ("Is it bigger than a breadbox?", "Car", "Ring"),
        ("Is it smaller than a breadbox?", "Ring", "Car"),
        ("Is it longer than a foot?", "Baseball bat", "Key"),
        ("Does it weigh less than 5 pounds?", "Pen", "Couch"),
        ("Does it weigh more than a person?", "Elephant", "Spoon"),
        ("Does it cost more than $100?", "Piano", "Pencil"),
        ("Can you hold it in one hand?", "Spoon", "Couch"),
        ("Does it fit in your pocket?", "Key", "Piano"),
        ("Is it as big as a dog?", "Horse", "Ring"),
        ("Is it faster than a human?", "Car", "Spoon"),
        ("Does it have more than two wheels?", "Bus", "Motorcycle"),
        ("Does it have exactly two wheels?", "Motorcycle", "Car"),
        ("Does it walk on four legs?", "Cow", "Spoon"),
        ("Is it too heavy to carry?", "Refrigerator", "Pen"),
        ("Does its name start with the letter B?", "Banana", "Spoon"),
        ("Does the word have more than five letters?", "Banana", "Cat"),
    ],
)
def test_comparisons_and_numbers(question: str, yes: str, no: str):
    assert (said_of(yes, question), said_of(no, question)) == ("yes", "no")


@pytest.mark.parametrize(
    ("question", "yes", "no"),
    [
        ("Is it eaten by people?", "Carrot", "Spoon"),  # what people made is something else
        ("Is it made by people?", "Spoon", "Carrot"),
        ("Does it have pieces that fit together?", "Puzzle", "Basketball"),  # not "keeps fit"
        ("Can a single person lift it?", "Chair", "Mountain"),  # not "single use"
        ("Would you cut steak with it?", "Knife", "Pillow"),
        ("Does it eat grass?", "Cow", "Fork"),
        ("Do you eat with it?", "Fork", "Cow"),
    ],
)
def test_who_does_what_to_whom(question: str, yes: str, no: str):
    assert (said_of(yes, question), said_of(no, question)) == ("yes", "no")


def test_what_is_only_sometimes_true_is_true_unless_more_is_asked_for():
    assert facts()["pet"].either >> NUMBERS["Rabbit"] & 1
    assert said_of("Rabbit", "Is it kept as a pet?") == "yes"
    assert said_of("Rabbit", "Is it always kept as a pet?") == "no"


# ---- what is not understood ----


@pytest.mark.parametrize(
    "question",
    ["Xyzzy plugh?", "What is it?", "Which room is it in?", "?!", "the", "is it" * 400, "q " * 900],
)
def test_what_is_no_yes_no_question_is_not_understood(question: str):
    secret = Secret(things()[0].variants, question)
    query = Query((), secret, None)  # type: ignore[arg-type]
    assert ScriptedOracle().reply([query]) == [NOT_UNDERSTOOD]


def test_what_is_not_understood_is_counted_by_the_game():
    env = TwentyQuestionsEnv()
    env.reset(seed=0, options={"object": "Dog"})
    assert [env.step(text)[4]["not_understood"] for text in ("Xyzzy?", "Is it alive?", "What is it?")] == [
        1,
        1,
        2,
    ]


def test_the_answer_does_not_depend_on_what_was_asked_before():
    queries = [
        Query((), Secret(things()[11].variants, row["question"]), None) for row in labelled("tune")[:100]
    ]  # type: ignore[arg-type]
    oracle = ScriptedOracle()
    forwards = oracle.reply(queries)
    objects_asked_for.cache_clear()
    assert oracle.reply(queries[::-1])[::-1] == forwards
    assert set(forwards) <= {"Yes.", "No.", NOT_UNDERSTOOD}
    assert not hasattr(oracle, "__dict__") or vars(oracle) == {}


# ---- the players' own questions ----


def test_the_oracle_reads_every_question_of_the_players_as_it_is_meant():
    wrong = [text for move in moves() for text in move.texts if objects_asked_for(text) != move.mask]
    assert wrong == []
