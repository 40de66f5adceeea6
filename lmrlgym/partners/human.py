"""A person at the terminal as the partner: `partner="human"`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lmrlgym.env import Query
from lmrlgym.partners.roles import Role
from lmrlgym.person import Person


class HumanPartner:
    """Shows a person what its role knows and was asked, and reads one line.

    An end of input ends the game as a failed partner's.
    """

    def __init__(
        self,
        role: Role,
        read: Callable[[str], str] | None = None,
        write: Callable[[str], object] | None = None,
    ) -> None:
        self._role = role
        self._person = Person(read, write)

    def reply(self, queries: Sequence[Query]) -> list[str]:
        return [
            self._person.asked(self._role.briefing(query), number, len(queries))
            for number, query in enumerate(queries)
        ]
