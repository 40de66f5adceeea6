"""Filtered behaviour cloning (arXiv 2311.18232, sec. 5): clone only the best games.

    L = -E[log pi(a_t | h_t)]     over the best `fraction` of the games

Fed with its own rollouts (`games` > 0) it is the paper's online filtered BC: play, keep the best,
clone, repeat.

Deviations from the 2023 release: the games kept are the best `fraction` to the game, won games first,
ties broken by order, where a quantile of the return keeps all ties (in Maze a game that was cut early
has a high return too). Learning starts from a policy cloned from all games: the won ones alone may
visit few states (in Maze, 4 of 25 cells) and would unlearn the others. The released code stores no
action of a won maze or chess game online and so learns nothing there; here the whole game is kept.
As in bc, a LoRA adapter is trained with AdamW.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from baselines import bc
from baselines.core.tokens import Tokens
from lmrlgym import Trajectory


class FilteredBC(bc.BC):
    """Behaviour cloning of the best games."""

    @dataclass(frozen=True)
    class Config(bc.BC.Config):
        """What is kept."""

        learning_rate: float = 5e-4
        """AdamW's learning rate at the start"""
        rounds: int = 5
        """rounds of training; a run can be resumed after each. Online, every round plays new games"""
        fraction: float = 0.1
        """share of the games, the best first, that is cloned"""

    config: Config
    needs_policy = True

    def prepare(self, trajectories: Sequence[Trajectory]) -> Sequence[Tokens]:
        """The best of the games in which the agent said something."""
        spoken = [game for game in trajectories if any(turn.is_action and turn.text for turn in game.turns)]
        return super().prepare(best_games(spoken, self.config.fraction))


def best_games(trajectories: Sequence[Trajectory], fraction: float) -> list[Trajectory]:
    """The best `fraction`, at least one: won games first, then by return.

    Raises `ValueError` for a fraction outside (0, 1].
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"fraction must be in (0, 1], got {fraction}")
    kept = max(1, round(fraction * len(trajectories)))
    ranked = sorted(trajectories, key=lambda game: (not game.info.get("success"), -game.total_reward))
    return ranked[:kept]
