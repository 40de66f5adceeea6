"""Reports: what stands on the page, what is escaped, listed and refused, and what a browser makes of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from lmrlgym import Dataset, Trajectory, Turn, normalise
from lmrlgym.cli import main
from lmrlgym.commands.options import game_ids
from lmrlgym.references import references
from tests.browsers import needs_chromium, opened
from tests.conftest import GUESS

pytest.importorskip("scipy")
pytest.importorskip("matplotlib")

from lmrlgym.analysis.report import report
from lmrlgym.analysis.runs import find_runs
from lmrlgym.analysis.statistics import performance_profile

MAZE = "lmrlgym/Maze-v0"
EVIL = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"


def game(env_id: str, env_kwargs: Mapping[str, Any], seed: int, reward: float, text: str) -> Trajectory:
    turns = (Turn("What now?\n", False), Turn(text + "\n", True, reward), Turn("Over.\n", False))
    return Trajectory(env_id, env_kwargs, turns, True, False, seed, {}, {"stop_reason": "won"})


def write_run(
    folder: Path,
    label: str,
    seed: int,
    rewards: Sequence[float],
    *,
    env_id: str = MAZE,
    env_kwargs: Mapping[str, Any] = {},
    text: str = "go left",
    is_finished: bool = True,
) -> Path:
    """A run folder as a training leaves it, without its weights."""
    out = folder / f"{label[:8]}-{seed}".replace("<", "").replace("/", "")
    out.mkdir(parents=True)
    asked = {
        "algorithm": "bc",
        "training": {"env": env_id, "env_kwargs": env_kwargs, "label": label},
        "config": {"seed": seed},
        "base": {"sha256": "b"},
        "data": {"sha256": "d"},
    }
    (out / "run.json").write_text(json.dumps(asked))
    mean = float(np.mean(rewards))
    lines: list[dict[str, Any]] = [
        {
            "kind": "validation",
            "gradient_steps": step,
            "return_mean": mean - 40 + step,
            "used_trained_tokens": 9,
        }
        for step in (20, 40)
    ]
    if is_finished:
        lines.append(
            {
                "kind": "result", "gradient_steps": 40, "task": env_id, "env_kwargs": env_kwargs,
                "algorithm": "bc", "seed": seed, "evaluation_return_mean": mean, 
                "references": {"kind": "exact"},
                "score_optimal": _score(env_id, mean, env_kwargs), "seconds": 10.0 + seed,
                "trained_tokens": 1000 * (seed + 1), "peak_memory_bytes": 5e8,
            }
        )  # fmt: skip
        games = [game(env_id, env_kwargs, 10**9 + i, reward, text) for i, reward in enumerate(rewards)]
        Dataset(tuple(games)).save(out / "evaluation.parquet")
    (out / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return out


def _score(env_id: str, mean: float, env_kwargs: Mapping[str, Any]) -> float | None:
    try:
        return normalise(env_id, mean, **env_kwargs)
    except (ValueError, gymnasium.error.Error):
        return None


def cells(html: str, table: str) -> list[list[str]]:
    """The rows of a table of the page."""
    (body,) = re.findall(rf'<table id="{table}">.*?<tbody>(.*?)</tbody>', html, re.DOTALL)
    return [re.findall(r"<td>(.*?)</td>", row, re.DOTALL) for row in body.split("</tr>") if row]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two agents with two seeds, of whom one says wicked things; a run that was killed, with a cut log."""
    folder = tmp_path_factory.mktemp("report") / "runs"
    for seed in (0, 1):
        write_run(folder, "plain", seed, [-20.0 - seed, -30.0 - seed])
        write_run(folder, EVIL, seed, [-10.0, -12.0], text=EVIL)
    killed = write_run(folder, "plain", 2, [-50.0], is_finished=False)
    with (killed / "log.jsonl").open("a") as log:
        log.write('{"kind": "resu')
    return folder


@pytest.fixture(scope="module")
def page(runs: Path) -> Path:
    out = runs.parent / "page" / "report.html"
    assert main(["report", str(runs), "--out", str(out)]) == 0
    return out


def test_both_scores_stand_beside_the_mean_and_what_they_are_made_of(page: Path) -> None:
    html = page.read_text("utf-8")
    (plain,) = [row for row in cells(html, "scores") if row[1] == "plain"]
    known = next(one for one in references(MAZE) if not one.env_kwargs)
    mean = (-25 - 26) / 2
    assert plain[2:4] == ["2", "2"]
    assert plain[4].startswith("-25.50 [")
    assert plain[6].startswith(f"{100 * (mean - known.random) / (known.best - known.random):.1f} [")
    assert plain[6].endswith("(exact)")
    # the paper maps -83 to 50 and its best to 100
    assert known.lmrl2023 is not None
    assert plain[7].startswith(f"{50 + 50 * (mean + 83) / (known.lmrl2023.high + 83):.1f} [")
    (anchors,) = cells(html, "anchors")
    assert anchors[4:6] == ["-101.00", "-83.00"]


def test_what_training_cost_is_the_mean_over_seeds_and_what_is_not_known_a_dash(page: Path) -> None:
    (row,) = [row for row in cells(page.read_text("utf-8"), "costs") if row[1] == "plain"]
    # prompt, agent, partner, trained tokens, steps of environment and gradient, seconds, MB, to 90
    assert row[2:] == ["–", "–", "–", "1,500", "–", "40", "10", "500", "–"]


def test_a_run_without_a_result_is_listed_with_how_far_it_came_and_what_its_log_lost(page: Path) -> None:
    html = page.read_text("utf-8")
    (killed,) = [row for row in cells(html, "runs") if row[4] != "finished"]
    assert killed[2:5] == [
        "plain",
        "2",
        "no result: its log ends with &quot;validation&quot; at gradient step 40",
    ]
    assert "the log is cut, 14 bytes after its last whole line are lost" in html


def test_runs_of_which_none_is_finished_still_make_a_page(tmp_path: Path) -> None:
    write_run(tmp_path / "runs", "plain", 0, [-50.0], is_finished=False)
    made = report(find_runs([tmp_path / "runs"]))
    assert "no result: its log ends" in made.html
    assert [figure.name for figure in made.figures] == ["curves-Maze-v0"]


def test_what_models_and_users_wrote_is_never_html(page: Path) -> None:
    html = page.read_text("utf-8")
    assert len(re.findall("<script", html)) == 2  # the games, as JSON, and the page's own
    assert "<img src=x" not in html
    assert "&lt;/script&gt;" in html
    (stored,) = re.findall(r'id="games">(.*?)</script>', html, re.DOTALL)
    assert EVIL + "\n" in {turn["text"] for one in json.loads(stored) for turn in one["turns"]}


def test_nothing_is_fetched_from_anywhere(page: Path) -> None:
    html = page.read_text("utf-8")
    assert re.findall(r'(?:src|href)="(?!data:)', html) == []
    assert "default-src 'none'" in html
    assert "@import" not in html
    assert "url(" not in html


def test_the_pictures_lie_beside_the_page(page: Path) -> None:
    names = sorted(path.name for path in page.parent.glob("*.png"))
    assert names == [f"report-{name}.png" for name in ("costs-Maze-v0", "curves-Maze-v0", "profiles")]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in page.parent.glob("*.png"))


def test_runs_that_cannot_be_compared_are_refused(runs: Path, tmp_path: Path, capsys: Any) -> None:
    other = write_run(tmp_path, "plain", 5, [-1.0], env_id="lmrlgym/Maze-v1")
    assert main(["report", str(runs), str(other), "--out", str(tmp_path / "r.html")]) == 2
    assert "different versions of an environment: lmrlgym/Maze-v0" in capsys.readouterr().err
    assert main(["report", str(runs), "--out", str(tmp_path / "r.pdf")]) == 2
    with pytest.raises(ValueError, match="games must be at least 0, got -1"):
        report(find_runs([runs]), games=-1)


def test_the_critic_s_numbers_go_with_their_tokens_and_a_lost_agent_is_a_note(runs: Path) -> None:
    def values(folder: Path, games: Sequence[Trajectory]) -> Any:
        if folder.name == "plain-0":
            return [[[("go", -1.0, -3.0), ("\n", float("nan"), None)]] for _ in games]
        raise ValueError("no weights")

    html = report(find_runs([runs]), games=1, values=values).html
    (stored,) = re.findall(r'id="games">(.*?)</script>', html, re.DOTALL)
    (judged,) = [one for one in json.loads(stored) if "tokens" in one["turns"][1]]
    assert judged["turns"][1]["tokens"] == [["go", -1.0, -3.0], ["\n", None, None]]
    assert html.count("no values, no weights") == 3


@pytest.mark.parametrize("env_id", [*game_ids(), GUESS, "elsewhere/Unregistered-v0"])
def test_every_environment_gets_its_page(env_id: str, tmp_path: Path) -> None:
    known = references(env_id) if env_id in gymnasium.registry else []
    write_run(
        tmp_path / "runs",
        "one",
        0,
        [0.0, -1.0],
        env_id=env_id,
        env_kwargs=known[0].env_kwargs if known else {},
    )
    made = report(find_runs([tmp_path / "runs"]), games=1)
    ((environment, agent, seeds, *_, optimal, _),) = cells(made.html, "scores")
    assert environment.startswith(env_id)
    assert (agent, seeds) == ("one", "single run")
    assert (optimal == "–") == (not known)
    assert {figure.name.partition("-")[0] for figure in made.figures} >= {"curves", "costs"}


def test_a_profile_is_the_share_of_scores_above() -> None:
    found = performance_profile([np.array([10.0, 50.0]), np.array([30.0, 70.0])], np.array([0, 10, 40, 90]))
    assert found.share.tolist() == [1, 0.75, 0.5, 0]
    assert (found.low <= found.share).all()
    assert (found.share <= found.high).all()
    assert np.isnan(performance_profile([np.array([1.0])], np.array([0.0])).low).all()


def test_profiles_are_those_of_rliable() -> None:
    library = pytest.importorskip("rliable.library")
    scores = np.random.default_rng(0).normal(50, 20, size=(5, 3))  # seeds, environments
    thresholds = np.linspace(0, 100, 11)
    theirs, bands = library.create_performance_profile({"a": scores}, thresholds, reps=2000)
    ours = performance_profile(list(scores.T), thresholds)
    assert ours.share == pytest.approx(theirs["a"])
    assert np.array([ours.low, ours.high]) == pytest.approx(bands["a"], abs=0.07)  # one of 15 scores


@needs_chromium()
def test_a_browser_shows_tables_curves_and_games_without_an_error(page: Path, tmp_path: Path) -> None:
    seen = opened(page, tmp_path)
    assert seen.console == []
    assert len(cells(seen.html, "scores")) == 2
    assert len(cells(seen.html, "verdicts")) == 1
    assert [
        len(re.findall(f'<img class="?{name}"?', seen.html)) for name in ("curves", "profiles", "costs")
    ] == [
        1,
        1,
        1,
    ]
    assert "8 of 8 games" in seen.html  # 2 agents, 2 seeds, 2 games
    assert len(re.findall(r"<li><button", seen.html)) == 8
    assert "−20 &nbsp;(Σ −20)" in seen.html or re.search(r"−\d+\s+\(Σ −\d+\)", seen.html)


@needs_chromium()
def test_a_browser_finds_what_was_said_and_shows_wicked_text_as_text(page: Path, tmp_path: Path) -> None:
    seen = opened(page, tmp_path, "search=GO+LEFT&order=low")
    assert seen.console == []
    assert "4 of 8 games" in seen.html
    assert "<mark>go left</mark>" in seen.html
    assert re.findall(r"return (−\d+)", seen.html)[0] == "−31"  # the lowest first
    wicked = opened(page, tmp_path, "search=onerror")
    assert wicked.console == []
    assert "4 of 8 games" in wicked.html
    assert "<img src" not in wicked.html.replace('<img src="data:', "")
    assert "alert(1)&lt;/script&gt;" in wicked.html


@needs_chromium()
def test_an_error_of_a_page_would_be_seen(tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text("<script>throw new Error('broken')</script>")
    assert "broken" in " ".join(opened(page, tmp_path / "profile").console)
