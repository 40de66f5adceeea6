"""`lmrlgym.__all__` is what the package exports, and holds the names that the design promises."""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import pytest

import lmrlgym

PROMISED = {
    "Action", "Turn", "History", "Trajectory", "Response", "Query", "Reply", "visible", "TextEnv",
    "PartnerEnv", "Partner", "Policy", "rollout", "summarise", "Summary", "replay", "normalise", "Dataset",
    "collect", "check_env", "Transcript", "to_messages", "TextSpace", "TextVectorEnv", "vectorise",
}  # fmt: skip
"""Section 3 of the architecture."""


def imported_names() -> set[str]:
    tree = ast.parse(Path(lmrlgym.__file__).read_text("utf-8"))
    return {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


def test_all_is_exactly_what_the_package_imports_for_its_users():
    # `register_all` is called and not offered.
    assert set(lmrlgym.__all__) == imported_names() - {"register_all"}


def test_all_is_sorted_and_names_nothing_twice():
    assert list(lmrlgym.__all__) == sorted(set(lmrlgym.__all__))


def test_the_promised_names_are_there():
    assert PROMISED - set(lmrlgym.__all__) == set()


@pytest.mark.parametrize("name", sorted(set(lmrlgym.__all__) - {"History"}))
def test_a_public_name_says_what_it_is(name: str):
    member = vars(lmrlgym)[name]
    assert inspect.getdoc(member)
    assert member.__module__.startswith("lmrlgym.")
    # A class without a docstring of its own shows its base's, a NamedTuple its fields.
    assert not (member.__doc__ or "").startswith(f"{name}(")


def test_a_star_import_brings_the_public_names():
    names: dict[str, object] = {}
    exec("from lmrlgym import *", names)
    assert set(names) - {"__builtins__"} == set(lmrlgym.__all__)
