"""The objects of Twenty Questions and the table of what is true of them.

A set of objects is a whole number, a "mask": bit i is object number i of the paper's list.
"""

from __future__ import annotations

import csv
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

from lmrlgym.resources import data_path


@dataclass(frozen=True)
class Thing:
    """One hidden object; its first variant is its name. `also_called` mean it, or some of its kind."""

    variants: tuple[str, ...]
    also_called: tuple[str, ...]
    category: str
    length_cm: float
    volume_l: float
    weight_kg: float
    price_usd: float

    @property
    def name(self) -> str:
        """The first variant."""
        return self.variants[0]


class Fact(NamedTuple):
    """Of which objects an attribute is true (`yes`), and of which it may be (`either`): disjoint masks."""

    yes: int
    either: int
    source: str


def split_cell(cell: str) -> tuple[str, ...]:
    """The parts of a cell of our tables, which are separated by semicolons."""
    return tuple(part for part in (part.strip() for part in cell.split(";")) if part)


def rows_of(file: str) -> list[dict[str, str]]:
    """The rows of a table in envs_data/twenty_questions."""
    with data_path("twenty_questions", file).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@cache
def things() -> tuple[Thing, ...]:
    """The 158 objects of arXiv 2311.18232, in its order."""
    return tuple(
        Thing(
            split_cell(row["variants"]),
            split_cell(row["also_called"]),
            row["category"],
            *(float(row[column]) for column in ("length_cm", "volume_l", "weight_kg", "price_usd")),
        )
        for row in rows_of("objects.csv")
    )


@cache
def groups() -> dict[str, int]:
    """Mask of every object by its name, and of `all Animals`, ..., `all objects`."""
    found = {"all objects": (1 << len(things())) - 1}
    for number, thing in enumerate(things()):
        found[thing.name] = 1 << number
        found[f"all {thing.category}"] = found.get(f"all {thing.category}", 0) | 1 << number
    return found


def mask_of(cell: str) -> int:
    """The objects of a cell, read from left to right: `all Animals; not Cat; Tree`.

    Raises `ValueError` for a name that is neither an object's nor a category's.
    """
    mask = 0
    for part in split_cell(cell):
        name = part.removeprefix("not ")
        if name not in groups():
            raise ValueError(f'expected objects, "all CATEGORY" or "not ..." in {cell!r}, got {part!r}')
        mask = mask & ~groups()[name] if part != name else mask | groups()[name]
    return mask


@cache
def facts() -> dict[str, Fact]:
    """Attribute -> the objects it is true of: `knowledge.csv`."""
    found = {}
    for row in rows_of("knowledge.csv"):
        yes = mask_of(row["yes"])
        found[row["attribute"]] = Fact(yes, mask_of(row["either"]) & ~yes, row["source"])
    return found


@cache
def asked() -> dict[str, tuple[str, ...]]:
    """Attribute -> wordings in which scripted players ask for it: `asked.csv`."""
    return {row["attribute"]: split_cell(row["questions"]) for row in rows_of("asked.csv")}
