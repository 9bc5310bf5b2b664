"""How a picture is fitted into a model's input. Free of heavy imports.

The size is a box. `letterbox` and `native` scale the picture until it just fits into the box, `crop` until it
covers it, `stretch` until it is the box. `native` then rounds both sides to whole patches, one at least, and
that is the input: no pixel of it is padding. `letterbox` pads up to the box and, for models that run on
patches, leaves out those patches that would show padding only.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, get_args

from pipeline.errors import UsageError
from pipeline.input_spec import CropMode, InputSpec

Fit = Literal["native", "letterbox", "crop", "stretch"]
FITS: tuple[Fit, ...] = get_args(Fit)
# A side in pixels, or "WIDTHxHEIGHT".
Size: TypeAlias = int | str
# A ViT-S with patches of 14 pixels has 21,000 tokens then.
MAX_SIDE = 2048
SIZE_PATTERN = r"^[1-9][0-9]{0,3}(x[1-9][0-9]{0,3})?$"

_MODES: dict[Fit, CropMode] = {
    "native": "native",
    "letterbox": "border",
    "crop": "center",
    "stretch": "squash",
}
_FIT_OF = {mode: fit for fit, mode in _MODES.items()}


@dataclass(frozen=True, slots=True)
class Inputs:
    """The inputs that a model takes.

    Attributes:
        own: what it gets where nothing else is asked for.
        patch_size: side P of a patch in pixels; None for a model that does not run on patches of ours.
        fits: how pictures may be fitted.
        resizes: whether it takes other sizes than its own.
    """

    own: InputSpec
    patch_size: int | None = None
    fits: tuple[Fit, ...] = ("letterbox", "crop", "stretch")
    resizes: bool = True

    def spec(self, model: str, fit: str | None = None, size: Size | None = None) -> InputSpec:
        """The input for what was asked.

        Args:
            model: its name, for errors.
            fit: one of `FITS`; None for the model's own.
            size: of the box; None for the model's own.

        Raises:
            UsageError: the model does not take it.
        """
        own_fit = fit_of(self.own)
        asked = next((known for known in FITS if known == (fit or own_fit)), None)
        if asked is None or asked not in self.fits:
            raise UsageError(f"model '{model}' does not take --fit {fit}; use {' or '.join(self.fits)}")
        # How much of a picture the crop keeps belongs to the way the model was evaluated.
        spec = self.own if asked == own_fit else replace(self.own, crop_mode=_MODES[asked], crop_pct=1.0)
        if size is None:
            return replace(spec, patch_size=self.patch_size)
        width, height = parse_size(size)
        own = (self.own.width, self.own.height)
        if (width, height) != own and not self.resizes:
            raise UsageError(f"model '{model}' runs at {own[0]}x{own[1]} only; leave out --size")
        patch = self.patch_size
        if patch is not None and (width % patch or height % patch):
            near = f"{_nearest(width, patch)}x{_nearest(height, patch)}"
            raise UsageError(f"--size {size} is not in whole patches of {patch} pixels; use {near}")
        return replace(spec, width=width, height=height, patch_size=patch)


def fit_of(spec: InputSpec) -> Fit:
    """How an input fits pictures in."""
    return _FIT_OF[spec.crop_mode]


def parse_size(size: Size) -> tuple[int, int]:
    """Width and height in pixels.

    Raises:
        UsageError: it is no size, or a side is longer than `MAX_SIDE`.
    """
    sides = str(size).split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise UsageError(f"--size {size} is no size: give a side in pixels, as 448, or WIDTHxHEIGHT")
    width, height = int(sides[0]), int(sides[-1])
    if not 1 <= min(width, height) <= max(width, height) <= MAX_SIDE:
        raise UsageError(f"--size {size} is out of range: give 1 to {MAX_SIDE} pixels a side")
    return width, height


def _nearest(side: int, patch: int) -> int:
    return max(round(side / patch), 1) * patch
