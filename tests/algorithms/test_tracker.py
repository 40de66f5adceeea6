"""A tracker of the user: what it gets, and what is refused."""

from __future__ import annotations

import importlib
import json
from pathlib import Path

import pytest

from baselines.bc import BC
from baselines.core.run import Training, train
from baselines.core.runlog import find_tracker
from baselines.testing import small_config
from lmrlgym import Dataset


def test_a_tracker_gets_every_record_of_the_log(
    base_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own_tracker.py").write_text("heard = []\ndef listen(*given): heard.append(given)\n")
    monkeypatch.syspath_prepend(tmp_path)
    data = Dataset.load("maze/mixed-v0")[:6].save(tmp_path / "some.jsonl")
    asked = Training(
        "lmrlgym/Maze-v0", tmp_path / "run", {"max_moves": 2}, str(data), str(base_folder), device="cpu",
        repeats=1, episodes=2, tracker="own_tracker:listen",
    )  # fmt: skip
    train("bc", asked, small_config(BC))
    heard = importlib.import_module("own_tracker").heard
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert [record for _, record in heard] == [json.loads(line) for line in lines]
    assert [record["kind"] for _, record in heard] == ["step", "step", "result"]
    assert {folder for folder, _ in heard} == {tmp_path / "run"}


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("no_colon", "a tracker is package.module:function, got 'no_colon'"),
        ("no_such_package:listen", "no tracker 'no_such_package:listen'"),
        ("math:pi", "holds no function 'pi'"),
    ],
)
def test_what_is_no_tracker_is_refused(path: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        find_tracker(path)


def test_without_a_path_there_is_none() -> None:
    assert find_tracker("") is None
