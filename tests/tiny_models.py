"""Tiny random models, made on the spot: one token a character."""

from __future__ import annotations

LETTERS = "abcdefghijklmnopqrstuvwxyz ,.0123456789:?"
END = "<end>"


def save_tokenizer(folder, chat_template, longest):
    """One token a character; returns the number of tokens."""
    import transformers
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

    vocabulary = {c: i for i, c in enumerate([END, "<unknown>", "\n", *LETTERS])}
    raw = Tokenizer(models.WordLevel(vocabulary, unk_token="<unknown>"))
    raw.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    raw.decoder = decoders.Fuse()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, eos_token=END, unk_token="<unknown>", model_max_length=longest
    )
    tokenizer.chat_template = chat_template
    tokenizer.save_pretrained(folder)
    return len(vocabulary)


def save_model(folder, chat_template=None, longest=128):
    """A two-layer decoder with random weights; returns the folder's name."""
    import torch
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=save_tokenizer(folder, chat_template, longest), hidden_size=16, intermediate_size=16,
        num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=longest, bos_token_id=None,
        eos_token_id=0, initializer_range=0.5,  # so that what is said depends on what was read
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    return str(folder)


def save_encoder_decoder(folder):
    """A two-layer T5 with random weights; returns the folder's name."""
    import torch
    import transformers

    config = transformers.T5Config(
        vocab_size=save_tokenizer(folder, None, 512), d_model=16, d_kv=8, d_ff=16, num_layers=2, num_heads=2,
        pad_token_id=1, eos_token_id=0, decoder_start_token_id=1, initializer_factor=5.0,
    )  # fmt: skip
    torch.manual_seed(0)
    transformers.T5ForConditionalGeneration(config).save_pretrained(folder)
    return str(folder)
