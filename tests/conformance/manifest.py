"""Which conformance case is asserted how: one module a room, put together here.

`cases.json` holds inputs and outputs of the code released with arXiv 2311.18232, computed by running
it. A room's module maps a case's id to a mode and an assertion, or to the reason why there is none:

- clean: our rules agree with the case (or, for a quirk, are seen to differ as they should);
- compat: the rules under `compat=True` agree;
- helper: a function beside the environment agrees;
- not built: nothing of ours answers to it.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

Case = dict[str, Any]
ROOMS = (
    "core",
    "maze",
    "text_nav",
    "wordle",
    "chess",
    "endgames",
    "guess_city",
    "twenty_questions",
    "car_dealer",
    "loaders",
    "algo",
)
MODES = ("clean", "compat", "helper")
NOT_BUILT = "not built"


class Entry(NamedTuple):
    """`check` raises AssertionError if the case does not hold; None if it is not built, for `reason`."""

    mode: str
    check: Callable[[Case], None] | None
    reason: str = ""


def built_rooms() -> list[str]:
    """The rooms that have a module."""
    return [room for room in ROOMS if find_spec(f"tests.conformance.{room}") is not None]


def cases() -> dict[str, Case]:
    """Id -> case, of the rooms that have a module."""
    listed = json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))["cases"]
    return {case["id"]: case for case in listed if room_of(case["id"]) in built_rooms()}


def manifest() -> dict[str, Entry]:
    """Id -> how it is asserted."""
    found: dict[str, Entry] = {}
    for room in built_rooms():
        module = import_module(f"tests.conformance.{room}")
        found |= {name: Entry(mode, check) for name, (mode, check) in module.HANDLERS.items()}
        found |= {name: Entry(NOT_BUILT, None, reason) for name, reason in module.NOT_BUILT.items()}
    return found


def room_of(case_id: str) -> str:
    return case_id.rsplit("-", 1)[0]
