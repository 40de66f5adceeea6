"""A base that knows nothing but runs in milliseconds; the tests of agents need no other."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from baselines.core.model import LM, Base, load_base
from baselines.testing import random_base

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return random_base(tmp_path_factory.mktemp("base") / "random")


@pytest.fixture(scope="session")
def base(base_folder: Path) -> Base:
    return load_base(str(base_folder))


@pytest.fixture
def lm(base: Base) -> LM:
    return LM(base)
