"""The contract of every algorithm of this package, and that `check_algorithm` sees it broken."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import getmodule
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from baselines import bc, ppo, testing
from baselines.core.algorithm import POLICY, Algorithm, AlgorithmConfig, Metrics
from baselines.core.model import LM, Base, Caches, load_base
from baselines.core.registry import algorithm_names, find_algorithm
from baselines.core.store import HEADS
from baselines.core.tokens import Tokens
from lmrlgym import Trajectory

torch.set_num_threads(1)
NAMES = algorithm_names()
OVER_A_BASE = (
    testing.check_parts,
    testing.check_silent_games,
    testing.check_values,
    testing.check_update,
    testing.check_stepwise,
    testing.check_acting,
)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Base:
    return load_base(str(testing.random_base(tmp_path_factory.mktemp("base") / "random")))


def test_the_modules_of_the_package_are_found_and_nothing_else() -> None:
    files = {path.stem for path in Path(bc.__file__).parent.glob("*.py")}
    assert set(NAMES) == files - {"__init__", "testing"}
    assert len(NAMES) >= 5


@pytest.mark.parametrize("name", NAMES)
class TestContract:
    def test_every_option_has_a_default_and_help(self, name: str) -> None:
        testing.check_config(find_algorithm(name))

    def test_the_docstring_holds_equations_source_and_deviations(self, name: str) -> None:
        kind = find_algorithm(name)
        testing.check_docstring(kind)
        doc = getmodule(kind).__doc__ or ""
        assert re.search(r"arXiv \d{4}\.\d{5}", doc)
        assert re.search(r"^Deviations?\b", doc, re.MULTILINE)

    @pytest.mark.parametrize("context", testing.CONTEXTS)
    def test_the_loss_is_finite_and_has_a_gradient(self, name: str, base: Base, context: int | None) -> None:
        testing.check_loss(find_algorithm(name), base, context)

    @pytest.mark.parametrize("check", OVER_A_BASE, ids=lambda check: check.__name__)
    def test_over_a_base(self, name: str, base: Base, check: Callable[[type[Algorithm], Base], None]) -> None:
        check(find_algorithm(name), base)

    def test_a_saved_agent_comes_back_and_loads_with_peft_alone(
        self, name: str, base: Base, tmp_path: Path
    ) -> None:
        kind = find_algorithm(name)
        testing.check_checkpoint(kind, base, tmp_path)
        has_heads = bool(kind(LM(base), testing.small_config(kind), None).heads())
        assert (tmp_path / HEADS).is_file() == has_heads
        assert not [path for path in tmp_path.rglob("*") if path.suffix in (".bin", ".pt", ".pkl", ".pth")]

    @pytest.mark.parametrize("games", [0, 4], ids=["offline", "online"])
    def test_a_training_killed_and_resumed_ends_bit_by_bit_as_one_that_was_not(
        self, name: str, base: Base, tmp_path: Path, games: int
    ) -> None:
        testing.check_resume(find_algorithm(name), base, tmp_path, games)


def test_a_whole_check_takes_a_dotted_path_and_a_base(base: Base, tmp_path: Path) -> None:
    testing.check_algorithm("baselines.bc:BC", base.name)
    with pytest.raises(ValueError, match="no algorithm 'nothing'"):
        testing.check_algorithm("nothing")
    with pytest.raises(ValueError, match=re.escape(f"no base model '{tmp_path}'")):
        testing.check_algorithm("bc", tmp_path)


# ---- algorithms that break the contract, each in one way ----


class Broken(bc.BC):
    """Behaviour cloning to be broken; its module's docstring is that of the tests."""


class NoHelp(Broken):
    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        sharpness: float = 1.0


class NoDefault(Broken):
    @dataclass(frozen=True, kw_only=True)
    class Config(AlgorithmConfig):
        sharpness: float
        """help"""


class NoJson(Broken):
    @dataclass(frozen=True)
    class Config(AlgorithmConfig):
        layers: tuple[int, ...] = (1, 2)
        """help"""


class NoGradient(Broken):
    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss.detach(), metrics


class ManyLosses(Broken):
    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss.expand(3), metrics


class TensorMetric(Broken):
    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        loss, metrics = super().loss(batch)
        return loss, {**metrics, "loss": loss}  # type: ignore[dict-item]


class KeepsSilentGames(Broken):
    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
        return [self.encoder.trajectory(game) for game in trajectories]


class MovesTheBase(Broken):
    def after_step(self) -> None:
        with torch.no_grad():
            next(iter(self.lm.model.get_input_embeddings().parameters())).mul_(1.01)


class SwitchesByPeft(Broken):
    """The first trap of peft: the adapter it switches to learns, and the others are frozen."""

    def __init__(self, lm: LM, config: AlgorithmConfig, context: int | None) -> None:
        super().__init__(lm, config, context)
        lm.add_adapter("value", config.rank, config.seed)

    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        assert self.lm.peft is not None
        self.lm.peft.set_adapter("value")
        return super().next_logits(ids, mask, caches)


class LearnsTooLittle(Broken):
    """Its head is said to learn, but no loss reads it."""

    def __init__(self, lm: LM, config: AlgorithmConfig, context: int | None) -> None:
        super().__init__(lm, config, context)
        self.head = nn.Parameter(torch.ones(2))

    def learned(self) -> dict[str, nn.Parameter]:
        return {**super().learned(), "head": self.head}


class LearnsMore(Broken):
    """A head moves with the loss though `learned` does not name it."""

    def __init__(self, lm: LM, config: AlgorithmConfig, context: int | None) -> None:
        super().__init__(lm, config, context)
        self.count = nn.Parameter(torch.zeros(()))

    def loss(self, batch: Tokens) -> tuple[Tensor, Metrics]:
        with torch.no_grad():
            self.count.add_(1)
        return super().loss(batch)


class IgnoresPlaces(Broken):
    """Reads left-padded text without its places, as generation without position ids does."""

    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        return super().next_logits(ids, torch.ones_like(mask), caches)


class ForgetsItsCaches(Broken):
    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        return super().next_logits(ids, mask[:, -ids.shape[1] :], {})


class DrawsGlobally(Broken):
    def next_logits(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        return super().next_logits(ids, mask, caches) + 5 * torch.randn(self.lm.vocabulary)


class ForgetsItsAdapter(ppo.PPO):
    """pi_0 is not stored, so a resumed training is held near another policy."""

    def adapters(self) -> list[str]:
        return [POLICY]


class LooksOnce(ppo.PPO):
    """Prepares by its weights and does not say so."""

    looks_at_weights = False


BROKEN: dict[type[Algorithm], str] = {
    NoHelp: "NoHelp.Config.sharpness has no help",
    NoDefault: "NoDefault.Config.sharpness has no default",
    NoJson: "NoJson.Config must hold JSON values only",
    NoGradient: "the loss has no gradient",
    ManyLosses: "the loss must be one number, got the shape (3,)",
    TensorMetric: "the metric 'loss' must be a finite Python number",
    KeepsSilentGames: "prepare keeps a game without an action token",
    MovesTheBase: "after_step moved lm.model.model.embed_tokens.weight",
    SwitchesByPeft: "switch adapters by lm.hidden alone",
    LearnsTooLittle: "gradient steps left head where it was",
    LearnsMore: "a gradient step moved count, which is not in learned()",
    IgnoresPlaces: "read alone, without padding differ",
    ForgetsItsCaches: "read token by token through caches differ",
    DrawsGlobally: "from one padded batch",
}


@pytest.mark.parametrize("kind", BROKEN, ids=lambda kind: kind.__name__)
def test_what_breaks_the_contract_is_named(
    kind: type[Algorithm], base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(testing, "CONTEXTS", (None,))
    monkeypatch.setattr(testing, "check_docstring", lambda kind: None)
    with pytest.raises(AssertionError, match=re.escape(BROKEN[kind])):
        testing.check_algorithm(kind, base.name)


def test_a_docstring_without_an_equation_is_named() -> None:
    with pytest.raises(AssertionError, match="must hold the loss as an indented equation"):
        testing.check_docstring(Broken)


def test_what_is_no_algorithm_is_named() -> None:
    with pytest.raises(AssertionError, match="is not an algorithm: derive it from"):
        testing.check_algorithm(nn.Linear)  # type: ignore[arg-type]


def test_random_choices_that_are_not_the_game_s_are_named(base: Base) -> None:
    with pytest.raises(AssertionError, match="equal random streams said different things"):
        testing.check_acting(DrawsGlobally, base)


def test_state_that_is_not_kept_is_named(base: Base, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="resumed online ends elsewhere"):
        testing.check_resume(ForgetsItsAdapter, base, tmp_path, games=4)


def test_looking_at_weights_in_secret_is_named(base: Base, tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="resumed offline ends elsewhere"):
        testing.check_resume(LooksOnce, base, tmp_path, games=0)
