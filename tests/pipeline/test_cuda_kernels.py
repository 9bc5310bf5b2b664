import torch

from pipeline.cuda_kernels import avoid_plans_per_shape


def test_attention_is_kept_from_kernels_that_are_planned_for_every_length():
    """What that saves needs a card: `tests/gpu/speed.py` times passes of lengths that never came before."""
    before = torch.backends.cuda.cudnn_sdp_enabled()
    try:
        avoid_plans_per_shape()

        assert not torch.backends.cuda.cudnn_sdp_enabled()
        assert torch.backends.cuda.flash_sdp_enabled()
    finally:
        torch.backends.cuda.enable_cudnn_sdp(before)
