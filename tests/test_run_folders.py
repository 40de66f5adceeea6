"""Run folders that are damaged: each is refused, or left out, in one line that names it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import results
from lmrlgym import Dataset, Trajectory, Turn, cli
from lmrlgym.analysis.runs import find_runs, keep_runs, records_in

pytest.importorskip("scipy")

RESULT = {
    "kind": "result", "task": "toys/GuessNumber-v0", "env_kwargs": {}, "algorithm": "bc", "seed": 0,
    "gradient_steps": 40, "evaluation_return_mean": -1.0,
}  # fmt: skip
ASKED = {
    "algorithm": "bc", "training": {"env": "toys/GuessNumber-v0", "env_kwargs": {}}, "config": {"seed": 0},
    "base": {"sha256": "b"}, "data": {"sha256": "d"},
}  # fmt: skip


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A run of one game."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(ASKED))
    (folder / "log.jsonl").write_text(json.dumps(RESULT) + "\n")
    turns = (Turn("?\n", False), Turn("a\n", True, -1.0), Turn("no\n", False))
    game = Trajectory("toys/GuessNumber-v0", {}, turns, True, False, 10**9)
    Dataset((game,)).save(folder / "evaluation.parquet")
    return folder


def compared(run: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """The exit code, and what was complained of."""
    code = cli.main(["compare", str(run)])
    return code, capsys.readouterr().err


def test_a_sound_run_is_compared(run, capsys):
    assert compared(run, capsys) == (0, "")


def cut_record(run: Path) -> None:
    (run / "run.json").write_text(json.dumps(ASKED)[:40])


def no_mean(run: Path) -> None:
    lacking = {key: value for key, value in RESULT.items() if key != "evaluation_return_mean"}
    (run / "log.jsonl").write_text(json.dumps(lacking) + "\n")


def no_base(run: Path) -> None:
    (run / "run.json").write_text(json.dumps({key: ASKED[key] for key in ASKED if key != "base"}))


def no_games(run: Path) -> None:
    (run / "evaluation.parquet").unlink()


def cut_games(run: Path) -> None:
    whole = (run / "evaluation.parquet").read_bytes()
    (run / "evaluation.parquet").write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (cut_record, "run/run.json is damaged: "),
        (no_mean, "the result in the log of {run} lacks evaluation_return_mean"),
        (no_base, "{run} is not a run of the documented form: it lacks 'base'"),
        (no_games, "{run} has no evaluation.parquet: its games are needed to pair them"),
        (cut_games, "run/evaluation.parquet is not a dataset: "),
    ],
)
def test_a_damaged_run_is_refused_by_name(
    run: Path, damage: Callable[[Path], None], complaint: str, capsys: pytest.CaptureFixture[str]
):
    damage(run)
    code, said = compared(run, capsys)
    assert code == 2
    assert complaint.format(run=run) in said
    assert len(said.splitlines()) == 1


def test_a_cut_log_is_read_to_its_last_whole_line_and_the_loss_is_told(run, capsys):
    step = json.dumps({"kind": "step", "gradient_steps": 20}) + "\n"
    whole = json.dumps(RESULT) + "\n"
    (run / "log.jsonl").write_text(step + whole[:-30])
    code, said = compared(run, capsys)
    assert code == 2  # nothing is left to compare
    assert f"{run}: the log is cut, {len(whole) - 30} bytes after its last whole line are lost" in said
    assert f"{run}: no result, left out" in said


@pytest.fixture
def runs(run: Path) -> Path:
    """A folder with a finished run and one without a result."""
    step = json.dumps({"kind": "step", "gradient_steps": 20}) + "\n"
    (run / "log.jsonl").write_text(step + json.dumps(RESULT) + "\n")
    folder = run.with_name("runs")
    folder.mkdir()
    run.rename(folder / "bc-0")
    cut = folder / "bc-1"
    cut.mkdir()
    (cut / "run.json").write_text(json.dumps({**ASKED, "config": {"seed": 1}}))
    (cut / "log.jsonl").write_text(step + "{")
    return folder


def test_kept_runs_are_what_they_were(runs, tmp_path, capsys):
    file = tmp_path / "kept.parquet"
    assert cli.main(["compare", str(runs), "--keep", str(file)]) == 0
    table = capsys.readouterr().out
    assert cli.main(["compare", str(file)]) == 0
    assert capsys.readouterr().out == table
    found, kept = find_runs([runs]), find_runs([file])
    (run,), (other,) = found.runs, kept.runs
    assert other.folder == file / "bc-0"
    assert replace(other, folder=run.folder) == run
    (left,), (right,) = found.unfinished, kept.unfinished
    assert replace(right, folder=left.folder) == left


def test_the_summary_has_a_row_an_agent(runs):
    assert results.summary([runs]).splitlines()[2:] == [
        "| toys/GuessNumber-v0 | bc | single run | 1 | -1.00 [nan, nan] | - | - | - |"
    ]


def test_a_file_of_runs_grows_and_a_run_takes_the_place_of_its_elder(runs, tmp_path):
    file = tmp_path / "kept.parquet"
    assert keep_runs([runs], file) == 2
    for name in ("bc-0", "bc-1"):
        (runs / name / "run.json").write_text((runs / name / "run.json").read_text().replace('"b"', '"c"'))
    assert keep_runs([runs / "bc-0"], file) == 2
    assert [json.loads(record.run)["base"]["sha256"] for record in records_in(file)] == ["c", "b"]
    shutil.copytree(runs / "bc-0", runs / "twin")
    before = file.read_bytes()
    with pytest.raises(ValueError, match=r"bc-0 and .*twin are both runs of toys/GuessNumber-v0, bc, seed 0"):
        keep_runs([runs], file)
    assert file.read_bytes() == before


def test_a_file_that_is_none_of_runs_is_refused(tmp_path, run, capsys):
    file = tmp_path / "kept.parquet"
    file.write_text("no runs")
    assert cli.main(["compare", str(file)]) == 2
    assert f"{file} is no file of runs: " in capsys.readouterr().err
    assert cli.main(["compare", str(run), "--keep", str(file)]) == 2
    assert file.read_text() == "no runs"
    assert cli.main(["compare", str(run), "--keep", str(tmp_path / "kept.csv")]) == 2
    assert "--keep wants a .parquet file" in capsys.readouterr().err
    assert cli.main(["compare", str(run), "--keep", str(tmp_path / "none" / "kept.parquet")]) == 2
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv",
    [
        ["compare", "{run}"],
        ["audit-critic", "{run}"],
        ["ope", "random", "--data", "maze/random-v0"],
    ],
)
def test_a_file_that_cannot_be_written_is_refused_before_any_work(run, argv, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Dataset, "load", lambda name: pytest.fail("work was begun"))
    wanted = [word.format(run=run) for word in argv]
    assert cli.main([*wanted, "--json", str(tmp_path / "none" / "x.json")]) == 2
    assert f"there is no folder {tmp_path / 'none'}" in capsys.readouterr().err
    assert cli.main([*wanted, "--json", str(tmp_path)]) == 2
    assert f"{tmp_path} is a folder, not a file to write to" in capsys.readouterr().err


def test_a_sweep_into_a_file_is_refused_before_any_work(tmp_path, capsys):
    file = tmp_path / "file"
    file.write_text("")
    argv = ["sweep", "--envs", "lmrlgym/Maze-v0", "--algorithms", "bc", "--out", str(file)]
    assert cli.main(argv) == 2
    assert f"--out wants a folder, {file} is a file" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["audit-critic"], ["ope", "--data", "maze/random-v0"]])
def test_a_folder_whose_record_is_none_of_a_training_is_refused(argv, tmp_path, capsys):
    (tmp_path / "run.json").write_text("{}")
    assert cli.main([argv[0], str(tmp_path), *argv[1:]]) == 2
    said = f"{tmp_path} is not the folder of a training run: run.json lacks 'training'"
    assert said in capsys.readouterr().err
