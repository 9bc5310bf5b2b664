"""Tokenizers: which tokens a frame becomes. `registry` is free of torch; the rest loads on use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.tokenizers.registry import TOKENIZERS
from vocab.first_use import on_first_use

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

_PLACES = (kind.where.partition(":") for kind in TOKENIZERS.values())
_WHERE = {
    "Tokenizer": "base",
    "InterTokenizer": "inter",
    "RecallingInterTokenizer": "inter_recall",
    **dict.fromkeys(("TokenPlan", "patch_states"), "plan"),
    **dict.fromkeys(("BlockStep", "PackedTokens"), "steps"),
    **dict.fromkeys(("DROPPED", "INTACT", "MERGED", "RECALLED"), "states"),
    **{class_name: file for file, _, class_name in _PLACES},
}

__getattr__ = on_first_use(__name__, _WHERE)
