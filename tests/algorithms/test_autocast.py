"""Learning with matrices multiplied in bfloat16: nearly the same loss, acting untouched."""

from __future__ import annotations

import pytest
import torch

from baselines.bc import BC
from baselines.core.model import LM, Base, load_base
from baselines.core.tokens import stack
from lmrlgym import Dataset


@pytest.fixture(scope="module")
def base() -> Base:
    return load_base()


def _loss_and_gradient(base: Base, *, autocast: bool) -> tuple[float, torch.Tensor]:
    algorithm = BC(LM(base, autocast=autocast), BC.Config(), context=1)
    loss, _ = algorithm.loss(stack(list(algorithm.prepare(Dataset.load("maze/mixed-v0")[:16]))))
    loss.backward()
    gradients = [p.grad.flatten() for p in algorithm.learned().values() if p.grad is not None]
    return loss.item(), torch.cat(gradients)


def test_the_loss_and_its_gradient_are_nearly_those_of_float32(base: Base):
    exact, exact_gradient = _loss_and_gradient(base, autocast=False)
    rough, rough_gradient = _loss_and_gradient(base, autocast=True)
    assert rough != exact
    assert rough == pytest.approx(exact, rel=0.02)
    assert torch.cosine_similarity(exact_gradient, rough_gradient, dim=0) > 0.99


def test_states_stay_float32_and_acting_is_exact(base: Base):
    exact, rough = LM(base), LM(base, autocast=True)
    ids = torch.arange(1, 9)[None]
    mask = torch.ones_like(ids)
    assert rough.hidden(ids, mask, None).dtype == torch.float32
    acted = [lm.hidden(ids, mask, None, {}) for lm in (exact, rough)]
    torch.testing.assert_close(acted[0], acted[1], atol=1e-5, rtol=1e-5)
