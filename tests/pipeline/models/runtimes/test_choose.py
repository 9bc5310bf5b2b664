"""What is chosen, with real runtimes and with ones that are wrong, slow, or not to be had."""

import numpy as np
import pytest
import torch

from pipeline.engine import Engine
from pipeline.models import load_model
from pipeline.models.encoder import PackedEncoder
from pipeline.models.positions import Placed
from pipeline.models.runtimes.base import Blocks
from pipeline.models.runtimes.choose import Fastest, choose_on_gpu, open_asked
from pipeline.models.runtimes.torch_runtime import TorchRuntime, cpu_has_bf16, open_torch
from pipeline.runtimes import RUNTIMES, Computed, Kind, Opening, UnavailableError
from tests.pipeline.models.families import build, images_for


class Wrong(TorchRuntime):
    """Fast, and of no use."""

    computed = Computed("wrong", "bf16")

    def forward(self, tokens, context, rope):  # noqa: ARG002
        return torch.randn(tokens.shape, generator=torch.Generator().manual_seed(0))


class Slow(TorchRuntime):
    """Right, and takes thrice as long."""

    def forward(self, tokens, context, rope):
        for _ in range(2):
            super().forward(tokens, context, rope)
        return super().forward(tokens, context, rope)


def open_wrong(blocks: Blocks, precision: str) -> TorchRuntime:
    runtime = Wrong(blocks)
    runtime.computed = Computed("wrong", precision)
    return runtime


def open_slow(blocks: Blocks, precision: str) -> TorchRuntime:
    runtime = Slow(blocks)
    runtime.computed = Computed("slow", precision)
    return runtime


def open_none(blocks: Blocks, precision: str) -> TorchRuntime:  # noqa: ARG001
    raise UnavailableError("it is not installed")


@pytest.fixture
def runtimes():
    """Replaces the registry by made-up runtimes, named as their functions, and torch in float32."""
    before = dict(RUNTIMES)

    def replace(*names: str) -> None:
        kinds = [Kind(name, name, ("bf16",), Opening(f"{__name__}:open_{name}")) for name in names]
        torch_kind = before["torch"]._replace(precisions=("fp32",))
        RUNTIMES.clear()
        RUNTIMES.update({kind.name: kind for kind in (*kinds, torch_kind)})

    yield replace
    # In their order, which counts.
    RUNTIMES.clear()
    RUNTIMES.update(before)


@pytest.fixture
def notices() -> list[str]:
    return []


def calibrated(notices: list[str], frames: int = 4) -> Computed:
    model = build("dinov2 with registers", depth=6)
    encoder = PackedEncoder(model)
    with torch.inference_mode():
        images = images_for(model, frames)
        calibration = Fastest(encoder, Blocks.of(model), "auto", notices.append)
        calibration.add([Placed.filling(images, encoder.patch_size)])
    assert calibration.wanted == 0
    return encoder.runtime.computed


def test_what_is_fast_and_wrong_is_not_taken(runtimes, notices) -> None:
    runtimes("wrong")

    assert calibrated(notices) == ("torch", "fp32")
    assert len(notices) == 1
    assert "bf16 in wrong takes" in notices[0]


def test_what_is_right_and_slow_is_not_taken(runtimes, notices) -> None:
    runtimes("slow")

    assert calibrated(notices) == ("torch", "fp32")
    assert "at a cosine of 1.0000" in notices[0] or "at a cosine of 0.9999" in notices[0]


def test_what_cannot_be_had_is_passed_over_and_said(runtimes, notices) -> None:
    runtimes("none", "wrong")

    assert calibrated(notices) == ("torch", "fp32")
    assert len(notices) == 1
    assert "bf16 in none cannot be had: it is not installed" in notices[0]


def test_who_asks_for_what_cannot_be_had_gets_the_nearest_and_is_told(runtimes, notices) -> None:
    runtimes("none")
    model = build("vit")
    PackedEncoder(model)

    runtime = open_asked(Blocks.of(model), "bf16", "none", notices.append)

    assert runtime.computed == ("torch", "fp32")
    assert notices == ["bf16 in none cannot be had (it is not installed): computing in fp32 in torch"]


def test_on_a_gpu_what_cannot_be_had_leaves_the_blocks_in_torch_and_is_told(runtimes, notices) -> None:
    runtimes("none", "slow")
    encoder = PackedEncoder(build("vit"))
    before = encoder.runtime

    choose_on_gpu(encoder, "none", notices.append)

    assert encoder.runtime is before
    assert notices == ["fp32 in none cannot be had (it is not installed): computing in fp32 in torch"]
    choose_on_gpu(encoder, "slow", notices.append)
    assert encoder.runtime.computed == ("slow", "fp32")
    assert len(notices) == 1


def test_who_asks_for_what_can_be_had_gets_it_without_a_word(notices) -> None:
    model = build("vit")
    PackedEncoder(model)

    assert open_asked(Blocks.of(model), "fp32", "auto", notices.append).computed == ("torch", "fp32")
    assert notices == []


def test_auto_waits_for_a_few_frames_and_computes_them_in_float32(notices) -> None:
    model = load_model("vit_tiny_patch16_224", "random", precision="auto", on_notice=notices.append)
    exact = Engine(load_model("vit_tiny_patch16_224", "random"))
    frames = np.random.default_rng(0).integers(0, 255, (6, 224, 224, 3), np.uint8)
    engine = Engine(model)

    for frame in frames[:3]:
        assert np.array_equal(engine.run(frame[None])["probability"], exact.run(frame[None])["probability"])
        assert model.computed == ("torch", "fp32")
        assert notices == []
    engine.run(frames[3:])

    assert len(notices) == 1
    assert notices[0].startswith(f"computing in {model.computed.precision} in {model.computed.runtime}")


@pytest.mark.skipif(not cpu_has_bf16(), reason="this CPU does not compute in bfloat16")
def test_the_bundled_model_answers_in_bfloat16_about_as_in_float32(notices) -> None:
    engine = Engine(load_model(precision="bf16", embedding=True, on_notice=notices.append))
    exact = Engine(load_model(embedding=True))
    frames = np.random.default_rng(0).integers(0, 255, (4, 224, 224, 3), np.uint8)

    fast, true = engine.run(frames), exact.run(frames)

    assert engine.model.computed.precision == "bf16", notices
    assert 0 < np.abs(fast["embedding"] - true["embedding"]).max() < 0.3
    assert 0 < np.abs(fast["saliency"] - true["saliency"]).max() < 0.1


def test_a_model_that_runs_in_full_only_says_what_it_cannot_do(notices) -> None:
    model = load_model("resnet18", "random", runtime="openvino", on_notice=notices.append)

    assert model.computed == ("torch", "fp32")
    assert len(notices) == 1
    assert "resnet18" in notices[0]


def test_float32_in_torch_changes_what_it_is_given_and_copies_do_not() -> None:
    model = build("vit")
    PackedEncoder(model)
    blocks = Blocks.of(model)
    before = blocks.layers[0].mlp.fc1

    open_torch(blocks.copy(), "fp32")

    assert blocks.layers[0].mlp.fc1 is before
