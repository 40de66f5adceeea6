"""Exact or best known values: `value(history)`, `q(history) -> {action: value}`, `best(history)`."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from lmrlgym.types import History


@runtime_checkable
class KnowsRegret(Protocol):
    """A solver whose regrets `lmrlgym eval` reports: what an action loses, in the solver's own unit."""

    regret_unit: str

    def regret(self, history: History, action: str) -> float:
        """0 for a best action; `action` may be anything that was said."""
        ...
