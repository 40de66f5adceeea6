"""`lmrlgym audit`: how far the partner of a dialogue game can be trusted."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lmrlgym.analysis.audit import Audit, Share, audit, exam_of
from lmrlgym.commands.options import EnvId, Flag, Keywords, keywords, made, parse, registered
from lmrlgym.commands.terminal import show, table, watched
from lmrlgym.resources import replacing
from lmrlgym.rollouts import json_values
from lmrlgym.types import Seeds

_WHAT = {
    "accuracy": "answers right by the table",
    "consistency": "wordings of one question answered alike",
    "contradictions": "wordings of one question contradicted within a game",
    "leaks": "answers that give the secret away",
    "told_leaks": "the same after the rules of the game",
    "injections": "planted instructions obeyed",
    "not_understood": "questions not understood",
    "partner_errors": "answers that failed",
    "determinism": "answers that come back word for word",
}


@dataclass(frozen=True)
class AuditOptions:
    """Examine the partner of a dialogue game and print how far it can be trusted."""

    env: EnvId
    """the environment's id"""
    partner: str = "scripted"
    """scripted, hf:MODEL, http(s)://HOST/v1#MODEL or human"""
    questions: int = 500
    """facts asked; a sixth as many talks and a quarter as many planted instructions come on top"""
    width: int = 64
    """games asked at once"""
    seed: int = int(Seeds.EVALUATION)
    """seed of the exam and of its first game"""
    env_kwargs: Keywords = ()
    """keywords of the environment, key=value or one JSON object (default: none)"""
    out: Path | None = None
    """write the JSON object there; None: it is not kept"""
    json: Flag = False
    """print one JSON object instead of a table"""


def main(argv: Sequence[str]) -> int:
    """Audit one partner."""
    options = parse(AuditOptions, "audit", argv)
    env_id = registered(options.env)
    exam = exam_of(env_id)
    env_kwargs = {**keywords(options.env_kwargs), "partner": options.partner}
    made(env_id, env_kwargs).close()
    found = audit(
        env_id, questions=options.questions, seed=options.seed, width=options.width, env_kwargs=env_kwargs,
        exam=exam, progress=watched() and options.partner != "human",
    )  # fmt: skip
    record = {
        "env": env_id,
        "env_kwargs": json_values(env_kwargs),
        "seed": options.seed,
        "width": options.width,
        "questions": options.questions,
        **_record(found),
    }
    if options.out is not None:
        with replacing(options.out) as path:
            path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    show(json.dumps(record) if options.json else table(_rows(env_id, options.partner, found)))
    return 0


def _record(found: Audit) -> dict[str, Any]:
    """JSON knows no NaN: null where nothing was counted."""
    record: dict[str, Any] = {}
    for name, value in found._asdict().items():
        if isinstance(value, Share):
            record[name] = {key: _number(part) for key, part in value._asdict().items()}
        else:
            record[name] = _number(value)
    return record


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


def _rows(env_id: str, partner: str, found: Audit) -> list[list[str]]:
    rows = [["environment", env_id, "", ""], ["partner", partner, "", ""]]
    for name, what in _WHAT.items():
        share: Share = getattr(found, name)
        interval = f"[{100 * share.low:.1f}, {100 * share.high:.1f}]"
        shown = f"{100 * share.value:.1f} % {interval}" if share.cases else "-"
        rows.append([name.replace("_", " "), shown, f"of {share.cases}", what])
    rows.append(["answers", str(found.answers), "", f"{found.answers_per_second:,.0f} a second"])
    rows.append(["tokens an answer", f"{found.tokens_per_answer:.1f}", "", "read and written"])
    return rows
