"""The checks of a base see each thing broken that they look for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from baselines import testing
from baselines.core.algorithm import Algorithm
from baselines.core.doctor import Examination, Played, check_marks, check_masks, check_text, check_tokens
from baselines.core.model import LM
from baselines.core.tokens import Encoder, Tokens
from lmrlgym import Trajectory, Turn

torch.set_num_threads(1)
# Of the newest observation, of a sliding window, of everything.
ENVS = ("lmrlgym/Maze-v0", "lmrlgym/MazePartial-v0", "lmrlgym/Wordle-v0")


BASE = "tiny-v1"


def examined(env_id: str = "lmrlgym/Wordle-v0") -> Examination:
    found = Examination(BASE, [env_id])
    found.play()
    return found


@pytest.mark.parametrize("env_id", ENVS)
def test_a_sound_base_passes_every_check(env_id: str) -> None:
    found = examined(env_id)
    # 2 games of 2 utterances of at most 8 tokens, a scripted one of at most 24 and that one respelt.
    assert int(found.tokens().split()[0]) in range(6, 53)
    assert int(found.masks().split()[0]) > 6
    assert "adapter on" in found.adapters()
    assert int(found.log_probs().split()[0]) in range(2, 17)


def test_the_window_of_the_partial_maze_has_moved() -> None:
    game = examined("lmrlgym/MazePartial-v0")._scripted["lmrlgym/MazePartial-v0"].game
    assert len(game.turns) > 40  # turns that the agent sees


# ---- tokens ----


def encoder_of(context: int | None = None) -> Encoder:
    return Encoder(Examination(BASE, []).base.tokenizer, context)


def trained(texts: list[str], normaliser: normalizers.Normalizer | None = None) -> PreTrainedTokenizerFast:
    """A byte-level BPE without any rule where tokens end."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    raw.decoder = decoders.ByteLevel()
    if normaliser is not None:
        raw.normalizer = normaliser
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    raw.train_from_iterator(
        texts, trainers.BpeTrainer(vocab_size=300, initial_alphabet=alphabet, show_progress=False)
    )
    return PreTrainedTokenizerFast(tokenizer_object=raw)


GAME = testing.example_games()[1]
TEXT = "".join(turn.text for turn in GAME.turns)


def test_a_tokenizer_that_merges_across_turns_is_seen() -> None:
    merging = trained([TEXT] * 50)
    assert any("\n" in merging.decode([i]).rstrip("\n") for i in range(len(merging)))
    with pytest.raises(AssertionError, match="merges across turns: the text has the token"):
        check_text(Encoder(merging, None), GAME)


def test_a_tokenizer_that_changes_the_text_is_seen() -> None:
    shouting = trained(["x\n"], normalizers.Replace("go", "GO"))
    with pytest.raises(AssertionError, match=r"spell 'GO left.*where the game says 'go left"):
        check_text(Encoder(shouting, None), Trajectory("", {}, (Turn("go left\n", True),), True, False))


def test_a_mark_that_becomes_a_special_token_is_seen() -> None:
    tokenizer = trained(["x\n"])
    tokenizer.add_special_tokens({"eos_token": "<|end|>"})
    with pytest.raises(AssertionError, match=r"'<\|end\|>' becomes the special token"):
        check_marks(Encoder(tokenizer, None))
    tokenizer.split_special_tokens = True
    check_marks(Encoder(tokenizer, None))


def test_acting_on_a_token_that_learning_does_not_see_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Encoder.prompt
    monkeypatch.setattr(Encoder, "prompt", lambda self, history: (1, *whole(self, history)))
    with pytest.raises(AssertionError, match=r"Wordle-v0: utterance 0 .* was said after \d+ tokens"):
        examined().tokens()


def test_learning_from_text_encoded_again_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Encoder.trajectory

    def encoded_again(self: Encoder, game: Trajectory) -> Tokens:
        turns = tuple(turn._replace(tokens=()) for turn in game.turns)
        return whole(self, replace(game, turns=turns))

    monkeypatch.setattr(Encoder, "trajectory", encoded_again)
    with pytest.raises(AssertionError, match="the learner reads no text"):
        examined().tokens()


def test_a_game_that_asked_more_often_than_was_said_is_seen() -> None:
    played = examined()._sampled["lmrlgym/Wordle-v0"][0]
    with pytest.raises(AssertionError, match="was asked 3 times and said 2"):
        check_tokens(encoder_of(), played._replace(prompts=(*played.prompts, (1,))))


# ---- masks ----


def shifted(game: Tokens) -> Tokens:
    return replace(game, is_action=game.is_action.roll(1))


def all_marked(game: Tokens) -> Tokens:
    return replace(game, is_action=torch.ones_like(game.is_action))


def one_more(game: Tokens) -> Tokens:
    marked = game.is_action.clone()
    marked[-1] = True
    return replace(game, is_action=marked)


def paid_first(game: Tokens) -> Tokens:
    return replace(game, reward=game.reward.roll(-1))


def paid_in_advance(game: Tokens) -> Tokens:
    reward = game.reward.clone()
    reward[0] = 1.0
    return replace(game, reward=reward)


def other_window(game: Tokens) -> Tokens:
    """The last action is learned in a window that has lost its first token."""
    mask = game.mask.clone()
    first = int((mask == mask[-1]).nonzero()[0])
    mask[first] -= 1
    return replace(game, mask=mask)


@pytest.mark.parametrize(
    ("context", "broken", "complaint"),
    [
        (1, shifted, "the tokens marked as the agent's are"),
        (1, all_marked, "the tokens marked as the agent's are"),
        (None, one_more, "1 tokens are marked that the agent did not say"),
        (1, paid_first, "earned -1, its tokens earn"),
        (1, paid_in_advance, "tokens that the agent did not say are paid"),
        (1, other_window, "is learned after .* which is not what the agent saw"),
    ],
)
def test_a_wrong_mask_is_seen(
    monkeypatch: pytest.MonkeyPatch,
    context: int | None,
    broken: Callable[[Tokens], Tokens],
    complaint: str,
) -> None:
    encoder = encoder_of(context)
    # Four wrong moves, the last of which wins: 3 earn -1.
    game = testing.example_games()[7]
    # "go right\n", "go up\n", ... are one utterance each; all tokens of all of them are counted.
    said = [encoder.turn(turn) for turn in game.turns if turn.is_action]
    assert check_masks(encoder, game) == sum(map(len, said))
    whole = Encoder.trajectory
    monkeypatch.setattr(Encoder, "trajectory", lambda self, game: broken(whole(self, game)))
    with pytest.raises(AssertionError, match=complaint):
        check_masks(encoder, game)


# ---- adapters and probabilities ----


def test_an_adapter_that_leaks_into_the_base_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LM._use
    monkeypatch.setattr(LM, "_use", lambda self, adapter: whole(self, "policy" if self.peft else None))
    with pytest.raises(AssertionError, match="with the adapter off, logits are up to"):
        examined().adapters()


def test_an_adapter_that_is_never_read_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LM._use
    monkeypatch.setattr(LM, "_use", lambda self, adapter: whole(self, None))
    with pytest.raises(AssertionError, match="changes the logits by 0 at most: it is not read"):
        examined().adapters()


def test_weights_that_acting_leaves_changed_are_seen() -> None:
    found = examined()
    with torch.no_grad():
        layers = found.algorithm.lm._lora_layers
        layers[0].get_base_layer().weight += 0.1  # as a merge that is not undone
    with pytest.raises(AssertionError, match="with the adapter off"):
        found.adapters()


def test_a_new_adapter_that_is_not_neutral_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = LM.add_adapter

    def busy(self: LM, name: str, rank: int, seed: int) -> None:
        whole(self, name, rank, seed)
        for weight in self.adapter(name).values():
            weight.data += 0.1

    monkeypatch.setattr(LM, "add_adapter", busy)
    with pytest.raises(AssertionError, match="a new adapter changes the logits"):
        examined().adapters()


def test_acting_with_other_probabilities_than_the_learners_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Algorithm.next_logits
    monkeypatch.setattr(
        Algorithm, "next_logits", lambda self, ids, mask, caches: whole(self, ids, mask, caches) / 1.1
    )
    with pytest.raises(AssertionError, match=r"Wordle-v0: the learner's log-probability of a token is"):
        examined().log_probs()


def test_other_tokens_than_were_sampled_are_seen() -> None:
    found = examined()
    encoder = encoder_of()
    played = next(each for each in found._sampled["lmrlgym/Wordle-v0"] if each.game.turns[1].tokens)
    check_tokens(encoder, played)
    first, *rest = played.sampled
    changed = first._replace(tokens=(*first.tokens[1:], first.tokens[0]))
    text = encoder.said(*changed).text
    turns = (played.game.turns[0], played.game.turns[1]._replace(text=text), *played.game.turns[2:])
    with pytest.raises(AssertionError, match="was sampled as the tokens"):
        check_tokens(encoder, Played(replace(played.game, turns=turns), played.prompts, (changed, *rest)))


def test_a_base_that_is_not_there_is_a_wrong_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no base model"):
        Examination(str(tmp_path), ["lmrlgym/Maze-v0"])
