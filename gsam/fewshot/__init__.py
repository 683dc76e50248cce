"""Few-shot node classification: splits, episodes, methods, baselines that train nothing, and the loop around them."""

from gsam.evaluation import NonFiniteError, mean_ci95
from gsam.fewshot.adaptation import InnerLoop
from gsam.fewshot.amm_gnn import AMMGNN, AttributeMatcher
from gsam.fewshot.baselines import Baseline, LinearProbe, SGCPrototype, baseline_embedding
from gsam.fewshot.config import FewShotConfig
from gsam.fewshot.distance_losses import ICNNLoss, ProtoTripletLoss
from gsam.fewshot.encoder import EpisodeGCN
from gsam.fewshot.episodes import Episode, EpisodeError, EpisodeSampler, load_episodes, save_episodes
from gsam.fewshot.evaluation import accuracy, evaluate
from gsam.fewshot.gpn import GPN
from gsam.fewshot.inputs import EpisodeInputs, NodeInputs, PreparedGraph
from gsam.fewshot.meta_gnn import MetaGNN
from gsam.fewshot.method import FewShotMethod
from gsam.fewshot.modulation import ModulatedInputs, ModulatedRows
from gsam.fewshot.prepared import PreparedData
from gsam.fewshot.presets import configure
from gsam.fewshot.propagation import PropagatedFeatures, Propagation, propagated_features
from gsam.fewshot.proto_laplacian import ProtoLaplacian, kmeans_transductive
from gsam.fewshot.proto_net import ProtoNet
from gsam.fewshot.published import EpisodeList, list_published_episodes, published_episodes
from gsam.fewshot.residual_gnn import ResidualGNN
from gsam.fewshot.run import FewShotRun
from gsam.fewshot.splits import ClassSplit, SplitError
from gsam.fewshot.tent import TENT
from gsam.fewshot.tlp import TLP, self_supervised_embedding
from gsam.fewshot.training import History, Schedule, meta_train, train_step
from gsam.fewshot.tuned_prototype import TunedPrototype

__all__ = [
    "AMMGNN",
    "GPN",
    "TENT",
    "TLP",
    "AttributeMatcher",
    "Baseline",
    "ClassSplit",
    "Episode",
    "EpisodeError",
    "EpisodeGCN",
    "EpisodeInputs",
    "EpisodeList",
    "EpisodeSampler",
    "FewShotConfig",
    "FewShotMethod",
    "FewShotRun",
    "History",
    "ICNNLoss",
    "InnerLoop",
    "LinearProbe",
    "MetaGNN",
    "ModulatedInputs",
    "ModulatedRows",
    "NodeInputs",
    "NonFiniteError",
    "PreparedData",
    "PreparedGraph",
    "PropagatedFeatures",
    "Propagation",
    "ProtoLaplacian",
    "ProtoNet",
    "ProtoTripletLoss",
    "ResidualGNN",
    "SGCPrototype",
    "Schedule",
    "SplitError",
    "TunedPrototype",
    "accuracy",
    "baseline_embedding",
    "configure",
    "evaluate",
    "kmeans_transductive",
    "list_published_episodes",
    "load_episodes",
    "mean_ci95",
    "meta_train",
    "propagated_features",
    "published_episodes",
    "save_episodes",
    "self_supervised_embedding",
    "train_step",
]
