"""Small games and partners that tests play with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from lmrlgym import Action, History, Partner, PartnerEnv, Query, Reply, Response, TextEnv, vectorise


class GuessNumber(TextEnv):
    """A hidden number from 0 to 4; every wrong guess costs 1 and is answered higher or lower."""

    tasks = 5
    own_options = ("number",)
    instructions = "Guess a number from 0 to 4."

    def __init__(self, *, limit: int = 3, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.limit = limit

    def _start(self, options: Mapping[str, Any]) -> str:
        self.task = options["number"] if "number" in options else self._drawn_task(options)
        return "Guess.\n"

    def _respond(self, action: str) -> Response:
        guess = action.strip()
        is_last = self._turn + 1 == self.limit
        end = "turn_limit" if is_last else ""
        if guess not in set("01234"):
            return Response("What?\n", -2.0, is_last, action_is_valid=False, stop_reason=end)
        if int(guess) == self.task:
            return Response("Yes!\n", 1.0, True, success=True, stop_reason="won")
        return Response("Higher.\n" if int(guess) < self.task else "Lower.\n", -1.0, is_last, stop_reason=end)

    def _secret(self) -> int:
        return self.task

    def candidates(self) -> tuple[str, ...]:
        return tuple(f"{number}\n" for number in range(5))


guess_number_vector = vectorise(GuessNumber)


class Hidden(NamedTuple):
    number: int


class AskNumber(PartnerEnv):
    """A partner knows the hidden number and answers what it likes. Nothing said: it is not asked."""

    tasks = 5
    instructions = "Ask about a number."

    def __init__(self, *, partner: Partner | None = None, limit: int = 3, **kwargs: Any) -> None:
        super().__init__(partner=partner or Dice(), **kwargs)
        self.limit = limit

    def _start(self, options: Mapping[str, Any]) -> str:
        self.task = self._drawn_task(options)
        return "Ask.\n"

    def _ask(self, action: str) -> Query | Response:
        if not action.strip():
            return self._answer("Say something.", is_valid=False)
        return Query(self.history, Hidden(self.task), self.np_random)

    def _heard(self, reply: Reply) -> Response:
        return self._answer(reply.text, is_valid=True)

    def _answer(self, text: str, is_valid: bool) -> Response:
        is_last = self._turn + 1 >= self.limit
        return Response(text + "\n", -1.0, is_last, False, False, is_valid, "turn_limit" if is_last else "")


ask_number_vector = vectorise(AskNumber)


class Dice:
    """Says the hidden number and a random one; remembers how many queries came in each call."""

    def __init__(self) -> None:
        self.calls: list[int] = []

    def reply(self, queries: Sequence[Query]) -> list[str | Reply]:
        self.calls.append(len(queries))
        return [Reply(f"{q.state.number} {q.rng.integers(1_000_000)}", 3, 2) for q in queries]


class FailsOn(Dice):
    """As Dice, but fails in `how` way whenever it is asked about `number`."""

    def __init__(self, number: int, how: str) -> None:
        super().__init__()
        self.number = number
        self.how = how

    def reply(self, queries: Sequence[Query]) -> list[str | Reply]:
        said = super().reply(queries)
        if all(q.state.number != self.number for q in queries):
            return said
        if self.how == "raises":
            raise RuntimeError("no connection")
        if self.how == "says too little":
            return said[1:]
        bad: Any = {"says nothing": None, "gives up": Reply("", error="too long")}[self.how]
        return [bad if q.state.number == self.number else s for q, s in zip(queries, said, strict=True)]


class Says:
    """A policy that goes through `texts` in order in every game, then repeats the last."""

    def __init__(self, *texts: str | Action) -> None:
        self.texts = texts
        self.widths: list[int] = []

    def act(self, histories: Sequence[History], rngs: Sequence[Any]) -> list[str | Action]:
        self.widths.append(sum(bool(history) for history in histories))
        return [
            self.texts[min(len(history) // 2, len(self.texts) - 1)] if history else ""
            for history in histories
        ]
