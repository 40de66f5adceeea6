"""A Hugging Face model as a player, with a tiny randomly initialised one."""

from __future__ import annotations

import math

import numpy as np
import pytest

import lmrlgym
from lmrlgym.chat import first_line
from lmrlgym.policies.language_model import LanguageModelPolicy
from lmrlgym.types import Turn
from tests.tiny_models import save_model

torch = pytest.importorskip("torch", reason="the extra `baselines` is not installed")
transformers = pytest.importorskip("transformers", reason="the extra `baselines` is not installed")

CHAT_TEMPLATE = (
    "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }} {% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
NO_SYSTEM = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
HISTORY = (Turn("there is a wall.\n", False), Turn("left\n", True), Turn("no wall.\n", False))
WALK = (Turn("wall.\n", False),)


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def chat(tmp_path_factory):
    return save_model(tmp_path_factory.mktemp("chat"), CHAT_TEMPLATE)


def rngs(count, seed=5):
    return [np.random.default_rng(seed + i) for i in range(count)]


def reference_log_probs(folder, prompt, tokens, temperature=1.0):
    """(len(tokens), V) log-probabilities after `prompt`: one forward pass, no padding, no cache."""
    model = transformers.AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = [*tokenizer(prompt).input_ids, *tokens]
    with torch.inference_mode():
        logits = model(input_ids=torch.tensor([ids])).logits[0] / temperature
    return logits.log_softmax(-1)[len(ids) - len(tokens) - 1 : -1]


def ids_of(folder, text):
    return transformers.AutoTokenizer.from_pretrained(folder)(text).input_ids


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ("move left\n", "move left\n"),
        ("\n\n  move left  \nand then", "move left\n"),
        ("<think>walls?\nyes</think>\n\nmove up", "move up\n"),
        ("", "\n"),
    ],
)
def test_only_the_first_line_of_an_answer_is_said(raw, line):
    assert first_line(raw) == line


def test_greedy_play_takes_the_likeliest_token_whatever_the_padding(plain):
    # The two prompts differ in length, so one of them is padded.
    actions = LanguageModelPolicy(plain, max_tokens=1).act([HISTORY, WALK], rngs(2))
    for history, action in zip((HISTORY, WALK), actions, strict=True):
        rows = reference_log_probs(plain, "".join(turn.text for turn in history), [0])
        assert ids_of(plain, action.text.removesuffix("\n")) == [int(rows[0].argmax())]


@pytest.mark.parametrize("temperature", [0.7, 1.0])
def test_sampled_ids_spell_the_text_and_carry_the_log_probabilities_they_were_drawn_with(plain, temperature):
    policy = LanguageModelPolicy(plain, temperature=temperature, max_tokens=60)
    spelt = [action for action in policy.act([HISTORY] * 32, rngs(32)) if action.tokens]
    assert spelt, "no utterance of 32 reached its newline"
    prompt = "".join(turn.text for turn in HISTORY)
    for action in spelt:
        assert ids_of(plain, action.text) == list(action.tokens)
        rows = reference_log_probs(plain, prompt, action.tokens, temperature)
        expected = rows[range(len(action.tokens)), list(action.tokens)].tolist()
        assert action.log_probs == pytest.approx(expected, abs=1e-4)
        assert action.log_prob == pytest.approx(sum(expected), abs=1e-3)


def test_a_text_that_was_cut_or_trimmed_has_no_ids(plain):
    # Two tokens are no whole line: the newline at the end was not sampled.
    said = LanguageModelPolicy(plain, max_tokens=2, temperature=1.0).act([HISTORY] * 8, rngs(8))
    cut = [a for a in said if len(a.text) == 3]
    assert cut
    assert all(a.tokens == () and a.log_probs == () and a.log_prob is None for a in cut)


def test_a_game_draws_from_its_own_generator_only(plain):
    policy = LanguageModelPolicy(plain, temperature=1.0, max_tokens=20)
    alone = policy.act([HISTORY], rngs(1))[0].text
    beside = policy.act([HISTORY, WALK, ()], [*rngs(1), *rngs(2, seed=77)])
    assert beside[0].text == alone
    assert beside[2].text == ""


def test_each_game_takes_as_many_draws_as_it_says_tokens(plain):
    policy = LanguageModelPolicy(plain, temperature=1.0, max_tokens=60)
    generators = rngs(32)
    actions = policy.act([HISTORY, WALK] * 16, generators)
    spelt = [game for game, action in enumerate(actions) if action.tokens]
    assert spelt
    for game in spelt:
        fresh = rngs(32)[game]
        fresh.random(len(actions[game].tokens))
        assert fresh.random() == generators[game].random()


def test_what_was_played_is_counted_and_padding_is_not(plain):
    policy = LanguageModelPolicy(plain, max_tokens=3)
    policy.act([WALK, HISTORY, ()], rngs(3))
    assert policy.usage.prompt_tokens == len("wall.\n") + len("there is a wall.\nleft\nno wall.\n")
    assert 2 <= policy.usage.completion_tokens <= 6  # two games of one to three tokens


def test_a_chat_model_reads_instructions_and_roles(chat):
    policy = LanguageModelPolicy(chat, "be brief.", max_tokens=8)
    read = policy.model.tokenizer.decode(policy._prompt(HISTORY))
    assert read == (
        "system: be brief. user: there is a wall.\n assistant: left\n user: no wall.\n assistant: "
    )


def test_a_template_without_a_system_role_gets_the_instructions_from_the_user(tmp_path):
    policy = LanguageModelPolicy(save_model(tmp_path, NO_SYSTEM + CHAT_TEMPLATE), "be brief.", max_tokens=8)
    assert policy.model.tokenizer.decode(policy._prompt(WALK)) == "user: be brief.\n\nwall.\n assistant: "


def test_a_prompt_that_does_not_fit_loses_its_oldest_tokens(plain):
    policy = LanguageModelPolicy(plain, max_tokens=28)
    long = (Turn("a" * 200 + "b" * 50 + "\n", False),)
    # The model has 128 positions: 100 are left for the prompt.
    read = policy.model.fitting(policy._prompt(long), 28)
    assert policy.model.tokenizer.decode(read) == "a" * 49 + "b" * 50 + "\n"
    assert policy.act([long], rngs(1))[0].text.endswith("\n")


def test_it_plays_whole_games_reproducibly(plain):
    def games():
        policy = LanguageModelPolicy(plain, temperature=1.0, max_tokens=4)
        return lmrlgym.rollout("lmrlgym/Maze-v0", policy, 3, parallel=2, env_kwargs={"max_moves": 2})

    first = games()
    assert [len(game.turns) for game in first] == [5, 5, 5]  # two actions, three observations
    assert [game.to_json() for game in first] == [game.to_json() for game in games()]


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("/no/such/folder", {}, "no language model '/no/such/folder'"),
        ("x", {"temperature": -1.0}, "temperature must be a number from 0, got -1.0"),
        ("x", {"temperature": math.nan}, "temperature must be a number from 0, got nan"),
        ("x", {"max_tokens": 0}, "max_tokens must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_named(name, options, said):
    with pytest.raises(ValueError, match=said):
        LanguageModelPolicy(name, **options)
