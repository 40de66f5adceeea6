"""Datasets in memory and on disk."""

from __future__ import annotations

import gzip
import hashlib
import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from lmrlgym import Dataset, Trajectory, Turn
from lmrlgym.dataset import SUFFIXES, content_sha256, distinct, shipped_names, statistics


def game(reward: float, seed: int = 0, *, truncated: bool = False) -> Trajectory:
    turns = (
        Turn("Hello, wörld\u2028!\n", False),
        Turn("move left\n", True, reward, (5, 7), (-0.25, -0.5), None),
        Turn("Bye\n", False),
    )
    keywords, info = {"compat": True}, {"success": reward == 0}
    return Trajectory("lmrlgym/Maze-v0", keywords, turns, not truncated, truncated, seed, {"task": 3}, info)


def scripted() -> Trajectory:
    turns = (Turn("a\n", False), Turn("b\n", True, -1.0, (), (), -1.5))
    return Trajectory("lmrlgym/Maze-v0", {}, turns, True, False, None)


DATA = Dataset(
    (game(-1.0, 0), game(0.0, 1), scripted(), game(-4.0, 2, truncated=True)), {"level": "hand-made"}
)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_gives_back_the_same_games(tmp_path: Path, suffix: str) -> None:
    path = DATA.save(tmp_path / f"games{suffix}")
    loaded = Dataset.load(path)
    assert loaded.trajectories == DATA.trajectories
    assert loaded.card["level"] == "hand-made"
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["games.card.json", f"games{suffix}"])


def test_the_card_counts_the_games_and_holds_the_sha256_of_their_canonical_lines(tmp_path: Path) -> None:
    path = DATA.save(tmp_path / "games.jsonl")
    card = json.loads((tmp_path / "games.card.json").read_text())
    assert card["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest() == content_sha256(DATA)
    # returns -1, 0, -1, -4; one of four won, one cut; one action a game
    assert (card["count"], card["return_mean"], card["success"]) == (4, -1.5, 0.25)
    assert (card["length_mean"], card["truncated"]) == (1.0, 0.25)
    assert card["action_counts"] == {"b\n": 1, "move left\n": 3}


def test_a_parquet_file_can_be_read_without_this_package(tmp_path: Path) -> None:
    table = pq.read_table(DATA.save(tmp_path / "games.parquet"))
    row = table.to_pylist()[0]
    assert row["texts"] == ["Hello, wörld\u2028!\n", "move left\n", "Bye\n"]
    assert row["is_action"] == [False, True, False]
    assert row["rewards"] == [0.0, -1.0, 0.0]
    assert row["tokens"] == [[], [5, 7], []]
    assert (row["seed"], row["total_reward"], row["terminated"]) == (0, -1.0, True)
    assert json.loads(row["options"]) == {"task": 3}
    assert table.to_pylist()[2]["log_prob"] == [None, -1.5]


def test_equal_games_make_equal_gzip_bytes(tmp_path: Path) -> None:
    first = DATA.save(tmp_path / "a.jsonl.gz").read_bytes()
    assert DATA.save(tmp_path / "b.jsonl.gz").read_bytes() == first


def test_top_cuts_exactly_where_games_tie() -> None:
    tied = Dataset(tuple(game(-1.0, seed) for seed in range(10)))
    assert [t.seed for t in tied.top(0.3)] == [0, 1, 2]


def test_top_is_best_first_and_keeps_at_least_one_game() -> None:
    assert [t.total_reward for t in DATA.top(0.5)] == [0.0, -1.0]
    assert len(DATA.top(0.01)) == 1


@pytest.mark.parametrize("fraction", [0, -0.1, 1.5])
def test_top_names_a_wrong_fraction(fraction: float) -> None:
    with pytest.raises(ValueError, match=f"got {fraction}"):
        DATA.top(fraction)


def test_split_is_seeded_and_loses_no_game() -> None:
    data = Dataset(tuple(game(-1.0, seed) for seed in range(20)))
    part, rest = data.split(0.75, seed=1)
    assert (len(part), len(rest)) == (15, 5)
    assert sorted(t.seed or 0 for t in (*part, *rest)) == list(range(20))
    assert data.split(0.75, seed=1)[0].trajectories == part.trajectories
    assert data.split(0.75, seed=2)[0].trajectories != part.trajectories


def test_a_part_has_a_card_of_its_own() -> None:
    won = DATA.filter(lambda t: bool(t.info.get("success")))
    assert won.card["count"] == 1
    assert won.card["return_mean"] == 0.0
    assert won.top(1.0).card["derived"] == ["filtered", "top 1"]


def test_a_dataset_is_a_sequence() -> None:
    assert DATA[1].seed == 1
    assert [t.seed for t in DATA[::3]] == [0, 2]
    assert isinstance(DATA[1:], Dataset)
    assert len(DATA[4:]) == 0


def test_an_unknown_name_lists_the_names_there_are() -> None:
    with pytest.raises(FileNotFoundError) as error:
        Dataset.load("maze/no-such-v0")
    assert all(name in str(error.value) for name in ("maze/no-such-v0", "maze/mixed-v0", "maze/random-v0"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"gone\.parquet"):
        Dataset.load(tmp_path / "gone.parquet")


def test_another_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "games.csv").write_text("a,b\n")
    with pytest.raises(ValueError, match=r"games\.csv"):
        Dataset.load(tmp_path / "games.csv")
    with pytest.raises(ValueError, match=r"\.parquet, \.jsonl"):
        DATA.save(tmp_path / "games.txt")


@pytest.mark.parametrize("content", [b"", b"PAR1 not really", b"\x00" * 100])
def test_a_broken_parquet_file_is_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "bad.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.parquet is not a dataset"):
        Dataset.load(tmp_path / "bad.parquet")


def test_a_foreign_parquet_file_is_told_its_missing_columns(tmp_path: Path) -> None:
    table = pq.read_table(DATA.save(tmp_path / "games.parquet"))
    pq.write_table(table.drop_columns(["texts", "seed"]), tmp_path / "other.parquet")
    with pytest.raises(ValueError, match="no column seed, texts"):
        Dataset.load(tmp_path / "other.parquet")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_cut_short_is_refused(tmp_path: Path, suffix: str) -> None:
    path = DATA.save(tmp_path / f"games{suffix}")
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(ValueError, match="games"):
        Dataset.load(path)


def test_a_broken_line_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "games.jsonl"
    path.write_text(DATA[0].to_json() + "\n{}\n")
    with pytest.raises(ValueError, match=r"games\.jsonl.*line 2"):
        Dataset.load(path)


def test_an_edited_file_is_refused_though_it_parses(tmp_path: Path) -> None:
    path = DATA.save(tmp_path / "games.jsonl.gz")
    lines = gzip.decompress(path.read_bytes()).decode().replace('"reward":-4.0', '"reward":-5.0')
    path.write_bytes(gzip.compress(lines.encode()))
    with pytest.raises(ValueError, match="not what its card says"):
        Dataset.load(path)


def test_a_broken_card_is_refused(tmp_path: Path) -> None:
    path = DATA.save(tmp_path / "games.parquet")
    (tmp_path / "games.card.json").write_text("[]")
    with pytest.raises(ValueError, match=r"games\.card\.json"):
        Dataset.load(path)


def test_a_failed_save_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = DATA.save(tmp_path / "games.jsonl")
    before = path.read_bytes()

    def fail(self: Path, data: bytes) -> int:
        raise OSError("disk full")

    monkeypatch.setattr(Path, "write_bytes", fail)
    with pytest.raises(OSError, match="disk full"):
        DATA[:1].save(path)
    assert path.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["games.card.json", "games.jsonl"]


def test_an_empty_dataset_survives_the_disk(tmp_path: Path) -> None:
    for suffix in SUFFIXES:
        assert len(Dataset.load(Dataset(()).save(tmp_path / f"none{suffix}"))) == 0


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_dataset_is_small_and_its_card_true(name: str) -> None:
    data = Dataset.load(name)
    for key, value in statistics(data).items():
        assert data.card[key] == value
    assert data.card["licence"] == "CC0-1.0"
    assert {t.env_id for t in data} == {data.card["env_id"]}


def test_distinct_n_is_the_share_of_different_n_grams() -> None:
    # a b a, then a b: of five words two are different, of three pairs (ab, ba, ab) two
    assert distinct(["a b a", "a b"], 1) == 2 / 5
    assert distinct(["a b a", "a b"], 2) == 2 / 3
    assert distinct(["a"], 2) == 0.0
