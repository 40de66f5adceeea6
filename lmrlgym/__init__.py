"""The Gymnasium of multi-turn language reinforcement learning.

Importing it registers the environments (`gymnasium.make("lmrlgym/Maze-v0")`) and loads neither
torch nor transformers.
"""

from lmrlgym.chat import to_messages
from lmrlgym.collection import collect, evaluate, policy_named
from lmrlgym.dataset import Dataset
from lmrlgym.env import Partner, PartnerEnv, Query, Reply, Response, TextEnv, visible
from lmrlgym.envs import register_all
from lmrlgym.local_models import weights_sha256
from lmrlgym.references import Reference, normalise, reference
from lmrlgym.replays import Divergence, replay
from lmrlgym.resources import data_path
from lmrlgym.rollouts import Policy, Summary, rollout, summarise
from lmrlgym.spaces import TextSpace
from lmrlgym.testing import check_env
from lmrlgym.types import Action, History, Seeds, Trajectory, Turn
from lmrlgym.vector import TextVectorEnv, vectorise
from lmrlgym.wrappers import Transcript

__version__ = "0.1.0"

__all__ = [
    "Action",
    "Dataset",
    "Divergence",
    "History",
    "Partner",
    "PartnerEnv",
    "Policy",
    "Query",
    "Reference",
    "Reply",
    "Response",
    "Seeds",
    "Summary",
    "TextEnv",
    "TextSpace",
    "TextVectorEnv",
    "Trajectory",
    "Transcript",
    "Turn",
    "check_env",
    "collect",
    "data_path",
    "evaluate",
    "normalise",
    "policy_named",
    "reference",
    "replay",
    "rollout",
    "summarise",
    "to_messages",
    "vectorise",
    "visible",
    "weights_sha256",
]

register_all()
