import sys

import torch

from pipeline.cuda_process import avoid_plans_per_shape, take_short_turns


def test_attention_is_kept_from_kernels_that_are_planned_for_every_length():
    """What that saves needs a card: `tests/gpu/speed.py` times passes of lengths that never came before."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        avoid_plans_per_shape()

        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)


def test_turns_become_shorter_and_never_longer():
    before = sys.getswitchinterval()
    try:
        for given, taken in ((0.005, 0.0005), (0.0001, 0.0001)):
            sys.setswitchinterval(given)
            take_short_turns()
            assert abs(sys.getswitchinterval() - taken) < 2e-6
    finally:
        sys.setswitchinterval(before)
