"""Which text towers a service searches its histories by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from vocab.paths import is_file


def _full_path(weights: str) -> str:
    # Replicas run in folders of their own.
    return str(Path(weights).absolute()) if is_file(weights) else weights


class TextTowerSettings(BaseModel):
    """A text tower, as `vwt find --text-model` and `--text-weights` name it.

    Attributes:
        model: its name in open_clip.
        weights: a tag of open_clip, a file, or "random".
    """

    model_config = ConfigDict(extra="forbid")

    model: Annotated[str, Field(min_length=1)]
    weights: Annotated[str, Field(min_length=1), AfterValidator(_full_path)]


# "published" is the one that the published weights of the model were trained beside.
TextTowerChoice = Literal["published"] | TextTowerSettings
