"""The command line: what it prints, what it writes, and how it refuses."""

from __future__ import annotations

import builtins
import os
import pty
import subprocess
import sys

import pytest

import lmrlgym
from lmrlgym import Dataset, cli
from lmrlgym.commands.options import keywords

MAZE = "lmrlgym/Maze-v0"


def run(*argv):
    """The exit code of one command line, in this process."""
    return cli.main([str(word) for word in argv])


def console(*argv, stdin=""):
    """One command line in a process of its own."""
    command = [sys.executable, "-m", "lmrlgym", *(str(word) for word in argv)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=60)


# ---- the front door ----


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"]])
def test_help_names_every_verb(argv, capsys):
    assert run(*argv) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {verb} " in out for verb in cli.VERBS)


def test_version(capsys):
    assert run("--version") == 0
    assert capsys.readouterr().out == f"lmrlgym {lmrlgym.__version__}\n"


@pytest.mark.parametrize(
    "argv", [["--help"], ["list"], ["collect", "--help"], ["eval", MAZE, "--episodes", "3"]]
)
def test_no_verb_of_the_suite_imports_torch(argv):
    program = (
        "import sys; from lmrlgym.cli import main; code = main(sys.argv[1:]); "
        "assert not {'torch', 'transformers', 'openai'} & set(sys.modules); sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", program, *argv], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


def test_the_front_door_imports_no_verb():
    program = (
        "import sys; from lmrlgym.cli import main; main(['--help']); "
        "assert not [m for m in sys.modules if m == 'tyro' or m.startswith('lmrlgym.commands')]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("verb", "shown"),
    [
        ("collect", ["mixed", "1000", "games.parquet"]),
        ("eval", ["random", "64", "1000000000", "128"]),
        ("play", ["(default: None)"]),
        ("replay", ["(default: 5)"]),
        ("show", ["(default: 0)"]),
        ("list", ["usage: lmrlgym list"]),
    ],
)
def test_help_of_a_verb_shows_its_defaults(verb, shown, capsys):
    assert run(verb, "--help") == 0
    out = capsys.readouterr().out
    assert all(text in out for text in shown)


# ---- refusing ----


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["lst"], "no verb 'lst'; did you mean list?"),
        (["show", "lmrlgym/Maz-v0"], "did you mean lmrlgym/Maze-v0"),
        (["show", "maze/mixd-v0"], "did you mean maze/mixed-v0"),
        (["show", "maze/mixed-v0", "--game", "99999"], "--game must be from 0 to"),
        (["play", "Wordle-v0"], "no environment 'Wordle-v0'; did you mean lmrlgym/Wordle-v0"),
        (["play", MAZE, "--options", "task=99"], "task must be a whole number from 0 to 24, got 99"),
        (["play", "CartPole-v1"], "CartPole-v1 is not a lmrlgym.TextEnv"),
        (["play", "no_such_package:x/Game-v0"], "no module 'no_such_package'"),
        (["collect", MAZE, "--level", "godlike"], "no player 'godlike'"),
        (["collect", MAZE, "--episodes", "0"], "episodes must be a positive whole number, got 0"),
        (["collect", MAZE, "--episodes", "ten"], "--episodes"),
        (["collect", MAZE, "--episods", "3"], "Unrecognized options: --episods, 3; did you mean --episodes?"),
        (["collect"], "Missing from lmrlgym collect: ENV"),
        (["collect", MAZE, "--out", "games.csv"], "a file of games ends in .parquet, .jsonl, .jsonl.gz"),
        (["collect", MAZE, "--env-kwargs", '{"layout": '], "--env-kwargs is not JSON"),
        (["collect", MAZE, "--env-kwargs", "layout"], "--env-kwargs wants key=value or a JSON object"),
        (["collect", MAZE, "--env-kwargs", "layot=umaze"], "keyword 'layot'; did you mean layout?"),
        (["collect", MAZE, "--env-kwargs", "layout=L"], "layout must be one of double_t"),
        (["eval", MAZE, "--policy", "godlike"], "no player 'godlike'"),
        (["eval", MAZE, "--policy", "http://host/v1"], "an endpoint is http(s)://HOST/v1#MODEL"),
        (["eval", MAZE, "--repeats", "0"], "repeats must be a positive whole number, got 0"),
        (["eval", MAZE, "--parallel", "0"], "parallel must be at least 1, got 0"),
        (["replay", "nowhere.jsonl"], "no dataset file nowhere.jsonl"),
        (["replay", "nowhere"], "no dataset 'nowhere'"),
        (["replay", "maze/mixed-v0", "--modules", "no_such_package"], "no_such_package"),
    ],
)
def test_a_wrong_input_is_one_line_and_code_2(argv, said, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run(*argv) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("lmrlgym: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err
    assert list(tmp_path.iterdir()) == []


def test_an_option_is_refused_in_one_plain_line_on_a_terminal_too():
    ours, theirs = pty.openpty()
    argv = [sys.executable, "-m", "lmrlgym", "collect", MAZE, "--episods", "3"]
    code = subprocess.call(
        argv, stdout=theirs, stderr=theirs, env={**os.environ, "TERM": "xterm"}, timeout=60
    )
    os.close(theirs)
    seen = os.read(ours, 10_000).decode()
    os.close(ours)
    assert code == 2
    hint = "did you mean --episodes? (see lmrlgym collect --help)"
    assert seen.strip() == f"lmrlgym: Unrecognized options: --episods, 3; {hint}"


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl", "a.jsonl.gz"])
@pytest.mark.parametrize("content", [b"", b"\x00\xff garbage", b'{"env_id": "x"}\n', b"[1]\n"])
def test_a_corrupt_dataset_is_one_line_and_code_2(name, content, tmp_path, capsys):
    (tmp_path / name).write_bytes(content)
    code = run("show", tmp_path / name)
    assert code == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "Traceback" not in captured.err


def test_a_wrong_input_shows_no_traceback_in_a_process_of_its_own():
    done = console("eval", "lmrlgym/Maz-v0")
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1


def test_a_refusal_cannot_command_the_terminal(capsys):
    assert run("show", "x\x1b[2Jy\nz") == 2
    assert "\x1b" not in capsys.readouterr().err


def test_an_interrupt_is_quiet(monkeypatch, capsys):
    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr("lmrlgym.commands.eval.evaluate", interrupted)
    assert run("eval", MAZE) == 130
    assert capsys.readouterr() == ("", "")


def test_a_fault_of_the_program_keeps_its_traceback(monkeypatch):
    def broken(*args, **kwargs):
        raise AttributeError("a bug")

    monkeypatch.setattr("lmrlgym.commands.eval.evaluate", broken)
    with pytest.raises(AttributeError, match="a bug"):
        run("eval", MAZE)


def test_a_reader_that_leaves_early_is_no_error():
    command = f"{sys.executable} -m lmrlgym show {MAZE} | head -1; echo ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60)
    assert done.stdout == f"{MAZE}\n0\n"
    assert done.stderr == ""


# ---- keywords ----


def test_keywords_are_json_where_they_read_as_json():
    given = [["max_moves=5", "layout=umaze"], ['{"compat": true, "words": ["a", "b"]}'], ["name=x=y"]]
    assert keywords(given) == {
        "max_moves": 5, "layout": "umaze", "compat": True, "words": ["a", "b"], "name": "x=y",
    }  # fmt: skip


def test_a_keyword_given_twice_is_an_error():
    with pytest.raises(ValueError, match="names 'a' twice"):
        keywords([["a=1"], ['{"a": 2}']])


# ---- list, show, play ----


def test_list_shows_every_environment_and_dataset(capsys):
    assert run("list") == 0
    out = capsys.readouterr().out
    for env_id in ("lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0", "lmrlgym/Wordle-v0"):
        assert f"{env_id} " in out
    mixed = Dataset.load("maze/mixed-v0")
    mean = sum(game.total_reward for game in mixed) / len(mixed)
    row = next(line for line in out.splitlines() if line.startswith("maze/mixed-v0 "))
    assert row.split() == ["maze/mixed-v0", str(len(mixed)), f"{mean:.2f}"]


def test_show_prints_the_page_the_references_and_a_whole_example(capsys):
    assert run("show", MAZE) == 0
    out = capsys.readouterr().out
    for part in ("## Rewards", "INSTRUCTIONS", "REFERENCES", "-6.84 (exact)", "EXAMPLE, played by expert"):
        assert part in out
    assert "> move " in out
    assert out.rstrip().endswith("(won)")


def test_show_without_references_says_so(capsys):
    assert run("show", MAZE, "--env-kwargs", "max_moves=7") == 0
    assert "no references for lmrlgym/Maze-v0 with {'max_moves': 7}" in capsys.readouterr().out


def test_a_person_plays_to_the_end():
    # From task 24 (row 7, column 6) the goal at row 8 is one move down.
    done = console("play", MAZE, "--options", "start=[7, 6]", stdin="jump\nmove down\n")
    assert done.returncode == 0, done.stderr
    assert "Your current position is at position 7, 6." in done.stdout
    assert "reward -4, not understood" in done.stdout
    assert done.stdout.endswith("Success\nwon after 2 turns, return -4\n")


@pytest.mark.parametrize("leaving", [EOFError, KeyboardInterrupt])
def test_leaving_a_game_is_polite(leaving, monkeypatch, capsys):
    def leave(prompt):
        raise leaving

    monkeypatch.setattr(builtins, "input", leave)
    assert run("play", MAZE) == 0
    captured = capsys.readouterr()
    assert captured.out.endswith("goodbye\n")
    assert captured.err == ""
