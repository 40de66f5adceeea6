"""`TextSpace`: the space of what can be said. Any Unicode, checked in constant time."""

from __future__ import annotations

import string
from typing import Any, NoReturn

from gymnasium import spaces
from gymnasium.error import CustomSpaceError
from gymnasium.vector.utils import create_shared_memory

MAX_LENGTH = 16_384
_SAMPLED_LENGTH = 64
_SAMPLED_CHARACTERS = string.ascii_lowercase + string.digits + " .,?!'"


class TextSpace(spaces.Text):
    """Every text of at most `max_length` characters.

    `gymnasium.spaces.Text` takes alphanumerics only and checks them one by one. A plain `Text`
    observation is silently wrong under `AsyncVectorEnv(shared_memory=True)`; this one raises.
    """

    def __init__(self, max_length: int = MAX_LENGTH, *, seed: int | None = None) -> None:
        super().__init__(max_length, min_length=0, charset=_SAMPLED_CHARACTERS, seed=seed)

    def sample(self, mask: Any = None, probability: Any = None) -> str:
        """A short random line. `mask` and `probability` have no meaning here and must be None."""
        if mask is not None or probability is not None:
            raise ValueError("TextSpace.sample takes no mask and no probability")
        length = int(self.np_random.integers(min(self.max_length, _SAMPLED_LENGTH) + 1))
        letters = self.np_random.integers(len(_SAMPLED_CHARACTERS), size=length)
        return "".join(_SAMPLED_CHARACTERS[i] for i in letters)

    def contains(self, x: Any) -> bool:
        return isinstance(x, str) and len(x) <= self.max_length

    @property
    def is_np_flattenable(self) -> bool:
        return False

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.max_length == self.max_length

    def __hash__(self) -> int:
        return hash((type(self), self.max_length))

    def __repr__(self) -> str:
        return f"TextSpace({self.max_length})"


@create_shared_memory.register(TextSpace)
def _refuse_shared_memory(space: TextSpace, n: int = 1, ctx: Any = None) -> NoReturn:
    raise CustomSpaceError(
        "text cannot live in shared memory: use AsyncVectorEnv(..., shared_memory=False), or "
        'gym.make_vec(..., vectorization_mode="async", vector_kwargs={"shared_memory": False})'
    )
