"""Tokenizers: which tokens the patches of a frame become."""

from pipeline.tokenizers.base import Tokenizer
from pipeline.tokenizers.full import FullTokenizer
from pipeline.tokenizers.inter import InterTokenizer
from pipeline.tokenizers.intra import IntraTokenizer
from pipeline.tokenizers.merge import MergeTokenizer
from pipeline.tokenizers.plan import DROPPED, INTACT, MERGED, TokenPlan, patch_states
from pipeline.tokenizers.steps import BlockStep, PackedTokens

TOKENIZERS = ("full", "intra", "inter")

__all__ = [
    "DROPPED",
    "INTACT",
    "MERGED",
    "TOKENIZERS",
    "BlockStep",
    "FullTokenizer",
    "InterTokenizer",
    "IntraTokenizer",
    "MergeTokenizer",
    "PackedTokens",
    "TokenPlan",
    "Tokenizer",
    "patch_states",
]
