"""The documentation: its code runs, its commands parse, its links resolve, its made pages are fresh."""

from __future__ import annotations

import dataclasses
import json
import math
import re
import shlex
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import gymnasium
import pytest

from lmrlgym.cli import VERBS
from lmrlgym.commands.options import keywords, parse, registered
from lmrlgym.references import key_of

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("envs_data/**/*.md")])
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """(line number, code) of the blocks that are meant to be run."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: found.start(3)].count("\n"), found[3])
        for found in BLOCK.finditer(text)
        if found[1] == language and "no-run" not in found[2]
    ]


def commands() -> list[str]:
    """Every `lmrlgym VERB ...` line of the pages' shell blocks and of the datasets' cards."""
    shell = [line for page in PAGES for _, code in blocks(page, "bash") for line in code.splitlines()]
    cards = [json.loads(path.read_text(encoding="utf-8")) for path in ROOT.glob("envs_data/*/*.card.json")]
    lines = [*shell, *(card["command"] for card in cards)]
    wanted = re.compile(r"^(?:\w+=\S+ )*(?:\.venv/bin/)?(lmrlgym .*?)(?: +# .*)?$")
    return sorted({found[1] for line in lines if (found := wanted.match(line))})


@pytest.fixture
def own_registry() -> Iterator[None]:
    """Forget the games that a page registers."""
    before = dict(gymnasium.registry)
    yield
    for env_id in set(gymnasium.registry) - set(before):
        del gymnasium.registry[env_id]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=named)
@pytest.mark.usefixtures("own_registry")
def test_python_blocks_run_one_after_the_other(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = ModuleType("a_page")
    monkeypatch.setitem(sys.modules, module.__name__, module)  # what it defines can be pickled
    for line, code in blocks(page, "python"):
        exec(compile("\n" * line + code, str(page), "exec"), vars(module))


def test_the_pages_hold_code_and_commands():
    assert sum(len(blocks(page, "python")) for page in PAGES) >= 15
    assert {line.split()[1] for line in commands()} >= {"train", "eval", "collect", "replay", "play", "list"}


@pytest.mark.parametrize("line", commands())
def test_command_lines_of_the_pages_parse(line, monkeypatch):
    verb, *arguments = shlex.split(line)[1:]
    assert verb in VERBS
    if verb == "train":
        run = import_module("baselines.core.run")
        run.find_algorithm(arguments[0])  # imported before `train` is replaced
        asked = []
        monkeypatch.setattr(run, "train", lambda *given: asked.append(given))
        assert import_module("lmrlgym.commands.train").main(arguments) == 0
        assert registered(asked[0][1].env)
        return
    module = import_module(f"lmrlgym.commands.{verb.replace('-', '_')}")
    kinds = [
        value
        for name, value in vars(module).items()
        if name.endswith("Options") and dataclasses.is_dataclass(value)
    ]
    assert len(kinds) == 1
    options = vars(parse(kinds[0], verb, arguments))
    keywords(options.get("env_kwargs", ()))
    if options.get("env") and ":" not in options["env"]:
        assert registered(options["env"])


def test_a_wrong_command_line_would_be_found():
    with pytest.raises(ValueError, match="levle"):
        parse(
            import_module("lmrlgym.commands.collect").CollectOptions,
            "collect",
            ["lmrlgym/Maze-v0", "--levle", "x"],
        )


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_to_files_and_headings_that_exist(page):
    broken = []
    for target in LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8"))):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def anchors(page: Path) -> set[str]:
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_page_is_reached_from_the_index():
    reached: set[Path] = set()
    waiting = [ROOT / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached:
            continue
        reached.add(page)
        targets = LINK.findall(BLOCK.sub("", page.read_text(encoding="utf-8")))
        files = ((page.parent / target.partition("#")[0]).resolve() for target in targets)
        waiting += [file for file in files if file.suffix == ".md" and file.is_file()]
    assert [named(page) for page in ROOT.glob("docs/**/*.md") if page not in reached] == []


@pytest.fixture(scope="module")
def made() -> dict[Path, str]:
    return import_module("docs.make_pages").pages()


def test_made_pages_are_fresh(made):
    stale = [named(p) for p, text in made.items() if not p.exists() or p.read_text(encoding="utf-8") != text]
    assert stale == [], "run `make docs`"


def test_there_is_no_page_without_its_source(made):
    there = {*ROOT.glob("docs/envs/*.md"), *ROOT.glob("docs/algorithms/*.md")}
    assert {named(page) for page in there - set(made)} == set()


def test_every_environment_and_algorithm_has_a_page(made):
    from baselines.core.registry import algorithm_names

    ids = [env_id for env_id in gymnasium.registry if env_id.startswith("lmrlgym/")]
    assert len(ids) >= 3
    for env_id in ids:
        assert f"## {env_id}" in made[ROOT / "docs/envs" / f"{key_of(env_id)}.md"]
    for name in algorithm_names():
        assert "## Expected results" in made[ROOT / "docs/algorithms" / f"{name}.md"]


def test_every_option_of_an_algorithm_has_its_help(made):
    pages = [text for path, text in made.items() if path.parent.name == "algorithms"]
    rows = [line for text in pages for line in text.splitlines() if line.startswith("| `")]
    assert len(rows) > 50
    assert [row for row in rows if row.rstrip("| ").endswith("`")] == []


def test_the_tree_of_the_readme_names_what_is_there():
    (tree,) = [found[3] for found in BLOCK.finditer((ROOT / "README.md").read_text()) if found[1] == "text"]
    modules = {path.name for path in (ROOT / "lmrlgym").glob("*.py") if not path.name.startswith("_")}
    rooms = {f"{path.parent.name}/" for path in (ROOT / "lmrlgym").glob("*/__init__.py")}
    suite = tree[tree.index("lmrlgym/") + len("lmrlgym/") : tree.index("baselines/")]
    assert set(re.findall(r"\w+\.py", suite)) == modules
    assert set(re.findall(r"^  (\w+/)", suite, re.MULTILINE)) == rooms


@pytest.mark.usefixtures("own_registry")
def test_a_game_in_one_file_passes_the_contract_and_is_won(capsys):
    import_module("examples.bring_your_own_game").main()
    # Halving 1..20: 1 number is found at guess 1, 2 at 2, 4 at 3, 8 at 4, the last 5 at 5.
    misses = (1 * 0 + 2 * 1 + 4 * 2 + 8 * 3 + 5 * 4) / 20
    assert f"20 games, success 100%, mean return {-misses:.2f}" in capsys.readouterr().out


@pytest.mark.slow
def test_an_algorithm_in_one_file_passes_the_contract_trains_and_plays(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    import_module("examples.bring_your_own_algorithm").main(rounds=1, repeats=1)
    assert "Summary(episodes=25" in capsys.readouterr().out
    assert (tmp_path / "runs" / "weighted_bc" / "run.json").is_file()


def test_weights_of_the_example_rise_with_the_return_and_stop_at_the_largest():
    weights = import_module("examples.bring_your_own_algorithm").game_weights([-1.0, 1.0], 0.5, 5.0)
    # deviation 1, so the exponents are -1 / 0.5 and 1 / 0.5, and exp(2) = 7.4 is cut to 5
    assert weights.tolist() == pytest.approx([math.exp(-2.0), 5.0])
