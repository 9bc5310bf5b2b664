"""Patches (visual subwords) of normalised frames."""

from __future__ import annotations

import torch


def patchify(images: torch.Tensor, patch_size: int) -> torch.Tensor:
    """Cuts images into flattened square patches.

    Args:
        images: (B, 3, H, W), H and W multiples of `patch_size`.
        patch_size: side P of a patch in pixels.

    Returns:
        (B, N, 3*P*P) with N = H/P * W/P patches in raster order, each flattened channel-major.

    Raises:
        ValueError: when the images are not (B, 3, H, W) or do not divide into patches.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"patchify wants images (B, 3, H, W), got {tuple(images.shape)}")
    batch, channels, height, width = images.shape
    if height % patch_size or width % patch_size:
        raise ValueError(f"an image of {height}x{width} does not divide into patches of {patch_size}")
    rows, columns = height // patch_size, width // patch_size
    grid = images.reshape(batch, channels, rows, patch_size, columns, patch_size)
    return grid.permute(0, 2, 4, 1, 3, 5).reshape(batch, rows * columns, channels * patch_size**2)
