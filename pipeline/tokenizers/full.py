"""Every patch is a token: the plain Vision Transformer, the baseline of everything else."""

from __future__ import annotations

from pipeline.tokenizers.base import FromWhole


class FullTokenizer(FromWhole):
    """Keeps all patches in place."""

    name = "full"
