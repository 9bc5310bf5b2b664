"""What a model wants its input to look like; filled from the model's own data config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vocab.words import Normalisation

CropMode = Literal["center", "squash", "border", "native"]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Input size and normalisation, in the terms of timm's data config.

    Attributes:
        width, height: input size in pixels.
        crop_mode: "center": the short side is resized to size / crop_pct, then the centre is cropped;
            "squash": both sides are resized to size / crop_pct without keeping the aspect, then cropped;
            "border": the long side is resized to size / crop_pct, the rest is padded with `fill`;
            "native": the picture is resized to fit into the size and rounded to whole patches, which are all
            of the input then.
        crop_pct: share of the resized picture that the crop keeps.
        interpolation: what the model was trained with; resizing is always antialiased.
        mean, std: of the RGB channels scaled to 0..1, applied on the device.
        fill: RGB of padding, 0..255.
        patch_size: side of a patch in pixels, which "native" needs; "border" leaves out the patches that
            would show padding only. None for models that do not run on patches.
    """

    width: int
    height: int
    crop_mode: CropMode = "center"
    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fill: tuple[int, int, int] = (0, 0, 0)
    patch_size: int | None = None

    @property
    def fixed(self) -> bool:
        """Whether all pictures become inputs of one size."""
        return self.patch_size is None or self.crop_mode not in ("native", "border")

    @property
    def or_less(self) -> str:
        """What to say behind the size: how inputs may be smaller; empty where they may not."""
        return "" if self.fixed else f", or less in whole patches of {self.patch_size},"

    def holds(self, width: int, height: int) -> bool:
        """Whether inputs of this size come of it."""
        if self.fixed or self.patch_size is None:
            return (width, height) == (self.width, self.height)
        whole = width % self.patch_size == 0 == height % self.patch_size
        return whole and 0 < width <= self.width and 0 < height <= self.height

    @property
    def normalisation(self) -> Normalisation:
        """What the words of this input are learned with: its mean and standard deviation."""
        # Not at the top: specs are passed about by code that does without torch.
        from vocab.words import Normalisation

        return Normalisation(self.mean, self.std)
