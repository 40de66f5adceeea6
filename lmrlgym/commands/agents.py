"""The way to `baselines`, the trained agents: only if the extra is installed, and only if it is ours."""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import lmrlgym

_NEEDED = ("torch", "transformers", "peft", "safetensors")


def agents(module: str) -> Any:
    """The module `baselines.core.<module>`. Raises `ImportError` that says what to install or remove."""
    _check_ours()
    if found := missing():
        raise ImportError(
            f"the agents need the extra, {', '.join(found)} is missing: pip install 'lmrlgym[baselines]'"
        )
    return import_module(f"baselines.core.{module}")


def missing() -> list[str]:
    """The packages without which there are no agents, as far as they are not installed."""
    return [name for name in _NEEDED if find_spec(name) is None]


def _check_ours() -> None:
    """An abandoned package of the same name may be installed: ours lies beside `lmrlgym`."""
    spec = find_spec("baselines")
    if spec is None or spec.origin is None:
        raise ImportError(
            "the package `baselines`, which comes with lmrlgym, is not there: reinstall lmrlgym"
        )
    found = Path(spec.origin).resolve().parent
    if found.parent != Path(lmrlgym.__file__).resolve().parents[1] or not (found / "core").is_dir():
        raise ImportError(
            f"the package `baselines` in {found} is another one that has the name of lmrlgym's agents: "
            "pip uninstall baselines, then reinstall lmrlgym"
        )
