"""A browser in tests: whether Chromium is there, and what it makes of a page."""

from __future__ import annotations

import re
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")


@cache
def chromium() -> str:
    """The path of the browser; "" if there is none."""
    return next((found for name in NAMES if (found := shutil.which(name))), "")


def needs_chromium() -> pytest.MarkDecorator:
    """The one reason why a test with a browser is skipped."""
    return pytest.mark.skipif(not chromium(), reason="chromium is not installed (apt-get install chromium)")


class Seen(NamedTuple):
    """A page after its script has run."""

    html: str
    console: list[str]
    """What the page's script and the browser had to say of it, errors included."""


def opened(page: Path, profile: Path, behind: str = "") -> Seen:
    """`page` as a browser without a window shows it, at the address that ends in #`behind`."""
    done = subprocess.run(
        [
            *(chromium(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"),
            *("--no-first-run", "--disable-extensions", "--disable-background-networking"),
            *("--enable-logging=stderr", f"--user-data-dir={profile}", "--dump-dom"),
            f"{page.resolve().as_uri()}#{behind}",
        ],
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=True,
    )
    return Seen(done.stdout, re.findall(r"CONSOLE.*", done.stderr))
