"""Imports point down: the table of docs/design.md, over every file and every import in it."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import lmrlgym
from lmrlgym.envs import ENTRY_POINTS

ROOT = Path(__file__).parents[1]
ENVS = "envs"
LOW = {"types", "resources", "spaces", "env", "vector"}
SPEAKERS = {"chat", "person", "local_models", "remote_models"}
"""What a player or a partner that is no script speaks through."""
ARROWS: dict[str, set[str]] = {
    "types": set(),
    "resources": set(),
    "spaces": set(),
    "env": {"types", "spaces"},
    "vector": {"types", "spaces", "env"},
    ENVS: LOW | {"partners"},
    "person": set(),
    "remote_models": set(),
    "local_models": {"resources", "chat"},
    "partners": {"types", "resources", "env", *SPEAKERS},
    "policies": {"types", "resources", "env", ENVS, *SPEAKERS},
    "solvers": {"types", "resources", "env", ENVS},
    **dict.fromkeys(("dataset", "loaders2023", "references", "wrappers", "chat", "replays", "rollouts"), LOW),
}
"""room -> the rooms of lmrlgym it may import, besides itself."""
OUTER = {"collection", "distributed", "testing", "analysis", "commands", "cli", "__main__", "__init__"}
"""Rooms that may import anything in lmrlgym."""
CORE = (
    "processes",
    "layout",
    "slots",
    "smollm2",
    "tokens",
    "model",
    "generate",
    "policy",
    "algorithm",
    "critic",
    "fit",
    "registry",
    "store",
    "values",
    "runlog",
    "run",
    "off_policy",
    "doctor",
    "demo",
    "sweep",
    "pretrain",
)
"""The rooms of baselines.core, each of which may import those before it."""
PARENTS = {"filtered_bc": "bc"}
"""The algorithms that are variants of another."""
VARIANTS = {"chess_endgames": "chess"}
"""The games that are variants of another and share its rules."""
KEYS = {entry.partition(":")[0].rpartition(".")[2] for entry, _ in ENTRY_POINTS.values()}
"""The files of `envs` that hold a registered game."""
LIGHT = {"gymnasium", "numpy"}
"""What lmrlgym may import from others as soon as it is imported itself."""


class Import(NamedTuple):
    file: Path
    module: str
    name: str
    """What is imported from `module`; "" for the module itself."""
    is_lazy: bool
    """Whether it happens inside a function."""

    @property
    def target(self) -> tuple[str, ...]:
        return tuple(self.module.split("."))

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)} imports {self.module} {self.name}"


def imports_in(node: ast.AST, file: Path, is_lazy: bool = False) -> Iterator[Import]:
    """Every import below `node`; those for the type checker alone are left out."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(file, alias.name, "", is_lazy)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{file}: imports are absolute"
            for alias in child.names:
                yield from_import(file, child.module or "", alias.name, is_lazy)
        elif not (isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING"):
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
            yield from imports_in(child, file, is_lazy or inside)


def from_import(file: Path, module: str, name: str, is_lazy: bool) -> Import:
    """`from package import module` imports a module, not a name."""
    path = ROOT.joinpath(*module.split("."), name)
    if path.is_dir() or path.with_suffix(".py").is_file():
        return Import(file, f"{module}.{name}", "", is_lazy)
    return Import(file, module, name, is_lazy)


def all_imports(package: str) -> list[Import]:
    files = sorted((ROOT / package).rglob("*.py"))
    return [found for file in files for found in imports_in(ast.parse(file.read_text("utf-8")), file)]


def room(file: Path) -> str:
    """The first name below the package: `policies` for lmrlgym/policies/maze.py."""
    return file.relative_to(ROOT).with_suffix("").parts[1]


def key(file: Path) -> str:
    """The game of a file: `twenty_questions` for partners/twenty_questions_words.py.

    A file named after a game, or after it and a part, is that game's; the longest game counts.
    """
    own = [key for key in KEYS if f"{file.stem}_".startswith(f"{key}_")]
    return max(own, key=len, default=file.stem)


SUITE, AGENTS = all_imports("lmrlgym"), all_imports("baselines")


def test_parts_of_a_game_are_named_after_it():
    named = {"twenty_questions_words": "twenty_questions", "chess_endgames": "chess_endgames", "uci": "uci"}
    assert {stem: key(ROOT / f"{stem}.py") for stem in named} == named


def test_every_room_has_its_arrows():
    rooms = {room(file) for file in (ROOT / "lmrlgym").rglob("*.py")}
    assert rooms - ARROWS.keys() - OUTER == set()
    core = {file.stem for file in (ROOT / "baselines" / "core").glob("*.py")} - {"__init__"}
    assert core - set(CORE) == set(), "say where the new room stands among those of the core"


def is_allowed(found: Import) -> bool:
    """Whether a file of lmrlgym may import this part of lmrlgym."""
    here = room(found.file)
    if here in OUTER:
        return True
    there = found.target[1] if len(found.target) > 1 else "__init__"
    if (here, there) == ("policies", "solvers"):
        return found.target[2:] == (key(found.file),)
    if there == ENVS and here in ("policies", "solvers", "partners"):
        # The rules of its own game only, or of its parent; partners reach them from inside functions.
        is_own = found.target[2:] in ((key(found.file),), (VARIANTS.get(key(found.file)),))
        return is_own and (found.is_lazy or here != "partners")
    return there == here or there in ARROWS[here]


@pytest.mark.parametrize("name", sorted(ARROWS))
def test_a_room_of_the_suite_imports_only_what_lies_below_it(name: str):
    inner = [found for found in SUITE if room(found.file) == name and found.target[0] == "lmrlgym"]
    assert [str(found) for found in inner if not is_allowed(found)] == []


def test_the_suite_reaches_the_agents_from_commands_alone_and_lazily():
    reaching = [found for found in SUITE if found.target[0] == "baselines"]
    assert [str(f) for f in reaching if room(f.file) != "commands" or not f.is_lazy] == []


def test_the_suite_imports_heavy_packages_inside_functions_only():
    own = {"lmrlgym", *LIGHT, *sys.stdlib_module_names}
    eager = [found for found in SUITE if not found.is_lazy and found.target[0] not in own]
    assert [str(found) for found in eager if room(found.file) != "commands"] == []


def test_the_agents_use_only_public_names_of_the_suite():
    public = {*lmrlgym.__all__, "__version__"}
    used = [found for found in AGENTS if found.target[0] == "lmrlgym"]
    assert used, "no import found: the test looks at the wrong files"
    assert [str(f) for f in used if f.target != ("lmrlgym",) or f.name not in public | {""}] == []


def test_whole_imports_of_the_suite_read_public_names_only():
    for file in {found.file for found in AGENTS if found.target == ("lmrlgym",) and not found.name}:
        tree = ast.parse(file.read_text("utf-8"))
        read = {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lmrlgym"
        }
        assert read <= {*lmrlgym.__all__, "__version__"}, file


def agent_import_is_allowed(found: Import) -> bool:
    """Whether a file of baselines may import this part of baselines."""
    parts = found.file.relative_to(ROOT).with_suffix("").parts
    there = found.target[1:]
    if parts[1] != "core":
        is_parent = there == (PARENTS.get(parts[1]),)
        return not there or there[0] == "core" or is_parent or parts[1] == "testing"
    if there[:1] == ("core",):
        return there == ("core",) or CORE.index(there[1]) < CORE.index(parts[2])
    # The training run picks the algorithm by name.
    return parts[2] in ("registry", "run", "sweep") and (found.is_lazy or not there)


def test_the_agents_import_each_other_downwards():
    inner = [found for found in AGENTS if found.target[0] == "baselines"]
    assert inner, "no import found: the test looks at the wrong files"
    assert [str(found) for found in inner if not agent_import_is_allowed(found)] == []


HEAVY = ("torch", "transformers", "peft", "pyarrow", "pandas", "tqdm", "tyro", "openai", "matplotlib")


def loaded_after(code: str) -> set[str]:
    """Which of the heavy packages a fresh process holds after `code`."""
    script = f"import sys\n{code}\nprint(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_importing_the_suite_loads_nothing_heavy():
    assert loaded_after("import lmrlgym") == set()


def test_playing_a_game_loads_nothing_heavy():
    assert (
        loaded_after(
            "import gymnasium, lmrlgym\n"
            "for env_id in [i for i in gymnasium.registry if i.startswith('lmrlgym/')]:\n"
            "    env = gymnasium.make(env_id)\n"
            "    env.reset(seed=0)\n"
            "    env.step('anything')\n"
        )
        == set()
    )


def test_heavy_packages_would_be_noticed():
    assert loaded_after("import tqdm") == {"tqdm"}
