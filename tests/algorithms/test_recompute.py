"""Learning in less memory: the same loss and gradients, and fewer bytes held for them."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import Any

import pytest
import torch
from torch import Tensor

from baselines.core import algorithm as algorithm_module
from baselines.core.model import LM, Base
from baselines.core.registry import algorithm_names, find_algorithm
from baselines.core.tokens import stack
from baselines.testing import example_games, small_config, started


def loss_and_gradients(name: str, base: Base, *, recompute: bool = False) -> tuple[Tensor, Tensor, int]:
    """And the bytes held between the two, each storage once, weights apart."""
    kind = find_algorithm(name)
    made = kind(LM(base, recompute=recompute), small_config(kind), None)
    made.started()
    weights = {value.untyped_storage().data_ptr() for value in made.parameters()}
    held: dict[int, int] = {}

    def keep(tensor: Tensor) -> Any:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            held[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = stack(list(made.prepare(example_games())))
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        loss, _ = made.loss(batch)
    loss.backward()
    gradients = [p.grad.flatten() for p in made.learned().values() if p.grad is not None]
    return loss.detach(), torch.cat(gradients), sum(held.values())


@pytest.mark.parametrize("name", algorithm_names())
def test_layers_computed_again_have_the_same_gradients(name: str, base: Base) -> None:
    whole, again = loss_and_gradients(name, base), loss_and_gradients(name, base, recompute=True)
    torch.testing.assert_close(again[:2], whole[:2])


def test_layers_computed_again_hold_less(base: Base) -> None:
    # What stays is one state (32 numbers) a token and layer, and what is above the layers.
    whole, again = loss_and_gradients("ilql", base)[2], loss_and_gradients("ilql", base, recompute=True)[2]
    assert again < 0.6 * whole


def test_acting_and_learning_go_on_with_layers_computed_again(base: Base) -> None:
    kind = find_algorithm("bc")
    plain, again = (
        started(kind, base, small_config(kind)),
        kind(LM(base, recompute=True), small_config(kind), None),
    )
    again.lm.load_state_dict(plain.lm.state_dict())
    ids = torch.arange(1, 9)[None]
    for lm in (plain.lm, again.lm):
        lm.hidden(ids, torch.ones_like(ids), "policy").sum().backward()
    with torch.no_grad():
        seen = [lm.hidden(ids, torch.ones_like(ids), "policy", {}) for lm in (plain.lm, again.lm)]
    assert torch.equal(seen[0], seen[1])


@pytest.mark.parametrize("name", algorithm_names())
def test_outputs_made_some_states_at_a_time_are_those_made_at_once(
    name: str, base: Base, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loss_and_gradients(name, base)
    vocabulary = base.model.get_output_embeddings().weight.shape[0]
    monkeypatch.setattr(algorithm_module, "_OUTPUTS", 3 * vocabulary)
    torch.testing.assert_close(loss_and_gradients(name, base)[:2], whole[:2])


def test_outputs_over_the_vocabulary_are_not_held(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loss_and_gradients("bc", base)[2]
    vocabulary = base.model.get_output_embeddings().weight.shape[0]
    monkeypatch.setattr(algorithm_module, "_OUTPUTS", vocabulary)
    # At least the outputs of the 84 - many - distinct states of the example games: count those of 40.
    assert loss_and_gradients("bc", base)[2] < whole - 40 * vocabulary * 4


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library")
def test_memory_between_what_is_kept_goes_back_to_the_system() -> None:
    # In a process of its own: how much the C library gives back by itself hangs on what was there before.
    found = subprocess.run([sys.executable, "-c", FREES], capture_output=True, text=True, check=True)
    before, after = map(float, found.stdout.split())
    assert before - after > 30  # of 62


FREES = """
import torch
from baselines.core.model import give_back_freed

def resident_mib():
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("RssAnon"))

# Blocks of 64 KiB, too small for pages of their own, each followed by something small that stays.
kept, freed = [], []
for _ in range(1_000):
    freed.append(torch.ones(2**14))
    kept.append(torch.ones(16))
freed.clear()
print(resident_mib())
give_back_freed()
print(resident_mib())
"""
