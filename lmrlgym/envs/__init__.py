"""The games, one file each. `register_all` makes them known to Gymnasium; it runs on `import lmrlgym`."""

from __future__ import annotations

import gymnasium

ENTRY_POINTS = {
    "lmrlgym/Maze-v0": ("lmrlgym.envs.maze:MazeEnv", "lmrlgym.envs.maze:maze_vector"),
    "lmrlgym/MazePartial-v0": ("lmrlgym.envs.maze:MazePartialEnv", "lmrlgym.envs.maze:maze_partial_vector"),
    "lmrlgym/Chess-v0": ("lmrlgym.envs.chess:ChessEnv", "lmrlgym.envs.chess:chess_vector"),
    "lmrlgym/ChessEndgames-v0": (
        "lmrlgym.envs.chess_endgames:ChessEndgamesEnv",
        "lmrlgym.envs.chess_endgames:chess_endgames_vector",
    ),
    "lmrlgym/TextNav-v0": ("lmrlgym.envs.text_nav:TextNavEnv", "lmrlgym.envs.text_nav:text_nav_vector"),
    "lmrlgym/TextNavPartial-v0": (
        "lmrlgym.envs.text_nav:TextNavPartialEnv",
        "lmrlgym.envs.text_nav:text_nav_partial_vector",
    ),
    "lmrlgym/CarDealer-v0": (
        "lmrlgym.envs.car_dealer:CarDealerEnv",
        "lmrlgym.envs.car_dealer:car_dealer_vector",
    ),
    "lmrlgym/GuessMyCity-v0": (
        "lmrlgym.envs.guess_my_city:GuessMyCityEnv",
        "lmrlgym.envs.guess_my_city:guess_my_city_vector",
    ),
    "lmrlgym/TwentyQuestions-v0": (
        "lmrlgym.envs.twenty_questions:TwentyQuestionsEnv",
        "lmrlgym.envs.twenty_questions:twenty_questions_vector",
    ),
    "lmrlgym/Wordle-v0": ("lmrlgym.envs.wordle:WordleEnv", "lmrlgym.envs.wordle:wordle_vector"),
}
"""id -> (entry point, vector entry point); strings, so that nothing is imported before it is made."""


def register_all() -> None:
    """Register every game. No step limit is set: the limits are rules of the games.

    Nor does `gym.make` wrap them: `TextEnv` refuses a step before `reset` itself, and the contract tests
    check more than Gymnasium's passive checker. The two wrappers would cost Wordle a seventh of its rate.
    """
    for env_id, (entry_point, vector_entry_point) in ENTRY_POINTS.items():
        gymnasium.register(
            env_id,
            entry_point=entry_point,
            vector_entry_point=vector_entry_point,
            order_enforce=False,
            disable_env_checker=True,
        )
