"""A frozen base with adapters that do not disturb each other."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from baselines.core.algorithm import POLICY
from baselines.core.model import LM, Base, Head, load_base, mix_modules
from lmrlgym import data_path, weights_sha256

IDS = torch.tensor([[5, 9, 2, 7], [5, 9, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def scatter(lm: LM, name: str, seed: int) -> None:
    """Give adapter `name` weights that matter."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for weight in lm.adapter(name).values():
            weight.copy_(torch.randn(weight.shape, generator=generator) / 4)


@pytest.fixture
def two(base: Base) -> LM:
    """Two adapters, "policy" and "value"."""
    lm = LM(base)
    for number, name in enumerate((POLICY, "value")):
        lm.add_adapter(name, 4, number)
        scatter(lm, name, number)
    return lm


@torch.no_grad()
def hidden(lm: LM, adapter: str | None) -> Tensor:
    return lm.hidden(IDS.clone(), MASK, adapter)


def plain(base: Base) -> Tensor:
    """The bare base, as transformers runs it."""
    states: Tensor = base.model.get_decoder()(input_ids=IDS, attention_mask=MASK).last_hidden_state
    return states


def assert_close_on_text(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found[MASK > 0], expected[MASK > 0], atol=1e-4, rtol=1e-4)


# ---- adapters ----


def test_no_adapter_is_the_bare_base_whatever_the_adapters_are(two: LM, base: Base) -> None:
    hidden(two, "value")
    assert_close_on_text(hidden(two, None), plain(base))


def test_a_new_adapter_changes_nothing_and_no_random_stream(base: Base) -> None:
    lm = LM(base)
    torch.manual_seed(3)
    before = torch.get_rng_state()
    lm.add_adapter(POLICY, 4, 0)
    lm.add_adapter("value", 4, 1)
    assert torch.equal(torch.get_rng_state(), before)
    for name in (POLICY, "value"):
        assert torch.equal(hidden(lm, name), hidden(lm, None))


def test_switching_adapters_leaves_what_learns_as_it_is(two: LM) -> None:
    # peft.set_adapter would make the one it switches to learn and freeze the other
    for name in (POLICY, "value", None, POLICY):
        hidden(two, name)
        assert all(
            weight.requires_grad for part in (POLICY, "value") for weight in two.adapter(part).values()
        )
    learning = {key for key, weight in two.named_parameters() if weight.requires_grad}
    assert all("lora_" in key for key in learning)


def test_adapters_do_not_see_each_other(two: LM) -> None:
    policy, value = hidden(two, POLICY), hidden(two, "value")
    assert not torch.allclose(policy, value, atol=0.1)
    scatter(two, "value", 99)
    assert not torch.allclose(hidden(two, "value"), value, atol=0.1)
    assert torch.equal(hidden(two, POLICY), policy)


def test_a_loss_through_one_adapter_has_no_gradient_for_the_other(two: LM) -> None:
    two.hidden(IDS.clone(), MASK, "value").sum().backward()
    assert all(weight.grad is not None for weight in two.adapter("value").values())
    assert all(weight.grad is None for weight in two.adapter(POLICY).values())


def test_adapters_whose_names_begin_alike_are_two(two: LM) -> None:
    two.add_adapter("value_target", 4, 2)
    assert not {id(w) for w in two.adapter("value").values()} & {
        id(w) for w in two.adapter("value_target").values()
    }
    assert two.adapter("value").keys() == two.adapter("value_target").keys()


def test_equal_seeds_begin_equally_and_others_do_not(lm: LM) -> None:
    for name, seed in (("one", 5), ("same", 5), ("other", 6)):
        lm.add_adapter(name, 4, seed)
    one, same, other = (lm.adapter(name) for name in ("one", "same", "other"))
    assert all(torch.equal(one[key], same[key]) for key in one)
    assert any(not torch.equal(one[key], other[key]) for key in one)


def test_mixing_moves_the_target_by_a_share_and_copying_all_the_way(two: LM) -> None:
    with torch.no_grad():
        for source, target in zip(two.adapter(POLICY).values(), two.adapter("value").values(), strict=True):
            source.fill_(3.0)
            target.fill_(1.0)
    two.mix_adapter(POLICY, "value", 0.25)
    # 1 + .25 (3 - 1)
    assert all((weight == 1.5).all() for weight in two.adapter("value").values())
    two.copy_adapter(POLICY, "value")
    assert all((weight == 3.0).all() for part in (POLICY, "value") for weight in two.adapter(part).values())


def test_two_models_over_one_base_share_nothing(base: Base) -> None:
    one, other = LM(base), LM(base)
    one.add_adapter(POLICY, 4, 0)
    scatter(one, POLICY, 0)
    assert not other.adapter(POLICY)
    assert_close_on_text(hidden(other, None), plain(base))


def test_dropout_stays_off_while_learning(base_folder: Path, tmp_path: Path) -> None:
    for file in base_folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "attention_dropout": 0.5}))
    lm = LM(load_base(str(tmp_path)))
    lm.add_adapter(POLICY, 4, 0)
    assert lm.model.config.attention_dropout == 0.5
    assert torch.equal(hidden(lm, POLICY), hidden(lm, POLICY))
    lm.train()
    assert torch.equal(hidden(lm, POLICY), hidden(lm, POLICY))


# ---- reading on ----


@torch.no_grad()
@pytest.mark.parametrize("name", [None, POLICY])
def test_left_padded_text_read_on_by_steps_is_as_if_each_were_read_alone(two: LM, name: str | None) -> None:
    ids, mask = IDS.roll(1, dims=1), MASK.flip(1)  # row 1 now begins with padding
    ids[0] = IDS[0]
    caches: dict[str, object] = {}
    for end in range(1, 5):
        states = two.hidden(ids[:, end - 1 : end], mask[:, :end], name, caches)  # type: ignore[arg-type]
    for row in range(2):
        text = ids[row][mask[row] > 0][None]
        expected = two.hidden(text, torch.ones_like(text), name)[0, -1]
        torch.testing.assert_close(states[row, -1], expected, atol=1e-4, rtol=1e-4)


@torch.no_grad()
def test_each_adapter_reads_on_through_its_own_cache(two: LM) -> None:
    mask = torch.ones(1, 4, dtype=torch.int64)
    caches: dict[str, object] = {}
    for end in range(1, 5):
        for name in (POLICY, "value"):
            states = two.hidden(IDS[:1, end - 1 : end], mask[:, :end], name, caches)  # type: ignore[arg-type]
    torch.testing.assert_close(states[0, -1], hidden(two, "value")[0, -1], atol=1e-4, rtol=1e-4)


# ---- files ----


def test_an_adapter_comes_back_as_it_was(two: LM, base: Base, tmp_path: Path) -> None:
    two.save_adapter("value", tmp_path)
    other = LM(base)
    other.add_adapter(POLICY, 4, 7)
    other.load_adapter(POLICY, tmp_path)
    assert torch.equal(hidden(other, POLICY), hidden(two, "value"))


def test_an_adapter_of_another_base_is_refused_with_both_shown(two: LM, base: Base, tmp_path: Path) -> None:
    two.save_adapter(POLICY, tmp_path)
    changed = LM(base._replace(name="another", sha256="f" * 64))
    changed.add_adapter(POLICY, 4, 0)
    both = f"{re.escape(base.name)} .{base.sha256[:12]}.*another .{'f' * 12}"
    with pytest.raises(ValueError, match=both):
        changed.load_adapter(POLICY, tmp_path)


def test_an_adapter_of_another_rank_is_refused(two: LM, base: Base, tmp_path: Path) -> None:
    two.save_adapter(POLICY, tmp_path)
    wider = LM(base)
    wider.add_adapter(POLICY, 8, 0)
    with pytest.raises(ValueError, match="other shapes than adapter 'policy'"):
        wider.load_adapter(POLICY, tmp_path)


def test_a_folder_without_an_adapter_is_refused(two: LM, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(f"{tmp_path} holds no adapter")):
        two.load_adapter(POLICY, tmp_path)


def test_a_base_that_is_not_there_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no base model") as found:
        load_base(str(tmp_path / "nowhere"))
    assert "\n" not in str(found.value)
    assert "nowhere" in str(found.value)


def test_the_sha256_of_a_base_depends_on_its_weights_and_not_on_the_loading_type(
    base_folder: Path, base: Base
) -> None:
    narrow = load_base(str(base_folder), dtype=torch.bfloat16)
    assert narrow.model.dtype == torch.bfloat16
    assert narrow.sha256 == base.sha256
    with torch.no_grad():
        next(iter(narrow.model.parameters()))[3, 3] += 1
    assert weights_sha256(narrow.model) != base.sha256


def test_the_shipped_base_is_the_one_its_card_says() -> None:
    card = json.loads((data_path("models", "tiny-v1") / "card.json").read_text())
    assert load_base("tiny-v1").sha256 == card["weights_sha256"]


# ---- heads ----


def test_a_head_begins_constant_and_disturbs_no_random_stream() -> None:
    torch.manual_seed(3)
    before = torch.get_rng_state()
    head = Head(8, 5, -1.5, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert (head(torch.randn(2, 3, 8)) == -1.5).all()
    assert head(torch.randn(2, 3, 8, dtype=torch.bfloat16)).dtype == torch.float32


def test_heads_with_equal_seeds_are_equal_and_others_are_not() -> None:
    one, same, other = Head(8, 5, 0.0, 1), Head(8, 5, 0.0, 1), Head(8, 5, 0.0, 2)
    assert torch.equal(one.first.weight, same.first.weight)
    assert not torch.equal(one.first.weight, other.first.weight)


def test_a_head_is_two_layers_with_a_relu_between() -> None:
    head = Head(2, 1, 0.5, seed=0)
    with torch.no_grad():
        head.first.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        head.first.bias.zero_()
        head.second.weight.copy_(torch.tensor([[2.0, 3.0]]))
    # relu(4, -1) = (4, 0);  2 * 4 + 3 * 0 + .5
    assert head(torch.tensor([4.0, -1.0])).item() == pytest.approx(8.5)


def test_a_head_through_an_embedding_treats_equal_tokens_alike() -> None:
    embedding = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]])
    head = Head(2, 3, -1.5, seed=0, embedding=embedding)
    hidden = torch.randn(4, 2, generator=torch.Generator().manual_seed(1))
    assert (head(hidden) == -1.5).all()
    head(hidden)[:, 0].sum().backward()
    assert {name for name, _ in head.named_parameters()} == {
        "first.weight",
        "first.bias",
        "second.weight",
        "bias",
    }
    with torch.no_grad():
        head.second.weight += 0.1 * head.second.weight.grad
    values = head(hidden)
    assert torch.equal(values[:, 0], values[:, 2])
    assert (values[:, 0] >= -1.5).all()
    assert (values[:, 0] > -1.5).any()
    assert (values[:, 1] == -1.5).all()
    assert torch.equal(head.embedding, embedding)


def test_modules_mix_by_a_share() -> None:
    source, target = nn.Linear(2, 1), nn.Linear(2, 1)
    for module, value in ((source, 5.0), (target, 1.0)):
        for parameter in module.parameters():
            nn.init.constant_(parameter, value)
    mix_modules(source, target, 0.1)
    # 1 + .1 (5 - 1)
    assert all(math.isclose(x, 1.4, rel_tol=1e-6) for p in target.parameters() for x in p.flatten().tolist())
