"""A report of runs: one HTML page that needs nothing else, with tables, figures and transcripts.

All that agents, partners and users wrote is escaped, or handed to the page as JSON that its script puts
in as text. The page's policy (CSP) allows its one script, by its sha256, and nothing from elsewhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import gymnasium
import numpy as np

from lmrlgym.analysis.compare import Comparison, Row, compare, grouped
from lmrlgym.analysis.figures import Figure, all_figures
from lmrlgym.analysis.runs import EVALUATION, Found, Run
from lmrlgym.analysis.statistics import Interval
from lmrlgym.dataset import Dataset
from lmrlgym.references import Scoring, normalise, reference, why_no_score
from lmrlgym.types import Trajectory

Values = Callable[[Path, Sequence[Trajectory]], Sequence[Sequence[Sequence[tuple[str, Any, Any]]]]]
"""(run folder, games) -> for each game, for each of the agent's turns, (token, Q, V); no turns: no critic."""
_FOLDER = Path(__file__).parent
_NONE = "–"


@dataclass(frozen=True)
class Report:
    """The page and its pictures."""

    html: str
    figures: tuple[Figure, ...]

    def save(self, path: Path) -> list[Path]:
        """Write the page to `path` and the pictures beside it; returns all paths, the page first."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(self.html.encode("utf-8", "replace"))
        pictures: list[Path] = []
        for figure in self.figures:
            picture = path.with_name(f"{path.stem}-{figure.name}.png")
            if picture in pictures:
                picture = path.with_name(f"{path.stem}-{figure.name}-{len(pictures)}.png")
            picture.write_bytes(figure.png)
            pictures.append(picture)
        return [path, *pictures]


def report(found: Found, *, games: int = 12, values: Values | None = None) -> Report:
    """The report of what was found; `games` transcripts a run, spread over its evaluation.

    `values` says what the critic of a run thinks of games. Raises `ValueError` as `compare` does, and
    for a negative number of games.
    """
    if games < 0:
        raise ValueError(f"games must be at least 0, got {games}")
    result = compare(found.runs) if found.runs else None
    named = grouped(found.runs)
    figures = tuple(all_figures(named, found.unfinished))
    shown: list[dict[str, Any]] = []
    notes = list(found.notes)
    for environment, setups in named.items():
        for setup, runs in setups.items():
            for run in runs.values():
                shown += _transcripts(environment, setup, run, games, values, notes)
    sections = [_runs(found, notes)]
    if result is not None:
        some = {name: next(iter(next(iter(setups.values())).values())) for name, setups in named.items()}
        sections[:0] = [_scores(result, some), _verdicts(result)]
    sections += [_pictures(figures, "curves-", "Learning curves", "curves")]
    sections += [_pictures(figures, "profiles", "Performance profiles", "profiles")]
    if result is not None:
        sections.append(_costs(result))
    sections += [_pictures(figures, "costs-", "Return against costs", "costs"), _browser(shown, games)]
    return Report(_page(sections, shown), figures)


# ---- sections ----


def _scores(result: Comparison, some: Mapping[str, Run]) -> str:
    head = ["environment", "agent", "seeds", "games", "mean return", "IQM", "optimal", "lmrl2023"]
    rows = [_score_row(row, some[row.environment]) for row in result.rows]
    anchors = [_anchor_row(name, run) for name, run in some.items()]
    above = ["environment", "random play", "data", "best", "paper: 0", "paper: 50", "paper: 100"]
    parts = [
        "<p>Means over training seeds, with 95 % bootstrap intervals over seeds in brackets (none for a "
        "single run). <b>optimal</b>: 0 is random play, 100 the best, whose kind is named. "
        "<b>lmrl2023</b>: the two slopes of arXiv 2311.18232.</p>",
        _table(head, rows, "scores"),
        "<h3>What the scores are made of</h3><p>Mean returns of a game. The last three are the paper's "
        "numbers that lmrl2023 maps to 0, 50 and 100.</p>",
        _table(above, anchors, "anchors"),
    ]
    if result.overall:
        over_all = [[setup, _spelt(one)] for setup, one in result.overall.items()]
        parts += ["<h3>All environments</h3>", _table(["agent", "IQM of optimal"], over_all, "overall")]
    return _section("Scores", "scores-section", *parts)


def _score_row(row: Row, run: Run) -> list[str]:
    seeds = "single run" if row.single_run else str(len(row.seeds))
    optimal = _scaled(row.mean, run, "optimal")
    return [
        row.environment, row.setup, seeds, str(row.games), _spelt(row.mean), _spelt(row.iqm),
        optimal if optimal == _NONE else f"{optimal} ({row.kind})", _scaled(row.mean, run, "lmrl2023"),
    ]  # fmt: skip


def _scaled(mean: Interval, run: Run, scoring: Scoring) -> str:
    """The interval on the scale of a scoring, each end by itself."""
    try:
        why = why_no_score(run.env_id, scoring, **run.env_kwargs)
    except gymnasium.error.Error as error:  # a game of another package need not be registered here
        why = str(error)
    if why:
        return _NONE
    ends = [normalise(run.env_id, end, scoring, **run.env_kwargs) for end in mean]
    return _spelt(Interval(*ends), 1)


def _anchor_row(environment: str, run: Run) -> list[str]:
    try:
        known = reference(run.env_id, **run.env_kwargs)
    except (ValueError, gymnasium.error.Error) as error:
        return [environment, *[_NONE] * 5, str(error)]
    numbers = [known.random, known.data_mean]
    paper: Sequence[str] = [_NONE, _NONE, known.lmrl2023_reason or _NONE]
    if known.lmrl2023 is not None:
        paper = [_number(value) for value in known.lmrl2023]
    return [environment, *map(_number, numbers), f"{_number(known.best)} ({known.kind})", *paper]


def _verdicts(result: Comparison) -> str:
    if not result.verdicts:
        return _section("Comparisons", "comparisons", "<p>There is one agent an environment.</p>")
    head = [
        "environment",
        "A − B",
        "paired seeds",
        "difference",
        "P(A > B)",
        "p",
        "Holm",
        "detectable",
        "verdict",
    ]
    rows = [
        [
            one.environment, f"{one.a} − {one.b}", str(len(one.seeds)), _spelt(one.difference),
            _spelt(one.improvement), f"{one.p_value:.4f}", f"{one.adjusted:.4f}",
            f"{one.detectable:.2f}" if math.isfinite(one.detectable) else "none", one.reason,
        ]
        for one in result.verdicts
    ]  # fmt: skip
    return _section(
        "Comparisons",
        "comparisons",
        "<p>Differences of mean returns, paired by training seed and game. p: two-sided sign-flip "
        "permutation test over seeds; Holm: corrected for the environments of the pair; detectable: the "
        "true gap that these seeds find with probability .8.</p>",
        _table(head, rows, "verdicts"),
    )


def _costs(result: Comparison) -> str:
    names = list(result.rows[0].costs)
    head = ["environment", "agent", *names, "trained tokens to 90"]
    rows = [
        [row.environment, row.setup, *(_count(row.costs[name]) for name in names), _count(row.tokens_to_90)]
        for row in result.rows
    ]
    return _section(
        "Costs",
        "costs-section",
        "<p>Means over seeds of what training used. The games of validations and of the evaluation and the "
        "policy that a run starts from are not counted, but validations take some of the seconds. Prompt, "
        "agent and partner tokens are those of games played in learning (none offline); trained tokens are "
        "those that gradient steps read, padding left out. <b>trained tokens to 90</b>: until a validation "
        "scored 90 % of optimal; – where a seed never did or the log does not tell.</p>",
        _table(head, rows, "costs"),
    )


def _runs(found: Found, notes: Sequence[str]) -> str:
    head = [
        "run",
        "environment",
        "agent",
        "seed",
        "state",
        "gradient steps",
        "mean return",
        "commit",
        "machine",
    ]
    rows = [
        [
            str(run.folder), run.environment, run.label, str(run.seed), "finished",
            _count(run.result.get("gradient_steps")), _number(run.mean), str(run.result.get("commit", _NONE)),
            str(run.result.get("machine", _NONE)),
        ]
        for run in found.runs
    ]  # fmt: skip
    rows += [
        [
            str(left.folder), left.environment or _NONE, left.label or _NONE,
            _NONE if left.seed is None else str(left.seed), f"no result: {left.why}",
            _count(left.log[-1].get("gradient_steps") if left.log else 0), _NONE, _NONE, _NONE,
        ]
        for left in found.unfinished
    ]  # fmt: skip
    told = "".join(f"<li>{escape(note)}</li>" for note in notes)
    return _section(
        "Runs",
        "runs-section",
        f"<p>{len(found.runs)} finished, {len(found.unfinished)} without a result: those are in no table "
        "above, their curves are dotted.</p>",
        f"<ul class=notes id=notes>{told}</ul>" if told else "",
        _table(head, rows, "runs"),
    )


def _pictures(figures: Sequence[Figure], prefix: str, title: str, name: str) -> str:
    parts = [
        f'<figure><img class={name} alt="{escape(one.caption)}" '
        f'src="data:image/png;base64,{base64.b64encode(one.png).decode()}">'
        f"<figcaption>{escape(one.caption)}</figcaption></figure>"
        for one in figures
        if one.name.startswith(prefix)
    ]
    nothing = "<p>Nothing to show: no environment in which all agents have runs has references.</p>"
    return _section(title, f"{name}-figures", *(parts or [nothing]))


def _browser(shown: Sequence[Mapping[str, Any]], games: int) -> str:
    critics = any("tokens" in turn for game in shown for turn in game["turns"])
    told = (
        "Tokens are coloured by what the run's critic says of them; point at one for the numbers."
        if critics
        else "Without --values, or where no agent has a critic, tokens are not coloured."
    )
    return _section(
        "Transcripts",
        "transcripts",
        f"<p>At most {games} games a run, spread evenly over its final evaluation. {told}</p>",
        '<noscript><p class="notes">The browser of transcripts needs JavaScript.</p></noscript>',
        '<div class="filters"><input id="search" type="search" placeholder="search what was said" '
        'aria-label="search what was said"><select id="environment" aria-label="environment"></select>'
        '<select id="agent" aria-label="agent"></select><select id="order" aria-label="order">'
        '<option value="">as played</option><option value="low">lowest return first</option>'
        '<option value="high">highest return first</option></select>'
        '<select id="heat" aria-label="colour of tokens"></select><span id="count"></span></div>'
        '<div class="browser"><ol id="list"></ol><div id="game"></div></div>',
    )


# ---- transcripts ----


def _transcripts(
    environment: str, setup: str, run: Run, games: int, values: Values | None, notes: list[str]
) -> list[dict[str, Any]]:
    transcripts = run.folder / EVALUATION  # a file of runs holds none
    played = Dataset.load(transcripts) if games and transcripts.is_file() else ()
    at = sorted({int(i) for i in np.linspace(0, len(played) - 1, min(games, len(played))).round()})
    chosen = [played[i] for i in at]
    said: Sequence[Sequence[Sequence[tuple[str, Any, Any]]]] = [[] for _ in chosen]
    if values is not None and chosen:
        try:
            said = values(run.folder, chosen)
        except (ValueError, OSError) as error:
            notes.append(f"{run.folder}: no values, {error}")
    return [
        {
            "environment": environment, "agent": setup, "run": run.seed, "seed": game.seed,
            "task": str(game.options.get("task", "")), "return": game.total_reward,
            "end": str(game.info.get("stop_reason") or ("ended" if game.terminated else "cut")),
            "success": bool(game.info.get("success")), "turns": _turns(game, tokens),
        }
        for game, tokens in zip(chosen, said, strict=True)
    ]  # fmt: skip


def _turns(game: Trajectory, tokens: Sequence[Sequence[tuple[str, Any, Any]]]) -> list[dict[str, Any]]:
    turns: list[dict[str, Any]] = []
    rest = iter(tokens)
    for turn in game.turns:
        record: dict[str, Any] = {"text": turn.text}
        if turn.is_action:
            record |= {"acts": True, "reward": turn.reward}
            if said := next(rest, ()):
                record["tokens"] = [[text, _rounded(q), _rounded(v)] for text, q, v in said]
        turns.append(record)
    return turns


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else round(value, 4)


# ---- HTML ----


def _page(sections: Sequence[str], shown: Sequence[Mapping[str, Any]]) -> str:
    script = (_FOLDER / "report.js").read_text(encoding="utf-8")
    style = (_FOLDER / "report.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<link rel="icon" href="data:,"><title>lmrlgym report</title><style>{style}</style></head>\n<body>'
        f"<h1>lmrlgym report</h1>\n{''.join(sections)}\n"
        f'<script type="application/json" id="games">{_json(shown)}</script>\n'
        f"<script>{script}</script></body></html>\n"
    )


def _json(value: Any) -> str:
    """JSON without a letter that HTML or JavaScript would read otherwise."""
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _section(title: str, name: str, *parts: str) -> str:
    return f'<section id="{name}"><h2>{title}</h2>{"".join(parts)}</section>\n'


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], name: str) -> str:
    names = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    inside = f"<thead><tr>{names}</tr></thead><tbody>{body}</tbody>"
    return f'<div class="wide"><table id="{name}">{inside}</table></div>'


def _spelt(found: Interval, digits: int = 2) -> str:
    ends = "" if math.isnan(found.low) else f" [{found.low:.{digits}f}, {found.high:.{digits}f}]"
    return _NONE if math.isnan(found.value) else f"{found.value:.{digits}f}{ends}"


def _number(value: float | None) -> str:
    return _NONE if value is None else f"{value:.2f}"


def _count(value: float | None) -> str:
    return _NONE if value is None else f"{value:,.0f}"
