"""Algorithms by name: the modules of this package, or a user's own by dotted path."""

from __future__ import annotations

import importlib
import inspect
import pkgutil

import baselines
from baselines.core.algorithm import Algorithm


def algorithm_names() -> list[str]:
    """The algorithms of this package: its modules that hold a subclass of `Algorithm`."""
    names = [module.name for module in pkgutil.iter_modules(baselines.__path__) if not module.ispkg]
    return [name for name in names if _classes(f"baselines.{name}")]


def find_algorithm(name: str) -> type[Algorithm]:
    """The algorithm `name`: a module of this package, or a dotted path to a module or `module:Class`.

    Raises `ValueError` if there is none.
    """
    path, _, class_name = name.partition(":")
    module = path if "." in path or class_name else f"baselines.{path}"
    try:
        classes = _classes(module)
    except ModuleNotFoundError as error:
        if error.name is None or not module.startswith(error.name):
            raise
        raise ValueError(
            f"no algorithm {name!r}; there are: {', '.join(algorithm_names())}, "
            "or the dotted path of your own module"
        ) from error
    found = [c for c in classes if not class_name or c.__name__ == class_name]
    if len(found) != 1:
        raise ValueError(f"{module} holds {len(found)} algorithms{f' named {class_name}' * bool(class_name)}")
    return found[0]


def _classes(module_name: str) -> list[type[Algorithm]]:
    module = importlib.import_module(module_name)
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and issubclass(value, Algorithm) and value.__module__ == module.__name__
    ]
