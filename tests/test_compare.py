"""Comparisons: numbers worked out in sight, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from lmrlgym.analysis.compare import compare
from lmrlgym.analysis.runs import Run, read_log

pytest.importorskip("scipy")

from scipy.stats import norm

from lmrlgym.analysis.statistics import (
    detectable_gap,
    holm,
    interquartile_mean,
    interval,
    paired_p_value,
    pairs_needed,
    probability_of_improvement,
)


def run(label: str, seed: int, returns: list[float]) -> Run:
    games = {("", 10**9 + i): value for i, value in enumerate(returns)}
    result = {"evaluation_return_mean": float(np.mean(returns)), "references": None}
    return Run(
        Path(f"{label}-{seed}"), "toys/GuessNumber-v0", {}, label, label, seed, {}, "d", result, (),
        games, frozenset(games),
    )  # fmt: skip


def pairs(count: int) -> list[Run]:
    """A is above b by 1 + seed / 10 in every game."""
    a = [run("a", seed, [1 + seed / 10, 3 + seed / 10]) for seed in range(count)]
    return a + [run("b", seed, [0.0, 2.0]) for seed in range(count)]


def test_five_paired_seeds_are_too_few_and_it_says_how_many_would_do():
    (verdict,) = compare(pairs(5)).verdicts
    assert verdict.p_value == pytest.approx(2 / 2**5)
    assert verdict.winner == ""
    assert "5 paired seeds cannot pass 0.05" in verdict.reason
    assert verdict.reason.endswith("6 could")


def test_six_paired_seeds_of_one_sign_name_a_winner():
    (verdict,) = compare(pairs(6)).verdicts
    assert verdict.p_value == pytest.approx(2 / 2**6)
    assert verdict.difference.value == pytest.approx(1.25)  # 1 + mean(0 ... .5)
    assert verdict.winner == "a"


def test_no_winner_where_the_interval_holds_0():
    runs = [run("a", seed, [(-1.0) ** seed * (1 + seed)]) for seed in range(8)]
    (verdict,) = compare([*runs, *(run("b", seed, [0.0]) for seed in range(8))]).verdicts
    assert verdict.winner == ""
    assert "holds 0" in verdict.reason


def test_holm_and_the_pairs_it_takes():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])  # 3 x .01; 2 x .03; not below it
    assert [pairs_needed(tests) for tests in (1, 2, 3)] == [6, 7, 7]  # 2 m / 2^n <= .05


def test_the_detectable_gap_is_that_of_the_test_that_decides():
    # six pairs pass only if all agree: Phi(d)^6 = .8 (the other sign adds nothing), a t test would say 1.39
    needed = norm.ppf(0.8 ** (1 / 6))
    six = np.array([-1.0, 1.0, -1.0, 1.0, 0.0, 0.0]) * np.sqrt(5 / 4)  # standard deviation 1
    assert needed == pytest.approx(1.79, abs=0.01)
    assert detectable_gap(six) == pytest.approx(needed, abs=0.05)
    assert detectable_gap(six[:5]) == np.inf


def test_a_sign_flip_test_counts_the_signs():
    # sums of +-1, +-2, +-3 as far from 0 as 1 + 2 + 3: two of eight
    assert paired_p_value(np.array([1.0, 2.0, 3.0])) == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"data": "e"}, "different data.*d in .*e in"),
        ({"env_id": "toys/GuessNumber-v1"}, "different versions.*-v0 in .*-v1 in"),
        ({"planned": frozenset({("", 5)})}, "different games: 2 games.*1 games"),
        ({"returns": {}}, "partners broke 100.0 %"),
        ({"seed": 0}, "two runs of b with seed 0"),
    ],
)
def test_what_cannot_be_compared_is_refused_with_both_values(change, message):
    runs = pairs(2)
    with pytest.raises(ValueError, match=message):
        compare([*runs[:-1], replace(runs[-1], **change)])


def test_an_option_that_a_run_is_too_old_to_know_has_its_default():
    old, *others = (replace(one, label="ilql", algorithm="ilql") for one in pairs(3)[:3])
    new = [replace(one, setup={**one.setup, "lam": lam}) for one, lam in zip(others, (0.0, 0.5), strict=True)]
    assert {row.setup: row.seeds for row in compare([old, new[0]]).rows} == {"ilql": (0, 1)}
    found = {row.setup: row.seeds for row in compare([old, *new]).rows}
    assert found == {"ilql (lam=0.0)": (0, 1), "ilql (lam=0.5)": (2,)}


def test_an_option_of_an_algorithm_that_is_not_there_is_told_as_none():
    old, new = pairs(2)[:2]
    rows = compare([old, replace(new, setup={**new.setup, "lam": 0.5})]).rows
    assert {row.setup for row in rows} == {"a (lam=None)", "a (lam=0.5)"}


def test_a_cut_log_is_read_to_its_last_whole_line(tmp_path):
    whole, cut = '{"kind": "step"}\n', '{"kind": "resu'
    (tmp_path / "log.jsonl").write_text(whole + cut)
    assert read_log(tmp_path / "log.jsonl") == ([{"kind": "step"}], len(cut))


def test_statistics_are_those_of_rliable():
    metrics = pytest.importorskip("rliable.metrics")
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(20, 1)), rng.normal(size=(20, 1))
    assert interquartile_mean(a[:, 0]) == pytest.approx(metrics.aggregate_iqm(a))
    expected = metrics.probability_of_improvement(a, b)
    assert probability_of_improvement(a[:, 0], b[:, 0]) == pytest.approx(expected)


def test_one_seed_has_no_interval_and_equal_seeds_a_point():
    assert np.isnan(interval([np.array([1.0])]).low)
    assert interval([np.array([2.0, 2.0])]) == (2.0, 2.0, 2.0)
