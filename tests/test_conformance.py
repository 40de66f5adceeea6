"""Every conformance case of the 2023 release is asserted, or has a reason why not."""

from __future__ import annotations

from importlib import import_module

import pytest

from tests.conformance.manifest import MODES, NOT_BUILT, ROOMS, built_rooms, cases, manifest

CASES, MANIFEST = cases(), manifest()
BUILT = sorted(name for name, entry in MANIFEST.items() if entry.check is not None)


@pytest.mark.parametrize("name", BUILT)
def test_case(name: str) -> None:
    check = MANIFEST[name].check
    assert check is not None
    check(CASES[name])


def test_the_manifest_names_every_case_once_and_no_other() -> None:
    assert sorted(MANIFEST) == sorted(CASES)


def test_no_case_is_both_asserted_and_excused() -> None:
    for room in built_rooms():
        module = import_module(f"tests.conformance.{room}")
        assert not set(module.HANDLERS) & set(module.NOT_BUILT)


def test_every_entry_has_a_mode_or_a_reason() -> None:
    for name, entry in MANIFEST.items():
        assert entry.mode in (*MODES, NOT_BUILT), name
        assert (entry.check is None) == bool(entry.reason), name


def test_most_cases_of_every_room_are_asserted() -> None:
    for room in built_rooms():
        ours = [name for name in CASES if name.startswith(f"{room}-")]
        assert ours
        assert 2 * sum(name in BUILT for name in ours) > len(ours), room
    assert set(built_rooms()) <= set(ROOMS)
