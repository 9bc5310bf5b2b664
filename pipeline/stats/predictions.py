"""What was predicted over a run, in a line."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.results import Prediction

# Names of classes that are counted; the rarest is forgotten beyond that.
_MAX_NAMES = 1000
_SHOWN = 3


class PredictionStats:
    """Counts predictions. Memory is bounded."""

    def __init__(self) -> None:
        self._frames = 0
        self._best: Counter[str] = Counter()
        self._with_regions = 0
        self._regions = 0
        self._named: Counter[str] = Counter()
        self._named_frames: Counter[str] = Counter()
        self._kind: str | None = None

    def add(self, prediction: Prediction) -> None:
        """Counts the prediction of a frame."""
        self._frames += 1
        self._kind = prediction.kind
        self._regions += len(prediction.regions)
        self._with_regions += bool(prediction.regions)
        if prediction.labels:
            self._best[prediction.labels[0].label] += 1
            _forget_rarest(self._best)
        names = [box.name for box in prediction.boxes]
        for counter, found in ((self._named, names), (self._named_frames, set(names))):
            counter.update(found)
            _forget_rarest(counter)

    def to_dict(self) -> dict[str, Any]:
        """What a JSON summary says of it: the most frequent best classes, or regions or boxes per frame."""
        if self._kind == "labels":
            best = self._best.most_common(_SHOWN)
            return {"kind": "labels", "best": [{"label": name, "frames": count} for name, count in best]}
        if self._kind == "regions":
            return {
                "kind": "regions",
                "per_frame": round(self._regions / self._frames, 3),
                "frames_with_any": self._with_regions,
            }
        if self._kind == "boxes":
            return {
                "kind": "boxes",
                "names": [
                    {
                        "name": name,
                        "per_frame": round(count / self._frames, 3),
                        "frames": self._named_frames[name],
                    }
                    for name, count in self._named.most_common(_SHOWN)
                ],
            }
        return {"kind": self._kind}

    def text(self) -> str | None:
        """The same for people; None where there is nothing to say."""
        if self._kind == "labels":
            best = ", ".join(f"{name} ({count} frames)" for name, count in self._best.most_common(_SHOWN))
            return f"mostly {best}"
        if self._kind == "regions":
            share = 100 * self._with_regions / self._frames
            each = f", {self._regions / self._with_regions:.2g} regions each" if self._with_regions else ""
            return f"something stands out in {share:.0f} % of the frames{each}"
        if self._kind == "boxes":
            found = ", ".join(
                f"{count / self._frames:.2g} {name} (in {self._named_frames[name]} frames)"
                for name, count in self._named.most_common(_SHOWN)
            )
            return f"per frame {found}" if found else "no boxes"
        return None


def _forget_rarest(counter: Counter[str]) -> None:
    while len(counter) > _MAX_NAMES:
        del counter[counter.most_common()[-1][0]]
