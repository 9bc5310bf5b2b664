"""What a process that feeds a GPU sets for all of itself."""

from __future__ import annotations

import sys

import torch

_TURN_S = 0.0005


def avoid_plans_per_shape() -> None:
    """Keeps attention from cuDNN: sequences here have nearly every length.

    On Hopper torch prefers it where all sequences of a batch are equally long, as one alone always is. It
    builds a plan for every exact shape, which takes tens to hundreds of milliseconds, in each thread anew,
    and keeps all of them. Flash attention, which comes next, has no plans.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)


def take_short_turns() -> None:
    """Has threads that want to run Python wait for each other for at most half a millisecond, not five.

    A pass of one frame is some hundred launches and two or three waits for the device, and after each the
    thread has to get its turn again: beside one that computes in Python it waits for up to five milliseconds
    by default.
    """
    sys.setswitchinterval(min(sys.getswitchinterval(), _TURN_S))
