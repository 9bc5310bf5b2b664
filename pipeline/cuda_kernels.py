"""Which kernels torch may choose on a GPU."""

from __future__ import annotations

import torch


def avoid_plans_per_shape() -> None:
    """Keeps attention from cuDNN, for the whole process: sequences here have nearly every length.

    On Hopper torch prefers it where all sequences of a batch are equally long, as one alone always is. It
    builds a plan for every exact shape, which takes tens to hundreds of milliseconds, in each thread anew,
    and keeps all of them. Flash attention, which comes next, has no plans.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
