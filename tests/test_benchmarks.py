"""The speed table: what it says, and that it can be made."""

from __future__ import annotations

import json
from pathlib import Path

import gymnasium
import pytest

from benchmarks import envs
from lmrlgym.envs.text_nav_rules import step_of

FAST_ENOUGH = {"lmrlgym/Maze-v0 gym.make": 0.15, "lmrlgym/Wordle-v0 gym.make": 0.11}
"""The least share of a trivial environment's rate."""


def test_a_row_holds_medians_and_the_spread_of_the_quotients():
    # The first of each is the warm-up. Quotients: 2/1, 6/2, 20/4.
    measured, baseline = iter([100.0, 2.0, 6.0, 20.0]), iter([100.0, 1.0, 2.0, 4.0])
    row = envs.row("what", "steps/s", lambda: next(measured), lambda: next(baseline), 3)
    assert row == envs.Row("what", 6.0, "steps/s", 2.0, 3.0, 2.0, 5.0)


def test_every_registered_game_is_measured_alone_and_side_by_side():
    rows = envs.env_rows(steps=1_000, repeats=1)
    ids = [env_id for env_id in gymnasium.registry if env_id.startswith("lmrlgym/")]
    played = [f"{i} {p}" for i in ids if "Chess" in i for p in ("random", "builtin")]
    played += [f"{i} {w}" for i in ids if "TextNav" in i for w in ("first", "again")]
    played += [env_id for env_id in ids if "Chess" not in env_id and "TextNav" not in env_id]
    assert sorted(row.name for row in rows) == sorted(
        f"{game} {how}" for game in played for how in ("gym.make", "vector of 16")
    )
    assert all(row.value > 0 and row.baseline > 0 and row.unit == "steps/s" for row in rows)


def test_chess_is_measured_by_legal_moves_and_every_one_of_them_counts():
    settings = {"partner": "random", "max_moves": 6}
    games = envs.recorded("lmrlgym/Chess-v0", **settings)
    assert all(game.total_reward == 0 for game in games)

    class Counts(gymnasium.Wrapper):  # type: ignore[type-arg]
        steps = 0

        def step(self, action: str):  # type: ignore[no-untyped-def]
            self.steps += 1
            told = super().step(action)
            assert told[4]["action_is_valid"]
            return told

    env = Counts(gymnasium.make("lmrlgym/Chess-v0", **settings))
    envs.replay_rate(env, games)()
    assert env.steps == sum(len(envs.spoken(game)) for game in games) == 16 * 6
    vector = gymnasium.make_vec("lmrlgym/Chess-v0", 16, vectorization_mode="vector_entry_point", **settings)
    envs.vector_replay_rate(vector.unwrapped, games)()
    told = [[turn.text for turn in env.history] for env in vector.unwrapped.envs]
    assert told == [[turn.text for turn in game.turns] for game in games]


def test_text_nav_is_measured_by_whole_games_and_first_means_that_nothing_is_remembered():
    games = envs.recorded("lmrlgym/TextNav-v0", "mixed", 32)
    vector = gymnasium.make_vec("lmrlgym/TextNav-v0", 16, vectorization_mode="vector_entry_point").unwrapped
    played = []

    def measure() -> float:
        rate = envs.vector_replay_rate(vector, games)()
        played.append(step_of.cache_info().misses)
        return rate

    envs.forgetful(measure)()
    told = [[turn.text for turn in env.history] for env in vector.envs]
    assert told == [[turn.text for turn in game.turns] for game in games[16:]]
    envs.forgetful(measure)()
    measure()
    # Forgotten, the same steps are all computed again; once more, none is.
    assert 0 < played[0] == played[1] == played[2]
    assert {turn.text for game in games for turn in game.turns if turn.is_action} > {"close fridge\n"}


def test_rates_count_every_step_and_go_on_over_the_end_of_a_game():
    class Counts(gymnasium.Wrapper):  # type: ignore[type-arg]
        steps = 0

        def step(self, action: str):  # type: ignore[no-untyped-def]
            self.steps += 1
            return super().step(action)

    env = Counts(gymnasium.make("lmrlgym/Wordle-v0"))
    envs.single_rate(env, envs.random_actions("lmrlgym/Wordle-v0", 100), 300)()
    assert env.steps == 300


def test_the_table_is_written_whole_with_machine_and_commit(tmp_path: Path):
    row = envs.Row("what", 6.0, "steps/s", 2.0, 3.0, 2.0, 5.0)
    envs.write(tmp_path / "new" / "table.json", [row])
    written = json.loads((tmp_path / "new" / "table.json").read_text())
    assert written.keys() == {"machine", "commit", "rows"}
    assert written["rows"] == [row._asdict()]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["table.json"]


def test_a_line_of_the_table_stands_under_its_header():
    line = str(envs.Row("what", 6.0, "steps/s", 2.0, 3.0, 2.0, 5.0))
    assert line.split() == ["what", "6", "steps/s", "2", "3.000", "2.000", "..", "5.000"]
    assert line.index("3.000") + 5 == envs.HEADER.index("ratio") + 5


def test_the_committed_table_keeps_the_promised_speed():
    table = json.loads((Path(__file__).parents[1] / "results" / "envs.json").read_text())
    ratios = {row["name"]: row["ratio"] for row in table["rows"]}
    assert all(ratios[name] >= share for name, share in FAST_ENOUGH.items())
    assert ratios["import lmrlgym / import gymnasium"] <= 1.3


@pytest.mark.slow
def test_the_games_are_fast_enough():
    ratios = {row.name: row.ratio for row in envs.env_rows(steps=50_000, repeats=5)}
    assert all(ratios[name] >= share for name, share in FAST_ENOUGH.items()), ratios


@pytest.mark.slow
def test_importing_takes_little_longer_than_gymnasium():
    assert envs.import_row(repeats=7).ratio <= 1.3
