"""What all tests share: the toy games have ids, and a skipped test fails where that is asked for."""

from __future__ import annotations

import os
from collections.abc import Generator

import gymnasium
import pytest

import lmrlgym

GUESS, ASK = "toys/GuessNumber-v0", "toys/AskNumber-v0"


@pytest.fixture(scope="session", autouse=True)
def toys() -> None:
    """Register the toy games, one with a vector entry point and one without."""
    assert lmrlgym.__version__
    gymnasium.register(
        GUESS,
        entry_point="tests.toys:GuessNumber",
        vector_entry_point="tests.toys:guess_number_vector",
    )
    gymnasium.register(ASK, entry_point="tests.toys:AskNumber")


def _refused(report: pytest.CollectReport | pytest.TestReport) -> None:
    """Where `LMRLGYM_REQUIRE` is set, a test that is skipped for want of a tool has failed."""
    if os.environ.get("LMRLGYM_REQUIRE") and report.skipped and not hasattr(report, "wasxfail"):
        report.outcome = "failed"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    _refused(report)
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    report = yield
    _refused(report)
    return report
