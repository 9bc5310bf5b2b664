"""What a model wants its input to look like; filled from the model's own data config."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from vocab.words import Normalisation

CropMode = Literal["center", "squash", "border"]
Interpolation = Literal["bilinear", "bicubic", "lanczos"]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """Input size and normalisation, in the terms of timm's data config.

    Attributes:
        width, height: input size in pixels.
        crop_mode: "center": the short side is resized to size / crop_pct, then the centre is cropped;
            "squash": both sides are resized to size / crop_pct without keeping the aspect, then cropped;
            "border": the long side is resized to size / crop_pct, the rest is padded with `fill`.
        crop_pct: share of the resized picture that the crop keeps.
        interpolation: what the model was trained with; resizing is always antialiased.
        mean, std: of the RGB channels scaled to 0..1, applied on the device.
        fill: RGB of padding, 0..255.
    """

    width: int
    height: int
    crop_mode: CropMode = "center"
    crop_pct: float = 1.0
    interpolation: Interpolation = "bicubic"
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    fill: tuple[int, int, int] = (0, 0, 0)

    @property
    def normalisation(self) -> Normalisation:
        """What the words of this input are learned with: its mean and standard deviation."""
        # Not at the top: specs are passed about by code that does without torch.
        from vocab.words import Normalisation

        return Normalisation(self.mean, self.std)
