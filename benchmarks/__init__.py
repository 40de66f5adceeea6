"""Speed tables, each printed by one command: `python -m benchmarks.envs`."""
