"""Sampling: from the distribution asked for, each game from its own stream, exact log-probabilities."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from numpy.random import Generator
from torch import Tensor

from baselines.core import generate
from baselines.core.algorithm import POLICY
from baselines.core.generate import Sampled, Sampler, left_padded
from baselines.core.model import LM, Base, Caches
from baselines.core.policy import LMPolicy
from baselines.core.tokens import Encoder
from lmrlgym import Turn

CPU = torch.device("cpu")
STOP = 3
LOGITS = torch.tensor(
    [
        [0.0, 1.0, 2.0, -1.0],
        [1.5, 0.0, -0.5, 0.5],
        [0.3, 0.3, 0.3, 0.3],
        [0.0, 0.0, 0.0, 0.0],
    ]
)
"""What follows each of four tokens; the last stops."""


class Table:
    """Logits that depend on the last token only; counts how many rows were asked for."""

    def __init__(self) -> None:
        self.rows = 0

    def __call__(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        self.rows += len(ids)
        return LOGITS[ids[:, -1]]


def sampler(temperature: float = 1.0, longest: int = 1, table: Table | None = None) -> Sampler:
    return Sampler(table or Table(), frozenset({STOP}), longest, temperature, CPU)


def streams(count: int, first: int = 0) -> list[Generator]:
    return [np.random.default_rng(first + i) for i in range(count)]


def softmax(logits: Sequence[float], temperature: float = 1.0) -> np.ndarray:
    weights: np.ndarray = np.exp(np.array(logits) / temperature)
    shares: np.ndarray = weights / weights.sum()
    return shares


# ---- the distribution ----


@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_samples_follow_the_softmax(temperature: float) -> None:
    count = 8_000
    said = sampler(temperature).sample([(0,)] * count, streams(count))
    counts = np.bincount([each.tokens[0] for each in said], minlength=4)
    expected = count * softmax(LOGITS[0].tolist(), temperature)
    # chi-square with 3 degrees of freedom exceeds 21.1 once in 10,000
    assert ((counts - expected) ** 2 / expected).sum() < 21.1


def test_a_later_token_follows_the_softmax_after_the_one_before_it() -> None:
    count = 8_000
    said = sampler(longest=2).sample([(0,)] * count, streams(count))
    seconds = [each.tokens[1] for each in said if each.tokens[0] == 1]
    expected = len(seconds) * softmax(LOGITS[1].tolist())
    counts = np.bincount(seconds, minlength=4)
    assert ((counts - expected) ** 2 / expected).sum() < 21.1


def test_log_probs_are_those_of_the_distribution_drawn_from() -> None:
    for each in sampler(0.5, longest=6).sample([(0,)] * 50, streams(50)):
        before = (0, *each.tokens)
        expected = [np.log(softmax(LOGITS[b].tolist(), 0.5)[t]) for b, t in zip(before, each.tokens)]  # noqa: B905
        assert each.log_probs == pytest.approx(expected, abs=1e-5)


def test_greedy_takes_the_likeliest_and_draws_nothing() -> None:
    rngs = streams(1)
    # 0 -> 2 (logit 2); 2 -> 0 (all equal: the first)
    assert sampler(0.0, longest=4).sample([(0,)], rngs)[0].tokens == (2, 0, 2, 0)
    assert rngs[0].random() == np.random.default_rng(0).random()


def test_a_token_without_any_probability_is_never_said() -> None:
    def logits(ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        return torch.tensor([[-torch.inf, 0.0, 0.0, -torch.inf]]).expand(len(ids), -1)

    said = Sampler(logits, frozenset(), 1, 1.0, CPU).sample([(0,)] * 500, streams(500))
    assert {each.tokens[0] for each in said} == {1, 2}


# ---- where it ends ----


def test_an_utterance_ends_with_its_first_stop_or_at_the_longest() -> None:
    said = sampler(longest=5).sample([(0,)] * 300, streams(300))
    assert {len(each.tokens) for each in said} == {1, 2, 3, 4, 5}
    for each in said:
        assert STOP not in each.tokens[:-1]
        assert len(each.tokens) == 5 or each.tokens[-1] == STOP
        assert len(each.log_probs) == len(each.tokens)


def test_nothing_to_continue_is_nothing_said() -> None:
    assert sampler().sample([], []) == []


# ---- memory and neighbours ----


def test_what_is_remembered_changes_nothing_and_is_not_computed_again() -> None:
    table = Table()
    one = sampler(longest=4, table=table)
    first = one.sample([(0,)] * 40, streams(40))
    asked = table.rows
    assert one.sample([(0,)] * 40, streams(40)) == first
    assert table.rows == asked
    assert sampler(longest=4).sample([(0,)] * 40, streams(40)) == first


def test_without_room_for_memory_the_same_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = sampler(longest=4).sample([(0,)] * 40, streams(40))
    monkeypatch.setattr(generate, "_MEMORY_BYTES", 0)
    table = Table()
    forgetful = sampler(longest=4, table=table)
    assert forgetful.sample([(0,)] * 40, streams(40)) == expected
    asked = table.rows
    assert forgetful.sample([(0,)] * 40, streams(40)) == expected
    assert table.rows == 2 * asked


# ---- with a model ----


@pytest.fixture(scope="module")
def adapted(base: Base) -> LM:
    lm = LM(base)
    lm.add_adapter(POLICY, 4, 0)
    with torch.no_grad():
        for weight in lm.adapter(POLICY).values():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)) / 4)
    return lm


def of_model(lm: LM, longest: int) -> Sampler:
    def next_logits(ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        return lm.read(lm.hidden(ids, mask, POLICY, caches)[:, -1])

    # many stops, so that games end at different lengths
    return Sampler(next_logits, frozenset(range(0, lm.vocabulary, 9)), longest, 1.0, CPU)


PROMPTS = [(5, 9, 2), (7,), (5, 9, 2), (1, 2, 3, 4, 5, 6, 7, 8), (5, 9), (8, 8, 8)]


@torch.no_grad()
def likelihood(lm: LM, prompt: tuple[int, ...], said: Sampled) -> list[float]:
    """log-probabilities of what was said, by one pass over the whole text."""
    ids = torch.tensor([[*prompt, *said.tokens]])
    logits = lm.read(lm.hidden(ids, torch.ones_like(ids), POLICY))[0].log_softmax(dim=-1)
    at = range(len(prompt) - 1, len(prompt) - 1 + len(said.tokens))
    return [float(logits[i, token]) for i, token in zip(at, said.tokens, strict=True)]


def test_log_probs_of_acting_are_those_of_learning(adapted: LM) -> None:
    said = of_model(adapted, 8).sample(PROMPTS, streams(len(PROMPTS)))
    assert len({len(each.tokens) for each in said}) > 2
    for prompt, each in zip(PROMPTS, said, strict=True):
        assert each.log_probs == pytest.approx(likelihood(adapted, prompt, each), abs=1e-4)


def test_a_game_says_the_same_alone_and_among_others(adapted: LM) -> None:
    together = of_model(adapted, 8).sample(PROMPTS, streams(len(PROMPTS)))
    for i, prompt in enumerate(PROMPTS):
        alone = of_model(adapted, 8).sample([prompt], [np.random.default_rng(i)])[0]
        assert alone.tokens == together[i].tokens
        assert alone.log_probs == pytest.approx(together[i].log_probs, abs=1e-4)


def test_a_second_utterance_goes_on_from_remembered_prefixes(adapted: LM) -> None:
    # the second call knows the first tokens' scores but has no caches for them
    one = of_model(adapted, 8)
    one.sample([PROMPTS[0]], streams(1))
    again = one.sample(PROMPTS, streams(len(PROMPTS), first=50))
    for prompt, each in zip(PROMPTS, again, strict=True):
        assert each.log_probs == pytest.approx(likelihood(adapted, prompt, each), abs=1e-4)


# ---- rows that last ----


ANSWERS = 40
"""Answers are made of the first tokens; every base has so many."""


class Counted:
    """The model's scores; counts the tokens that are read, padding apart, and keeps the shapes."""

    def __init__(self, lm: LM) -> None:
        self.lm = lm
        self.tokens = 0
        self.shapes: set[tuple[int, ...]] = set()

    def __call__(self, ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        self.tokens += int(mask[:, -ids.shape[1] :].sum())
        self.shapes.add(tuple(ids.shape))
        return self.lm.read(self.lm.hidden(ids, mask, POLICY, caches)[:, -1])


def sampler_of(lm: LM, width: int, next_logits: Counted | None = None) -> Sampler:
    stops = frozenset(range(0, lm.vocabulary, 9))
    return Sampler(next_logits or Counted(lm), stops, 3, 1.0, CPU, width=width, remembers=False)


def talk(one: Sampler, games: Sequence[int], turns: int, context: int = 10_000) -> list[list[Sampled]]:
    """Games (by seed; -1 is an idle position) that last `turns` turns; what each said. An answer has
    one to thirteen tokens, by the seed; at most `context` tokens are seen."""
    worlds = [np.random.default_rng([seed + 1, 7]) for seed in games]
    rngs = [np.random.default_rng(seed + 1) for seed in games]
    texts: list[tuple[int, ...]] = [(5, 9, 2) if seed >= 0 else () for seed in games]
    said: list[list[Sampled]] = [[] for _ in games]
    for _ in range(turns):
        prompts = [text[-context:] for text in texts]
        for i, each in enumerate(one.sample(prompts, rngs)):
            if texts[i]:
                said[i].append(each)
                answer = worlds[i].integers(1, ANSWERS, size=int(worlds[i].integers(1, 14)))
                texts[i] = (*texts[i], *each.tokens, *answer.tolist())
    return said


def texts_of(seed: int, said: Sequence[Sampled]) -> list[tuple[int, ...]]:
    """The whole text before each utterance of a game of `talk`."""
    world = np.random.default_rng([seed + 1, 7])
    text: tuple[int, ...] = (5, 9, 2)
    before = []
    for each in said:
        before.append(text)
        answer = world.integers(1, ANSWERS, size=int(world.integers(1, 14)))
        text = (*text, *each.tokens, *answer.tolist())
    return before


@torch.no_grad()
def test_cached_scores_are_those_of_the_whole_text_over_many_turns_and_games(adapted: LM) -> None:
    # the same rows play two sets of games one after the other
    one = sampler_of(adapted, 3)
    for games in ([0, 1, 2], [4, -1, 5]):
        for seed, said in zip(games, talk(one, games, 20), strict=True):
            for before, each in list(zip(texts_of(seed, said), said, strict=True))[1::9]:
                assert each.log_probs == pytest.approx(likelihood(adapted, before, each), abs=1e-4)


def test_a_seed_gives_one_game_whatever_its_row_and_neighbours(adapted: LM) -> None:
    alone = talk(sampler_of(adapted, 4), [3], 7)[0]
    assert len({each.tokens for each in alone}) > 3
    many = sampler_of(adapted, 4)
    # games before it in its row, games beside it, and a row of another pass
    assert talk(many, [1, -1, 3, 9], 7)[2] == alone
    assert talk(many, [3, 3, 5, 7, 8, 3], 7)[5] == alone
    assert talk(many, [2, 3, 4, -1, 3], 7)[1::3] == [alone, alone]


def test_only_what_is_new_is_read(adapted: LM) -> None:
    counted = Counted(adapted)
    games = [1, 2, 3]
    said = talk(sampler_of(adapted, 3, counted), games, 6)
    # every token but each game's last utterance's last one and last answer, once
    expected = 0
    for seed, utterances in zip(games, said, strict=True):
        expected += len(texts_of(seed, utterances)[-1]) + len(utterances[-1].tokens) - 1
    assert counted.tokens == expected
    assert counted.shapes == {(3, 8), (3, 1)}


@torch.no_grad()
def test_a_sliding_window_is_read_as_if_there_were_nothing_before_it(adapted: LM) -> None:
    said = talk(sampler_of(adapted, 2), [1, 2], 9, context=30)
    for seed, utterances in zip([1, 2], said, strict=True):
        for before, each in list(zip(texts_of(seed, utterances), utterances, strict=True))[2::3]:
            expected = likelihood(adapted, before[-30:], each)
            assert each.log_probs == pytest.approx(expected, abs=1e-4)


def test_a_stream_is_left_where_its_draws_end(adapted: LM) -> None:
    for seed in range(8):
        used, expected = np.random.default_rng(seed), np.random.default_rng(seed)
        said = sampler(longest=5).sample([(0,)], [used])[0]
        expected.random(len(said.tokens))
        assert used.random() == expected.random()


def test_a_width_below_one_is_refused(adapted: LM) -> None:
    with pytest.raises(ValueError, match="width must be None or at least 1, got 0"):
        sampler_of(adapted, 0)


def test_texts_are_padded_on_the_left() -> None:
    ids, mask = left_padded([(5, 6), (7, 8, 9)], CPU)
    assert ids.tolist() == [[0, 5, 6], [7, 8, 9]]
    assert mask.tolist() == [[0, 1, 1], [1, 1, 1]]


# ---- at the table ----


def player(lm: LM, temperature: float = 1.0) -> LMPolicy:
    def next_logits(ids: Tensor, mask: Tensor, caches: Caches) -> Tensor:
        return lm.read(lm.hidden(ids, mask, POLICY, caches)[:, -1])

    return LMPolicy(next_logits, Encoder(lm.tokenizer, None), max_new_tokens=6, temperature=temperature)


HISTORY = (Turn("room 1 of 8\n", False),)


def test_idle_positions_say_nothing_and_the_others_keep_theirs(adapted: LM) -> None:
    rngs = streams(4)
    said = player(adapted).act([(), HISTORY, (), HISTORY], rngs)
    assert [bool(action.tokens) for action in said] == [False, True, False, True]
    assert [said[0].text, said[2].text] == ["", ""]
    alone = player(adapted).act([HISTORY], streams(1, first=1))[0]
    assert said[1][:2] == alone[:2]  # log-probabilities differ in the last digit between widths
    assert rngs[0].random() == np.random.default_rng(0).random()
    assert player(adapted).act([(), ()], streams(2)) == [said[0], said[0]]


def test_what_is_said_carries_its_ids_and_their_log_probs(adapted: LM) -> None:
    policy = player(adapted)
    for action in policy.act([HISTORY] * 20, streams(20)):
        assert len(action.tokens) == len(action.log_probs) > 0
        assert action.text == adapted.tokenizer.decode(list(action.tokens))
        assert action.text.count("\n") <= 1


def test_a_greedy_player_repeats_itself_whatever_the_streams(adapted: LM) -> None:
    assert len({action.text for action in player(adapted, 0.0).act([HISTORY] * 5, streams(5))}) == 1
