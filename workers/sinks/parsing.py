"""Sinks as a caller names them: each an object, or the text that stands for one."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Union
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, GetCoreSchemaHandler
from pydantic_core import CoreSchema

from workers.sinks.registry import SINKS, Kind, sink_forms
from workers.sinks.settings import SinkSettings

_MOST = 8


class _OfRegistry:
    """Makes a field of `SinkSettings` take the settings of every kind, told apart by `kind`."""

    @staticmethod
    def __get_pydantic_core_schema__(_source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        kinds = tuple(kind.settings() for kind in SINKS.values())
        return handler.generate_schema(Annotated[Union[kinds], Field(discriminator="kind")])  # noqa: UP007


def _parsed(sinks: Any) -> Any:
    """Makes an object of each text, with a name that no other text has; objects are left as they are."""
    if not isinstance(sinks, list):
        return sinks
    texts: Counter[str] = Counter()
    found = []
    for sink in sinks:
        if isinstance(sink, str):
            kind = _kind_of(sink)
            texts[kind.name] += 1
            name = f"{kind.name}-{texts[kind.name]}" if texts[kind.name] > 1 else None
            found.append({"kind": kind.name, kind.settings().field: sink, "name": name})
        else:
            found.append(sink)
    return found


def _kind_of(text: str) -> Kind:
    try:
        scheme = urlsplit(text).scheme if "://" in text else ""
    except ValueError:
        # Not chained: what urllib says may quote a part of a password.
        raise ValueError("a sink is no URL; percent-encode its special characters") from None
    for kind in SINKS.values():
        if scheme in kind.settings().schemes:
            return kind
    raise ValueError(f"results cannot go to {scheme}://; a sink is {sink_forms()}")


def _of_different_names(sinks: list[SinkSettings]) -> list[SinkSettings]:
    names = [sink.key for sink in sinks]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two sinks are called {name!r}; give one another name")
    return sinks


AnySink = Annotated[SinkSettings, _OfRegistry]
Sinks = Annotated[
    list[AnySink],
    Field(max_length=_MOST, description=f"Where results go, each an object or a text: {sink_forms()}."),
    AfterValidator(_of_different_names),
    BeforeValidator(_parsed, json_schema_input_type=Annotated[list[str | AnySink], Field(max_length=_MOST)]),
]
