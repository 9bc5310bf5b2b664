"""Tokenizers: which tokens a frame becomes. `registry` is free of torch; the rest loads on use."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pipeline.tokenizers.registry import TOKENIZERS

if TYPE_CHECKING:
    from pipeline.tokenizers.ats import AtsTokenizer
    from pipeline.tokenizers.base import Tokenizer
    from pipeline.tokenizers.cluster import ClusterTokenizer
    from pipeline.tokenizers.full import FullTokenizer
    from pipeline.tokenizers.inter import InterTokenizer
    from pipeline.tokenizers.inter_recall import RecallingInterTokenizer
    from pipeline.tokenizers.intra import IntraTokenizer
    from pipeline.tokenizers.mctf import MctfTokenizer
    from pipeline.tokenizers.merge import MergeTokenizer
    from pipeline.tokenizers.pitome import PitomeTokenizer
    from pipeline.tokenizers.plan import TokenPlan, patch_states
    from pipeline.tokenizers.prune import PruneTokenizer
    from pipeline.tokenizers.random import RandomTokenizer
    from pipeline.tokenizers.states import DROPPED, INTACT, MERGED, RECALLED
    from pipeline.tokenizers.steps import BlockStep, PackedTokens
    from pipeline.tokenizers.zerotprune import ZeroTPruneTokenizer

__all__ = [
    "DROPPED",
    "INTACT",
    "MERGED",
    "RECALLED",
    "TOKENIZERS",
    "AtsTokenizer",
    "BlockStep",
    "ClusterTokenizer",
    "FullTokenizer",
    "InterTokenizer",
    "IntraTokenizer",
    "MctfTokenizer",
    "MergeTokenizer",
    "PackedTokens",
    "PitomeTokenizer",
    "PruneTokenizer",
    "RandomTokenizer",
    "RecallingInterTokenizer",
    "TokenPlan",
    "Tokenizer",
    "ZeroTPruneTokenizer",
    "patch_states",
]

_STEPS = ("BlockStep", "PackedTokens")
_INTER = {"InterTokenizer": "inter", "RecallingInterTokenizer": "inter_recall"}
_PLAN = ("TokenPlan", "patch_states")
_STATES = ("DROPPED", "INTACT", "MERGED", "RECALLED")


def __getattr__(name: str) -> Any:
    """Classes of the registry, and what plans are made of."""
    module = dict.fromkeys(_PLAN, "plan") | dict.fromkeys(_STEPS, "steps") | {"Tokenizer": "base"} | _INTER
    module |= dict.fromkeys(_STATES, "states")
    for kind in TOKENIZERS.values():
        file, _, class_name = kind.where.partition(":")
        module[class_name] = file
    if name not in module:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{module[name]}"), name)
