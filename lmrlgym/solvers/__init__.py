"""Exact or best known values: `value(history)`, `q(history) -> {action: value}`, `best(history)`."""
