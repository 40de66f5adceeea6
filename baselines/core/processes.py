"""The processes that learn one agent together, as `accelerate launch` starts them; one by itself otherwise.

All hold the same agent and walk through the same rounds. They share the games of a gradient step
and those that are played, and add up their gradients; what one of them has to do alone, such as
writing files, the first one does.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import torch
from accelerate import PartialState
from torch import Tensor, distributed

Item = TypeVar("Item")


@dataclass(frozen=True)
class Processes:
    """Which process this is, of how many, and the device that is its own (None: any)."""

    number: int = 0
    count: int = 1
    device: torch.device | None = None

    @property
    def is_first(self) -> bool:
        """Whether this is the one that writes."""
        return self.number == 0

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.count > 1:
            PartialState().wait_for_everyone()

    def own(self, items: Sequence[Item]) -> Sequence[Item]:
        """Every `count`-th of `items`, from `number` on."""
        return items[self.number :: self.count]

    def all(self, own: Sequence[Item]) -> list[Item]:
        """The items of which every process has its `own`."""
        if self.count == 1:
            return list(own)
        shares: list[list[Item]] = [[] for _ in range(self.count)]
        distributed.all_gather_object(shares, list(own))
        found = {
            begin + i * self.count: item for begin, share in enumerate(shares) for i, item in enumerate(share)
        }
        return [found[number] for number in range(len(found))]

    def add_up(self, tensors: Sequence[Tensor]) -> None:
        """Replace each tensor by its sum over all processes; the order of `tensors` is that of all."""
        if self.count == 1 or not tensors:
            return
        kinds = {tensor.dtype for tensor in tensors}
        for kind in sorted(kinds, key=str):
            some = [tensor for tensor in tensors if tensor.dtype == kind]
            flat = torch.cat([tensor.reshape(-1) for tensor in some])
            distributed.all_reduce(flat)
            for tensor, part in zip(some, flat.split([tensor.numel() for tensor in some]), strict=True):
                tensor.copy_(part.view_as(tensor))


def processes() -> Processes:
    """Those that `accelerate launch` started, or this one alone."""
    if "LOCAL_RANK" not in os.environ or int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return Processes()
    state = PartialState(cpu=not torch.cuda.is_available())
    return Processes(state.process_index, state.num_processes, state.device)
