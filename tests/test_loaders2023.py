"""The released files of 2023, every schema, on hand-made records."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from lmrlgym import Dataset
from lmrlgym.loaders2023 import SCHEMATA, load_2023, trajectory_2023

MAZE, PARTIAL, WORDLE = "lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0", "lmrlgym/Wordle-v0"
TEXT_NAV, CHESS, CAR = "lmrlgym/TextNav-v0", "lmrlgym/Chess-v0", "lmrlgym/CarDealer-v0"
QUESTIONS, CITY = "lmrlgym/TwentyQuestions-v0", "lmrlgym/GuessMyCity-v0"

STEP = {"state": "The goal is at position 8, 6.\n", "action": "move down\n", "reward": -1.0, "done": False}
WON = {"state": "There is a wall above you.\n", "action": "move down\n", "reward": 0.0, "done": True}
WALLS = {
    "text_history": [
        "There is a wall above you.\n",
        "move up\n",
        "There is a wall above you.\n",
        "move down\n",
    ],
    "rewards": [0, -1.0, 0, 0.0],
    "dones": [False, False, False, True],
}
GUESSES = {
    "sequence": [
        ["Wordle:\n", 0.0],
        ["s l a t e\n", 1.0],
        ["b b g b g\n", 0.0],
        ["c r a n e\n", 1.0],
        ["g g g g g\n", 0.0],
    ],
    "reward": [-1.0, 0.0, 0.0, 0.0],
    "done": True,
}
ROOMS = {
    "text_history": ["obs 0", "go west", "obs 1", "go east", "obs 2"],
    "rewards": [0, 1],
    "dones": [False, True],
}
SALE: dict[str, Any] = {
    "buyer_info": {"personality": "polite", "budget": 50000},
    "lines": [
        {"role": "Seller", "text": "Hello"},
        {"role": "Seller", "text": "A BMW?"},
        {"role": "Buyer", "text": "Deal."},
    ],
    "output": {"car_bought": True, "msrp": 50000, "buy_price": 48000},
}


def said(record: Any, env_id: str, **env_kwargs: Any) -> list[tuple[str, bool, float]]:
    turns = trajectory_2023(record, env_id, **env_kwargs).turns
    return [(turn.text, turn.is_action, turn.reward) for turn in turns]


def written(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def lines(*records: Any) -> str:
    return "".join(json.dumps(record) + "\n" for record in records)


# ---- one record of every schema ----


def test_maze_steps_become_turns() -> None:
    game = trajectory_2023([STEP, WON], MAZE)
    assert said([STEP, WON], MAZE) == [
        ("The goal is at position 8, 6.\n", False, 0.0),
        ("move down\n", True, -1.0),
        ("There is a wall above you.\n", False, 0.0),
        ("move down\n", True, 0.0),
    ]
    assert (game.terminated, game.truncated, game.seed, game.info) == (True, False, None, {"success": True})


def test_a_maze_game_without_its_end_is_truncated() -> None:
    game = trajectory_2023([STEP], MAZE)
    assert (game.terminated, game.truncated, game.info["success"]) == (False, True, False)


def test_partial_maze_rewards_are_read_at_the_actions() -> None:
    assert [reward for _, _, reward in said(WALLS, PARTIAL)] == [0.0, -1.0, 0.0, 0.0]
    game = trajectory_2023(WALLS, PARTIAL)
    assert (game.terminated, game.info["success"]) == (True, True)


def test_a_lost_partial_maze_game_is_no_success() -> None:
    lost = {**WALLS, "rewards": [0, -1.0, 0, -1.0]}
    assert trajectory_2023(lost, PARTIAL).info["success"] is False


def test_text_nav_has_one_reward_an_action_and_gets_newlines() -> None:
    assert said(ROOMS, TEXT_NAV) == [
        ("obs 0\n", False, 0.0),
        ("go west\n", True, 0.0),
        ("obs 1\n", False, 0.0),
        ("go east\n", True, 1.0),
        ("obs 2\n", False, 0.0),
    ]
    assert trajectory_2023(ROOMS, TEXT_NAV).info["success"] is True
    lost = {**ROOMS, "rewards": [0, 0]}
    assert trajectory_2023(lost, TEXT_NAV).info["success"] is False


def test_wordle_rewards_have_none_for_the_header() -> None:
    assert said(GUESSES, WORDLE) == [
        ("Wordle:\n", False, 0.0),
        ("s l a t e\n", True, -1.0),
        ("b b g b g\n", False, 0.0),
        ("c r a n e\n", True, 0.0),
        ("g g g g g\n", False, 0.0),
    ]
    game = trajectory_2023(GUESSES, WORDLE, vocabulary="words.txt")
    assert (game.terminated, game.info["success"]) == (True, True)
    assert game.env_kwargs == {"vocabulary": "words.txt"}


FEN = "8/8/8/4k3/8/8/4Q3/4K3 w - - 0 1"
SPACED = "8 / 8 / 8 / 4 k 3 / 8 / 8 / 4 Q 3 / 4 K 3   w   -   -   0   1\n"


@pytest.mark.parametrize("state", [FEN, FEN + "\n", SPACED, SPACED.removesuffix("\n")])
@pytest.mark.parametrize("move", ["Qe4+", "Q e 4 +\n"])
def test_chess_positions_and_moves_are_spaced_once(state: str, move: str) -> None:
    record = [{"state": state, "action": move, "reward": 1, "done": True}]
    assert said(record, CHESS) == [(SPACED, False, 0.0), ("Q e 4 +\n", True, 1.0)]
    assert trajectory_2023(record, CHESS).info["success"] is True


def test_a_chess_bc_record_is_one_move() -> None:
    assert said({"from_state": FEN, "action": "Qe4"}, CHESS) == [(SPACED, False, 0.0), ("Q e 4\n", True, 0.0)]


ENDGAMES = "lmrlgym/ChessEndgames-v0"
AFTER = "8/8/8/5k2/4Q3/8/8/4K3 w - - 2 2"
CHESS_FILES = {
    # the lines of train_bc.jsonl: a move each, with more or fewer keys
    "train_bc.jsonl": (
        [
            {"from_state": FEN, "action": "Qe4+"},
            {"from_state": FEN, "action": "Kd2", "reward": 0, "done": False, "round": 3},
        ],
        [("8 / 8", ["Q e 4 +"], 0.0, False), ("8 / 8", ["K d 2"], 0.0, False)],
    ),
    # of train_trajectories.jsonl and train.jsonl: a game each, spaced
    "train_trajectories.jsonl": (
        [
            [
                {"state": SPACED.strip(), "action": "Q e 4 +\n", "reward": 0, "done": False},
                {"state": " ".join(AFTER), "action": "Q x f 5 #\n", "reward": 1, "done": True},
            ],
            [{"state": FEN, "action": "x", "reward": -1, "done": False}],
        ],
        [("8 / 8", ["Q e 4 +", "Q x f 5 #"], 1.0, True), ("8 / 8", ["x"], -1.0, False)],
    ),
    # of val_bc.jsonl as a helper script wrote it: both keys, and spaced
    "val_bc.jsonl": (
        [{"from_state": SPACED, "state": SPACED, "action": "Q e 4 +\n", "reward": 0, "done": True}],
        [("8 / 8", ["Q e 4 +"], 0.0, True)],
    ),
}  # fmt: skip
"""File -> (its lines, what each game is: how it begins, moves, return, whether it ended)."""


@pytest.mark.parametrize("env_id", [CHESS, ENDGAMES])
@pytest.mark.parametrize("name", CHESS_FILES)
@pytest.mark.parametrize("as_lines", [True, False])
def test_chess_files_hold_moves_and_games(tmp_path: Path, env_id: str, name: str, as_lines: bool) -> None:
    records, wanted = CHESS_FILES[name]
    text = lines(*records) if as_lines else json.dumps(records)
    found = load_2023(written(tmp_path, name, text), env_id)
    assert [
        (g.turns[0].text[:5], [t.text.strip() for t in g.turns if t.is_action], g.total_reward, g.terminated)
        for g in found
    ] == wanted
    for game in found:
        assert game.env_id == env_id
        assert game.truncated != game.terminated
        # a position with a blank between all characters and one newline, whatever the file has
        assert all(
            turn.text[1:-1:2].strip() == "" and turn.text.endswith("\n")
            for turn in game.turns
            if not turn.is_action
        )
        assert game.info["success"] == (game.total_reward == 1)


def test_the_steps_of_an_unshuffled_chess_file_are_cut_into_games(tmp_path: Path) -> None:
    step = {"state": FEN, "action": "Qe4+", "reward": 0, "done": False}
    mate = {"state": AFTER, "action": "Qxf5#", "reward": 1, "done": True}
    text = lines(step, mate, step) + "\n" + lines(step, step, mate)
    found = load_2023(written(tmp_path, "train_unshuffled.jsonl", text), ENDGAMES)
    # by `done`, by the empty line, by `done`
    assert [len(game.turns) // 2 for game in found] == [2, 1, 3]
    assert [game.terminated for game in found] == [True, False, True]
    assert [game.total_reward for game in found] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize(
    "record",
    [
        {"from_state": FEN}, {"action": "Qe4"}, {"from_state": 5, "action": "Qe4"},
        {"from_state": FEN, "action": None}, [], [{"state": FEN, "done": True}], FEN,
    ],
)  # fmt: skip
def test_a_chess_record_that_is_none_is_named(tmp_path: Path, record: Any) -> None:
    good = {"from_state": FEN, "action": "Qe4+"}
    path = written(tmp_path, "train_bc.jsonl", lines(good, record))
    with pytest.raises(ValueError, match=r"train_bc\.jsonl: record 2 is not of lmrlgym/ChessEndgames-v0"):
        load_2023(path, ENDGAMES)


def test_twenty_questions_pay_all_but_the_right_one() -> None:
    record = {"lines": ["Is it alive? No.", "Is it a car? Yes."], "correct": True, "word": ["Car"]}
    assert said(record, QUESTIONS) == [
        ("Questions:\n", False, 0.0),
        ("Is it alive?\n", True, -1.0),
        ("No.\n", False, 0.0),
        ("Is it a car?\n", True, 0.0),
        ("Yes.\n", False, 0.0),
    ]
    assert trajectory_2023(record, QUESTIONS).terminated


@pytest.mark.parametrize(("count", "terminated"), [(19, False), (20, True)])
def test_twenty_wrong_questions_end_a_game(count: int, terminated: bool) -> None:
    record = {"lines": ["Is it alive? No."] * count, "correct": False, "word": ["Car"]}
    game = trajectory_2023(record, QUESTIONS)
    assert (game.terminated, game.info["success"], game.total_reward) == (terminated, False, -count)


def test_the_city_files_have_two_schemata() -> None:
    lines_ = ["My next one:\n\nIs it in Peru? No, it is not.", "Is it Rome? Yes."]
    new = {"lines": lines_, "correct": True, "word": ["rome,italy"]}
    old = {"conversation": lines_, "done": True, "word": "rome,italy"}
    assert said(new, CITY) == said(old, CITY)
    assert said(old, CITY)[1] == ("My next one: Is it in Peru?\n", True, -1.0)


def test_an_open_answer_may_hold_a_question_mark() -> None:
    answer = "You have heard of its opera, haven't you? It is by the water."
    record = {"conversation": [f"What is it known for? {answer}"], "done": False, "word": "sydney,australia"}
    assert said(record, CITY)[1:] == [
        ("What is it known for?\n", True, -1.0),
        (f"{answer}\n", False, 0.0),
    ]


def test_a_city_file_of_either_schema_is_read(tmp_path: Path) -> None:
    talk = ["Is it in Asia? No.", "What do people eat? Pasta, why? Ask them.", "Is it Rome? Yes."]
    new = {"lines": talk, "correct": True, "word": ["rome,italy"]}
    old = {"conversation": talk[:2], "done": False, "word": "rome,italy"}
    games = load_2023(written(tmp_path, "train.json", json.dumps([new, old])), CITY)
    # two misses and the right guess; two misses of a game that went on
    assert [(game.total_reward, game.terminated, len(game.turns)) for game in games] == [
        (-2.0, True, 7),
        (-2.0, False, 5),
    ]


def test_a_sale_pays_the_last_thing_the_seller_said() -> None:
    # 48,000 / (.5 * (50,000 + 50,000)) = .96; two things said in a row are one turn
    assert said(SALE, CAR) == [
        ("Start\n", False, 0.0),
        ("Hello A BMW?\n", True, 0.96),
        ("Deal.\n", False, 0.0),
    ]


@pytest.mark.parametrize(
    ("mode", "output", "paid"),
    [
        ("revenue", {"car_bought": True, "msrp": 50000, "buy_price": 48000}, 48.0),
        ("revenue", {"car_bought": False, "msrp": 60000, "buy_price": None}, 0.0),
        ("margin", {"car_bought": False, "msrp": 40000, "buy_price": None}, -0.25),  # -(50 - 40) / 40
        ("margin", {"car_bought": False, "msrp": 0, "buy_price": None}, 0.0),
        ("margin", {"car_bought": True, "msrp": 50000, "buy_price": None}, 0.0),
    ],
)
def test_a_sale_is_paid_in_two_ways(mode: str, output: dict[str, Any], paid: float) -> None:
    assert trajectory_2023({**SALE, "output": output}, CAR, reward=mode).total_reward == paid


def test_talk_without_a_decision_is_truncated() -> None:
    game = trajectory_2023({"buyer_info": SALE["buyer_info"], "lines": SALE["lines"]}, CAR)
    assert (game.truncated, game.total_reward) == (True, 0.0)


# ---- files ----


@pytest.mark.parametrize(
    ("env_id", "record"), [(MAZE, [STEP, WON]), (PARTIAL, WALLS), (WORDLE, GUESSES), (TEXT_NAV, ROOMS)]
)
@pytest.mark.parametrize("count", [1, 3])
def test_lines_and_arrays_hold_the_same_games(tmp_path: Path, env_id: str, record: Any, count: int) -> None:
    expected = (trajectory_2023(record, env_id),) * count
    as_lines, as_array = lines(*[record] * count), json.dumps([record] * count, indent=1)
    for name, text in (("a.jsonl", as_lines), ("b.json", as_array), ("c.jsonl.gz", as_lines)):
        assert load_2023(written(tmp_path, name, text), env_id) == expected


def test_single_steps_are_cut_into_games_at_done_and_at_empty_lines(tmp_path: Path) -> None:
    path = written(tmp_path, "train_unshuffled.jsonl", lines(STEP, WON, STEP) + "\n" + lines(STEP, STEP))
    games = load_2023(path, MAZE)
    assert [(len(game.turns), game.terminated) for game in games] == [(4, True), (2, False), (4, False)]


def test_the_older_car_files_group_conversations(tmp_path: Path) -> None:
    path = written(tmp_path, "train.json", json.dumps({"polite": [SALE, SALE], "rude": [SALE]}))
    assert load_2023(path, CAR) == (trajectory_2023(SALE, CAR),) * 3


def test_loaded_games_make_a_dataset_like_any_other(tmp_path: Path) -> None:
    games = load_2023(written(tmp_path, "maze.jsonl", lines([STEP, WON], [STEP])), MAZE)
    path = Dataset(games, {"source": "2023"}).save(tmp_path / "maze.parquet")
    assert Dataset.load(path).trajectories == games
    assert Dataset.load(path).top(0.5)[0].total_reward == -1.0


@pytest.mark.parametrize(
    ("env_id", "record", "what"),
    [
        (MAZE, [{"state": "x\n", "action": "y\n", "done": True}], "reward"),
        (MAZE, {"sequence": []}, "record 2"),
        (WORDLE, {**GUESSES, "reward": [0.0]}, "5 texts need 4 rewards, got 1"),
        (WORDLE, {**GUESSES, "reward": [0.0, -1.0, 0.0, 0.0]}, "only actions earn rewards"),
        (PARTIAL, {**WALLS, "rewards": [0]}, "4 texts need 4 or 2 rewards and dones, got 1 and 4"),
        (QUESTIONS, {"lines": ["Is it alive. No."], "correct": False}, "Is it alive. No."),
        (CAR, {**SALE, "lines": [{"role": "Dealer", "text": "Hi"}]}, "Dealer"),
    ],
)  # fmt: skip
def test_a_malformed_record_is_named_with_its_file(
    tmp_path: Path, env_id: str, record: Any, what: str
) -> None:
    good = {MAZE: [STEP, WON], WORDLE: GUESSES, PARTIAL: WALLS, CAR: SALE}.get(
        env_id, {"lines": [], "correct": False}
    )
    path = written(tmp_path, "bad.json", json.dumps([good, record]))
    with pytest.raises(ValueError, match=r"bad\.json: record 2") as error:
        load_2023(path, env_id)
    assert what in str(error.value)


def test_a_broken_line_is_numbered(tmp_path: Path) -> None:
    path = written(tmp_path, "cut.jsonl", lines(GUESSES) + '{"sequence": [["Wor')
    with pytest.raises(ValueError, match=r"cut\.jsonl: line 2 is not JSON"):
        load_2023(path, WORDLE)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"\x1f\x8b broken"])
def test_bytes_that_are_no_text_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.jsonl.gz").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.jsonl\.gz"):
        load_2023(tmp_path / "bad.jsonl.gz", WORDLE)


def test_a_missing_file_and_an_unknown_id_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.jsonl"):
        load_2023(tmp_path / "gone.jsonl", WORDLE)
    with pytest.raises(ValueError, match="got 'lmrlgym/Go-v0'"):
        load_2023(tmp_path / "gone.jsonl", "lmrlgym/Go-v0")


def test_there_is_a_reader_for_all_ten_ids() -> None:
    assert len(SCHEMATA) == 10
