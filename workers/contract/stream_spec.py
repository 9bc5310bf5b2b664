"""What a stream is asked to be."""

from __future__ import annotations

import json
import re
import time
from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field, StringConstraints, field_validator, model_validator

from pipeline.defaults import DEFAULT_MODEL, DEFAULT_WORDS, LEAST_HISTORY_BYTES
from pipeline.events import Rules
from pipeline.redact import redact
from pipeline.tokenizers.registry import Value
from workers.contract.tokenizer_fields import TokenizerFields, options_of
from workers.settings.input_fields import InputFields
from workers.settings.scene_fields import SceneFields
from workers.settings.sharing_fields import SharingFields
from workers.settings.watch_fields import WatchFields
from workers.sinks.parsing import Sinks

StreamId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
# Each search reads all of it.
_MOST_HISTORY_BYTES = 2**28
# As a scope may be named.
_SITE = re.compile(r"[^{}\s]{1,100}")
_LABEL_KEY = re.compile(r"[A-Za-z0-9_.\-]{1,64}")


class StreamSettings(TokenizerFields, InputFields, WatchFields, SharingFields, SceneFields):
    """How a stream is read and tokenized; every field may be changed while it runs.

    Attributes:
        model: name as `vwt models` lists it.
        fit, size: of the model's input, see `InputFields`.
        tokenizer: one of `pipeline.tokenizers.registry.TOKENIZERS`, whose options are fields as well; None
            for the first of them that the model takes.
        audit, guard, guard_by: how its answers are watched, see `WatchFields`.
        priority, min_target: what it gets where there is not enough for all, see `SharingFields`.
        changed, zones, classes: what is to be said of its scene, see `SceneFields`.
        words: of tokenizers that want them: how many visual words.
        scope: of the same: streams of one scope share window and words; None for one with all streams that
            bear the same label `site`, or without that label the stream's own.
        fps: frames per second of presentation time to sample; None for every frame.
        policy: when inference is slower than the source; None for block (files) or drop-oldest (live).
        loop: play a file again and again; its frames go on counting.
        realtime: read a file at the pace of its presentation times, not as fast as can be.
        labels: names and values of the caller's own, returned with the stream.
        paused: keep the stream, but do not read it.
        rules: that make events of its results, see `pipeline.events`.
        history: bytes that its history may take; None to keep none.
        sinks: where results are delivered to, beside the API; a text is as good as the object it stands for.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str = DEFAULT_MODEL
    words: Annotated[int, Field(ge=1, le=65536)] = DEFAULT_WORDS
    scope: Annotated[str, StringConstraints(pattern=r"^[^{}\s]{1,150}$")] | None = None
    fps: Annotated[float, Field(gt=0, le=1000)] | None = None
    policy: Literal["block", "drop-oldest"] | None = None
    loop: bool = False
    realtime: bool = False
    labels: Annotated[dict[str, str], Field(max_length=32)] = Field(default_factory=dict)
    paused: bool = False
    rules: Rules = Field(default_factory=list, description="Make events of its results; see docs/events.md.")
    history: Annotated[int, Field(ge=LEAST_HISTORY_BYTES, le=_MOST_HISTORY_BYTES)] | None = Field(
        default=None,
        description="Bytes that Redis may keep of what frames that changed looked like, so that they can be "
        "found by a picture; the oldest go first. Null to keep nothing.",
    )
    sinks: Sinks = Field(default_factory=list)

    @model_validator(mode="before")
    @classmethod
    def _check_text(cls, given: Any) -> Any:
        try:
            # JSON may hold half a character, which no UTF-8 does.
            json.dumps(given, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise ValueError("a text holds half a character (a lone surrogate)") from None
        return given

    @property
    def options(self) -> dict[str, Value]:
        """The options of all tokenizers by name."""
        return options_of(self)

    @field_validator("labels")
    @classmethod
    def _check_labels(cls, labels: dict[str, str]) -> dict[str, str]:
        for key, value in labels.items():
            if not _LABEL_KEY.fullmatch(key) or len(value) > 256:
                raise ValueError("a label has a key of 1 to 64 of A-Z a-z 0-9 _ . - and up to 256 characters")
        return labels


class StreamSpec(StreamSettings):
    """A stream as the service keeps it.

    Attributes:
        id: names the stream in URLs, results and keys.
        source: as `pipeline.sources.parse_source` takes it; may hold credentials, so it is not in the repr.
        created_at: Unix seconds.
        revision: counts changes; whoever runs the stream starts it anew when it grows.
    """

    id: StreamId
    source: str = Field(repr=False, max_length=4096)
    created_at: float = Field(default_factory=time.time)
    revision: int = 0

    @property
    def display(self) -> str:
        """The source without credentials."""
        return redact(self.source)

    @property
    def word_scope(self) -> str:
        """The scope of its window and words; words of one model are no use to another."""
        if self.scope is not None:
            return self.scope
        site = self.labels.get("site", "")
        # What cannot be part of a key names no site; a colon is in no id.
        whose = f"site:{site}" if _SITE.fullmatch(site) and site.isprintable() else self.id
        return f"{whose}/{self.model}"
