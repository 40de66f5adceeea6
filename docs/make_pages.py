"""Makes the pages of environments and algorithms from their docstrings: `python -m docs.make_pages`.

A game's file is one page, `docs/envs/<key>.md`: its module docstring, the class docstring of every
id in it, its reference values and its shipped datasets. An algorithm's file is one page,
`docs/algorithms/<name>.md`: its module docstring, every option with its default and help, and the
line about expected results from `docs/algorithms/expected.json`. Both are found, not listed. `docs/scores.md`
sets the paper's scores beside those that follow from its returns.
"""

from __future__ import annotations

import ast
import dataclasses
import inspect
import json
from collections import defaultdict
from importlib import import_module
from pathlib import Path
from typing import Any

import gymnasium

import lmrlgym
from baselines.core.algorithm import Algorithm, AlgorithmConfig
from baselines.core.registry import algorithm_names, find_algorithm
from lmrlgym.analysis.published import AGENTS, TASKS, Cell, cells
from lmrlgym.references import Reference, key_of, references
from lmrlgym.resources import data_folder, replacing

DOCS = Path(__file__).resolve().parent
MADE_FROM = "<!-- Made by `make docs` from {source}: edit that, not this page. -->\n"


def pages() -> dict[Path, str]:
    """Every made page and what it holds."""
    return {**env_pages(), **algorithm_pages(), DOCS / "scores.md": scores_page()}


# ---- environments ----


def env_pages() -> dict[Path, str]:
    """A page a game file, and their index."""
    found: dict[str, list[str]] = defaultdict(list)
    for env_id in sorted(gymnasium.registry):
        if env_id.startswith(f"{lmrlgym.__name__}/") and (key := key_of(env_id)):
            found[key].append(env_id)
    made = {DOCS / "envs" / f"{key}.md": _env_page(key, ids) for key, ids in found.items()}
    rows = [
        [f"[`{env_id}`]({key}.md)", _summary(_env_class(env_id))]
        for key, ids in found.items()
        for env_id in ids
    ]
    index = _page("the environments' docstrings", "# Environments", _table(["id", "the game"], rows))
    return {**made, DOCS / "envs" / "index.md": index}


def _env_page(key: str, ids: list[str]) -> str:
    module = import_module(f"lmrlgym.envs.{key}")
    parts = [f"# {key}", inspect.getdoc(module) or ""]
    for env_id in ids:
        parts += [f"## {env_id}", _deeper(inspect.getdoc(_env_class(env_id)) or "")]
        parts += _reference_section(env_id)
    return _page(f"`lmrlgym/envs/{key}.py`", *parts, *_data_section(key))


def _env_class(env_id: str) -> type[Any]:
    entry_point = gymnasium.spec(env_id).entry_point
    module, name = str(entry_point).split(":")
    found: type[Any] = getattr(import_module(module), name)
    return found


def _deeper(docstring: str) -> str:
    """The same Markdown with every heading one level down."""
    return "\n".join(f"#{line}" if line.startswith("#") else line for line in docstring.splitlines())


def _reference_section(env_id: str) -> list[str]:
    known = references(env_id)
    head = ["keywords", "random", "behaviour", "data", "best", "which is", "evaluated by"]
    return (
        ["### References", _REFERENCES, _table(head, [_reference_row(one) for one in known])] if known else []
    )


_REFERENCES = (
    "Mean returns. *random* is 0 and *best* is 100 of the `optimal` score; *behaviour* is the data's player "
    "in whole games and *data* the shipped data itself. How they are made: [data](../data.md#references)."
)


def _reference_row(one: Reference) -> list[str]:
    keywords = ", ".join(f"`{name}={_short(value)}`" for name, value in one.env_kwargs.items())
    games = f"{one.protocol.repeats:,} games" + (" of every task" if one.protocol.plays_every_task else "")
    returns = (one.random, one.behaviour_played, one.data_mean, one.best)
    numbers = ["" if value is None else f"{value:.2f}" for value in returns]
    return [keywords or "the defaults", *numbers, one.kind.replace("_", " "), games]


def _short(value: Any) -> str:
    """A keyword's value; a file's sha256 by its first letters."""
    text = repr(value)
    return f"{text[:15]}...'" if text.startswith("'sha256:") else text


def _data_section(key: str) -> list[str]:
    cards = sorted((data_folder() / key).glob("*.card.json"))
    if not cards:
        return []
    head = ["dataset", "environment", "games", "mean return", "success", "made by"]
    return ["## Shipped datasets", _table(head, [_data_row(key, card) for card in cards])]


def _data_row(key: str, path: Path) -> list[str]:
    card = json.loads(path.read_text(encoding="utf-8"))
    name = path.name.removesuffix(".card.json")
    return [
        f"`{key}/{name}`",
        f"`{card['env_id']}`",
        f"{card['count']:,}",
        f"{card['return_mean']:.2f}",
        f"{card['success']:.1%}",
        f"`{card['command']}`",
    ]


# ---- algorithms ----


def algorithm_pages() -> dict[Path, str]:
    """A page an algorithm of `baselines`, and their index."""
    folder = DOCS / "algorithms"
    expected = json.loads((folder / "expected.json").read_text(encoding="utf-8"))
    found = {name: find_algorithm(name) for name in algorithm_names()}
    made = {
        folder / f"{name}.md": _algorithm_page(name, kind, expected.get(name, ""))
        for name, kind in found.items()
    }
    rows = [[f"[`{name}`]({name}.md)", _summary(kind)] for name, kind in found.items()]
    index = _page("the algorithms' docstrings", "# Algorithms", _table(["name", "what it is"], rows))
    return {**made, folder / "index.md": index}


def _algorithm_page(name: str, kind: type[Algorithm], expected: str) -> str:
    module = import_module(kind.__module__)
    common = {field.name: field for field in dataclasses.fields(AlgorithmConfig)}
    own: list[list[str]] = []
    shared: list[list[str]] = []
    for field in dataclasses.fields(kind.Config):
        row = [f"`{field.name}`", f"`{field.default}`", field_help(kind.Config, field.name)]
        is_shared = field.name in common and common[field.name].default == field.default
        (shared if is_shared else own).append(row)
    head = ["option", "default", "meaning"]
    parts = [f"# {name}", inspect.getdoc(module) or ""]
    parts += ["## Expected results", expected] if expected else []
    parts += ["## Options", _table(head, own)] if own else ["## Options"]
    return _page(f"`baselines/{name}.py`", *parts, "As in every algorithm:", _table(head, shared))


def field_help(config: type[Any], name: str) -> str:
    """The text under field `name` in the class of `config`'s line that declares it last."""
    for kind in config.__mro__:
        if name in inspect.get_annotations(kind):
            return _texts_under_fields(kind).get(name, "")
    raise ValueError(f"{config.__qualname__} has no field {name!r}")


def _texts_under_fields(kind: type[Any]) -> dict[str, str]:
    body = ast.parse(inspect.cleandoc(inspect.getsource(kind))).body[0]
    assert isinstance(body, ast.ClassDef)
    texts = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        is_text = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name) and is_text:
            texts[field.target.id] = inspect.cleandoc(str(below.value.value))  # type: ignore[attr-defined]
    return texts


# ---- the paper's scores ----


def scores_page() -> str:
    """Raw return, printed score and recomputed score of every agent of the paper."""
    found = cells()
    contradicting = [cell for cell in found if not cell.follows]
    rows = [[task.name, *(_scored(cell) for cell in found if cell.task == task.name)] for task in TASKS]
    scales = [
        [task.name, *(f"{number:g}" for number in (task.scale.low, task.scale.average, task.scale.high))]
        for task in TASKS
    ]
    listed = [
        [
            one.task,
            one.agent,
            one.raw,
            one.printed,
            f"{one.recomputed:.1f}",
            f"{one.low:.1f} to {one.high:.1f}",
        ]
        for one in contradicting
    ]
    count = f"{len(contradicting)} of the {len(found)} printed scores do not follow"
    return _page(
        "`lmrlgym/analysis/published.py`",
        "# The paper's scores",
        f"{_SCORES} {count}; they are bold, and listed below.",
        _table(["task", *AGENTS], rows),
        "## What does not follow",
        _table(["task", "agent", "return", "printed", "recomputed", "possible"], listed),
        _SCORES_NOTES,
        "## The constants",
        _table(["task", "lowest (0)", "average of the data (50)", "highest (100)"], scales),
    )


_SCORES = (
    "[arXiv 2311.18232](https://arxiv.org/abs/2311.18232) prints mean returns (table 4) and scores "
    "made of them (table 2), by two slopes: `lmrl2023` of [data](data.md#scores). Each cell is the "
    "return, the printed score and, in brackets, the score that follows from the return with the "
    "paper's own constants. A score follows if a return that rounds to the printed one can give it."
)
_SCORES_NOTES = (
    "The scores of 0 that GPT-4 has in both chess tasks are set by hand in the released code, its "
    "60.4 in the partial maze belongs to a return of -71.04 there. The highest return of the partial "
    "maze is not the highest: best play has -7.24. Car Dealer is left out, since neither its "
    "constants nor its returns are printed; `normalise` refuses `lmrl2023` there."
)


def _scored(cell: Cell) -> str:
    text = f"{cell.raw}: {cell.printed} ({cell.recomputed:.1f})"
    return text if cell.follows else f"**{text}**"


# ---- Markdown ----


def _page(source: str, *parts: str) -> str:
    return (
        "\n\n".join((MADE_FROM.format(source=source).rstrip(), *(part.strip() for part in parts if part)))
        + "\n"
    )


def _summary(kind: type[Any]) -> str:
    return (inspect.getdoc(kind) or "").splitlines()[0]


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def main() -> None:
    """Write every page and remove made pages whose source is gone."""
    made = pages()
    for folder in {path.parent for path in made} - {DOCS}:
        folder.mkdir(exist_ok=True)
        for stale in set(folder.glob("*.md")) - set(made):
            stale.unlink()
    for path, content in made.items():
        with replacing(path) as beside:
            beside.write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
