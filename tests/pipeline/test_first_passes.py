import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pipeline.engine import Engine
from pipeline.first_passes import batches_up_to, warm_up
from pipeline.models import NullModel, load_model


class Normalised(TorchDispatchMode):
    """Notes how many images each pass begins with."""

    def __init__(self) -> None:
        super().__init__()
        self.images: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.mul_.Tensor and args[0].shape[1:] == (3, 64, 64):
            self.images.append(len(args[0]))
        return func(*args, **kwargs or {})


def test_batches_are_powers_of_two_up_to_the_largest():
    assert batches_up_to(1) == [1]
    assert batches_up_to(16) == [1, 2, 4, 8, 16]
    assert batches_up_to(20) == [1, 2, 4, 8, 16, 20]


def test_every_batch_runs_in_full_and_with_fewer_tokens_before_the_first_real_one():
    """That none is slow afterwards needs a card."""
    engine = Engine(load_model("vit_tiny_patch16_224", weights="random", size="64"))
    with Normalised() as normalised:
        warm_up(engine, 3)
    assert normalised.images == [1, 1, 2, 2, 3, 3]


def test_a_model_without_patches_takes_its_first_passes():
    warm_up(Engine(NullModel(torch.device("cpu"))), 2)
