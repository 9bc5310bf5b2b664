"""Decoding where tokens changed is held against the dense decoder on all of them."""

import numpy as np
import pytest
import torch
from torch.nn.functional import conv_transpose2d

from pipeline.engine import Engine
from pipeline.frame import Frame, FrameTimes, Geometry
from pipeline.models import load_model
from pipeline.models.focus import decoder_flops, load_focus
from pipeline.models.redecoding import Wanted
from pipeline.tokenizers import RecallTokenizer

GRID = (5, 7)
PATCHES = 35


@pytest.fixture(scope="module")
def decoder():
    return load_focus().decoder


@pytest.fixture(autouse=True)
def without_gradients():
    with torch.inference_mode():
        yield


def dense(decoder, tokens, grid=GRID):
    return decoder(tokens.T.reshape(1, -1, *grid))[0]


def seen(decoder, decoded):
    return decoder.spread(decoded.logits[None, None], decoded.grid)[0]


def decode(redecoder, *wanted):
    ((decoded, share),) = redecoder.decode([Wanted(*wanted)])
    return decoded, share


def reached(rows, grid=GRID):
    """Share of the operations that goes into what these patches can change, pixel by pixel."""
    changed = torch.zeros(1, 1, *grid)
    changed.view(-1)[rows] = 1
    spent = whole = 0
    for inputs, outputs in ((384, 256), (256, 128), (128, 64)):
        changed = (conv_transpose2d(changed, torch.ones(1, 1, 4, 4), stride=2, padding=1) > 0).float()
        spent, whole = (
            before + 4 * inputs * outputs * pixels
            for before, pixels in ((spent, float(changed.sum())), (whole, changed.numel()))
        )
    return (spent + 64 * float(changed.sum())) / (whole + 64 * changed.numel())


@pytest.mark.parametrize("grid", [GRID, (1, 3), (4, 1), (16, 16)])
def test_decoding_all_patches_gives_what_the_dense_decoder_gives(decoder, grid):
    tokens = torch.randn(grid[0] * grid[1], 384)

    decoded, share = decode(decoder.redecoder(), tokens, grid, None, None, 1)

    assert share == 1
    torch.testing.assert_close(seen(decoder, decoded), dense(decoder, tokens, grid), atol=1e-5, rtol=0)


@pytest.mark.parametrize("rows", [[0], [17], [34], [6, 7, 20], list(range(PATCHES))])
def test_decoding_what_changed_gives_what_the_dense_decoder_makes_of_all(decoder, rows):
    tokens, redecoder = torch.randn(PATCHES, 384), decoder.redecoder()
    decoded, _ = decode(redecoder, tokens, GRID, None, None, 1)
    tokens[rows] = torch.randn(len(rows), 384)

    decoded, share = decode(redecoder, tokens, GRID, decoded, torch.tensor(rows), 2)

    torch.testing.assert_close(seen(decoder, decoded), dense(decoder, tokens), atol=1e-5, rtol=0)
    assert share == pytest.approx(reached(rows))


def test_a_token_is_decoded_again_once_it_is_far_from_the_one_that_was(decoder):
    tokens, redecoder = torch.randn(PATCHES, 384), decoder.redecoder()
    decoded, _ = decode(redecoder, tokens, GRID, None, None, 1)
    first, rows = dense(decoder, tokens), torch.tensor([17])
    direction = torch.randn(384)
    direction *= tokens[17].norm() / direction.norm()

    for number, part in enumerate((0.1, 0.2), start=2):
        tokens[17] += 0.1 * direction
        decoded, share = decode(redecoder, tokens, GRID, decoded, rows, number)
        assert share == 0, f"moved by {part} of its length"
    torch.testing.assert_close(seen(decoder, decoded), first, atol=1e-5, rtol=0)

    tokens[17] += 0.2 * direction
    decoded, share = decode(redecoder, tokens, GRID, decoded, rows, 4)
    assert share > 0
    torch.testing.assert_close(seen(decoder, decoded), dense(decoder, tokens), atol=1e-5, rtol=0)


def test_streams_are_decoded_together_as_they_are_alone(decoder):
    redecoder, grids = decoder.redecoder(), [GRID, (3, 4), GRID]
    tokens = [torch.randn(rows * columns, 384) for rows, columns in grids]
    begun = redecoder.decode(
        [Wanted(some, grid, None, None, 1) for some, grid in zip(tokens, grids, strict=True)]
    )
    changed = [torch.tensor(rows, dtype=torch.int64) for rows in ([3, 30], [], [8])]
    for some, rows in zip(tokens, changed, strict=True):
        some[rows] = torch.randn(len(rows), 384)

    found = redecoder.decode(
        [
            Wanted(some, grid, before, rows, 2)
            for some, grid, (before, _), rows in zip(tokens, grids, begun, changed, strict=True)
        ]
    )

    for some, grid, (decoded, _) in zip(tokens, grids, found, strict=True):
        torch.testing.assert_close(seen(decoder, decoded), dense(decoder, some, grid), atol=1e-5, rtol=0)
    expected = [reached(rows, grid) for rows, grid in zip(changed, grids, strict=True)]
    assert [share for _, share in found] == pytest.approx(expected)


def test_another_grid_is_decoded_as_a_whole(decoder):
    redecoder = decoder.redecoder()
    decoded, _ = decode(redecoder, torch.randn(PATCHES, 384), GRID, None, None, 1)
    tokens = torch.randn(12, 384)

    decoded, share = decode(redecoder, tokens, (3, 4), decoded, torch.tensor([2]), 2)

    assert share == 1
    torch.testing.assert_close(seen(decoder, decoded), dense(decoder, tokens, (3, 4)), atol=1e-5, rtol=0)


def frame_at(pts_s, image):
    geometry = Geometry(140, 112, 140, 112, 1.0, 1.0, 0.0, 0.0)
    return Frame(FrameTimes(pts_s=pts_s), image, geometry)


@pytest.mark.usefixtures("trusting")
def test_a_stream_pays_for_what_is_decoded_and_keeps_it_in_its_memory():
    model = load_model(size="140x112")
    engine, tokenizer = Engine(model), RecallTokenizer(0.98)
    image = np.random.default_rng(0).integers(90, 160, (112, 140, 3), dtype=np.uint8)
    other = image.copy()
    other[42:56, 42:56] = 255

    (whole,) = engine.submit([frame_at(0.0, image)], tokenizer).result().frames
    kept = tokenizer.bytes
    (part,) = engine.submit([frame_at(0.2, other)], tokenizer).result().frames

    assert whole.decision == "full"
    assert part.decision == "recall"
    assert 0 < part.tokens_kept < 40
    assert part.flops < whole.flops - decoder_flops((8, 10)) / 4
    # Keys and values of 81 tokens in bfloat16 and the maps of the decoder, beside outputs and pixels.
    maps = 4 * (8 * 10 * 384 + 16 * 20 * 256 + 32 * 40 * 128 + 64 * 80)
    assert kept == tokenizer.bytes
    assert kept > maps + 81 * 12 * 2 * 384 * 2
    tokenizer.forget()
    assert tokenizer.bytes == 0


def test_frames_of_one_stream_in_a_batch_are_decoded_one_after_the_other():
    model = load_model(size="140x112")
    image = np.random.default_rng(0).integers(90, 160, (112, 140, 3), dtype=np.uint8)
    images = [image]
    for patch in range(3):
        images.append(images[-1].copy())
        images[-1][42:56, 42 + 14 * patch : 56 + 14 * patch] = 255
    frames = [frame_at(0.2 * number, image) for number, image in enumerate(images)]
    together, alone = RecallTokenizer(0.98), RecallTokenizer(0.98)
    engine = Engine(model)

    found = engine.submit(frames, together).result().frames

    for frame, output in zip(frames, found, strict=True):
        (expected,) = engine.submit([frame], alone).result().frames
        assert output.flops == expected.flops
        assert output.prediction.regions == expected.prediction.regions
