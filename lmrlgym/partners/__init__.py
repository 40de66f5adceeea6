"""The other side of a dialogue. Games get one by name or as an object with `reply`.

`partner_named` is the one place where a name becomes a partner. How people and models play a
game's partner is its `Role`, in `lmrlgym.partners.roles.<key>`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from functools import lru_cache

from lmrlgym.env import Partner, Query, Reply
from lmrlgym.partners.roles import Role

__all__ = ["Partner", "Query", "Reply", "Role", "partner_named"]

_TEMPERATURE = re.compile(r"\?temperature=([^#]*)")
_LOADED_AT_ONCE = 4


def partner_named(name: str | Partner, scripted: Callable[[], Partner], role: Role) -> Partner:
    """The partner `name` of a game whose partner is `scripted` or plays `role`; a partner is itself.

    - "scripted": needs no model;
    - "human": a person at the terminal;
    - "hf:MODEL": a Hugging Face model, a folder (a trained partner) or a shipped base;
    - "http(s)://HOST/v1#MODEL": a model behind an OpenAI-compatible endpoint.

    Models answer greedily; "?temperature=0.7" behind MODEL, or behind /v1, samples. The games of a process
    share a model. Raises `ValueError` for any other name and for a model that cannot be loaded,
    `ImportError` if its extra is missing.
    """
    if not isinstance(name, str):
        return name
    if name == "scripted":
        return scripted()
    if name == "human":
        from lmrlgym.partners.human import HumanPartner

        return HumanPartner(role)
    if name.startswith("hf:"):
        return _local(name, role)
    if name.startswith(("http://", "https://")):
        from lmrlgym.remote_models import KEY_VARIABLE

        return _remote(name, role, os.environ.get(KEY_VARIABLE))
    raise ValueError(
        'partner must be "scripted", "human", "hf:MODEL", "http(s)://HOST/v1#MODEL" '
        f"or an object with `reply`, got {name!r}"
    )


def _split(name: str) -> tuple[str, float]:
    """`name` without its temperature, and that."""
    said = _TEMPERATURE.search(name)
    if said is None:
        return name, 0.0
    try:
        temperature = float(said[1])
    except ValueError:
        raise ValueError(f"temperature must be a number from 0, got {said[1]!r}") from None
    return _TEMPERATURE.sub("", name), temperature


@lru_cache(_LOADED_AT_ONCE)
def _local(name: str, role: Role) -> Partner:
    from lmrlgym.partners.language_model import LanguageModelPartner

    model, temperature = _split(name)
    return LanguageModelPartner(model.removeprefix("hf:"), role, temperature=temperature)


@lru_cache(_LOADED_AT_ONCE)
def _remote(name: str, role: Role, key: str | None) -> Partner:
    """`key` is there to be told apart: another key is another client."""
    from lmrlgym.partners.endpoint import EndpointPartner

    url, temperature = _split(name)
    return EndpointPartner(url, role, temperature=temperature)
