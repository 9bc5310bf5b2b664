"""Inter-image tokenizer: patches that match the same visual word become one token.

The method is the inter-image Visual Word Tokenizer of Gee et al. (arXiv 2411.15397). Unless the paper's form
is asked for, a stream recalls what kept its word (`inter_recall.py`).
"""

from __future__ import annotations

import torch

from pipeline.tokenizers.base import Alike
from pipeline.tokenizers.inter_recall import RecallingInterTokenizer
from pipeline.tokenizers.plan import TokenPlan
from pipeline.tokenizers.registry import TOKENIZERS
from vocab.patches import patchify
from vocab.words import Match, Vocabulary


def inter_tokenizer(
    vocabulary: Vocabulary,
    threshold: float | None = None,
    exact: bool = False,
    count_sizes: bool = False,
    cache: str | None = None,
) -> InterTokenizer | RecallingInterTokenizer:
    """The form that was asked for; counting sizes asks for that which merges."""
    if exact or count_sizes:
        return InterTokenizer(vocabulary, threshold, count_sizes)
    return RecallingInterTokenizer(vocabulary, threshold, cache)


class InterTokenizer(Alike):
    """The paper's form. Merges all patches of a frame whose nearest word is the same and near enough.

    Output order: words by ascending index, then unmatched patches in raster order.

    Args:
        vocabulary: the visual words.
        threshold: cosine distance (0..2) above which a patch stays a token of its own; None for the default.
        count_sizes: to attention a merged token counts as often as it has patches (as in ToMe, arXiv
            2210.09461, eq. 1); in the paper's form it counts once.

    Raises:
        UsageError: when `threshold` is out of range.
    """

    name = "inter"

    def __init__(
        self, vocabulary: Vocabulary, threshold: float | None = None, count_sizes: bool | None = None
    ) -> None:
        self.vocabulary = vocabulary
        self.threshold = TOKENIZERS[self.name].value("threshold", threshold)
        self.count_sizes = bool(TOKENIZERS[self.name].value("count_sizes", count_sizes))

    @property
    def vocab_version(self) -> int | None:
        return self.vocabulary.version

    def plan(self, images: torch.Tensor, patch_size: int, prefix: int = 1) -> TokenPlan:
        """Plans a batch; see `Tokenizer.plan`.

        Raises:
            VocabularyError: when the vocabulary is of another patch size.
        """
        match = self.vocabulary.match(patchify(images, patch_size))
        group, kept = word_groups(match, self.threshold, len(self.vocabulary))
        proportional = (True,) * len(group) if self.count_sizes else ()
        return TokenPlan(group, kept, prefix, proportional=proportional)

    def flops(self, patches: int, patch_size: int) -> int:
        """Operations of planning one frame; see `Tokenizer.flops`."""
        return 2 * patches * 3 * patch_size**2 * len(self.vocabulary)


def word_groups(match: Match, threshold: float, words: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Groups of patches that are near enough to the same word.

    Args:
        match: of (B, N) patches.
        threshold: cosine distance above which a patch stays alone.
        words: how many there are.

    Returns:
        (B, N) int64 the group of each patch, and (B,) int64 how many groups there are.
    """
    position = torch.arange(match.word.shape[1], device=match.word.device)
    # One number per patch that sorts as the output does: matched words first, then the patches that stay
    # alone. They are counted from V on, so they never meet a word, however large V is.
    key = torch.where(match.distance > threshold, words + position, match.word)
    ordered, order = key.sort(dim=1)
    starts_group = torch.ones_like(ordered)
    starts_group[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).long()
    rank = starts_group.cumsum(dim=1) - 1
    return torch.empty_like(rank).scatter_(1, order, rank), rank[:, -1] + 1
