"""The other side of a dialogue. Games get one by name or as an object with `reply`."""

from lmrlgym.env import Partner, Query, Reply

__all__ = ["Partner", "Query", "Reply"]
