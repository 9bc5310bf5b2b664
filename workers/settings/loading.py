"""Where the settings of the service come from: a file, then the environment, then flags; the last wins."""

from __future__ import annotations

import difflib
import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from pipeline.errors import UsageError
from pipeline.redact import redact
from workers.settings.schema import ServiceSettings

_READERS = {".toml": tomllib.loads, ".json": json.loads, ".yaml": yaml.safe_load, ".yml": yaml.safe_load}
_PREFIX = "VWT_"


@dataclass(frozen=True, slots=True)
class _Layer:
    """Values from one place, nested as the settings are."""

    place: str
    values: Mapping[str, Any]


def load_settings(config: Path | None, flags: Mapping[str, Any]) -> ServiceSettings:
    """Reads the settings of the service.

    Args:
        config: a TOML, YAML or JSON file.
        flags: settings from the command line, nested as the settings are; only those that were given.

    Raises:
        UsageError: the file cannot be read, or a setting cannot be right; says which, and where it is from.
    """
    layers = [] if config is None else [_Layer(str(config), _read(config))]
    return _settings([*layers, _environment(), _Layer("the command line", flags)])


def settings_of(args: Mapping[str, Any]) -> ServiceSettings:
    """The settings that the `args` of a Serve application name; the environment gives what they leave out.

    Raises:
        UsageError: a setting cannot be right; says which, and where it is from.
    """
    return _settings([_environment(), _Layer("the application's args", args)])


def print_settings(settings: ServiceSettings) -> str:
    """The settings as YAML that `load_settings` reads; a Redis URL comes without its credentials."""
    values = settings.model_dump(mode="json")
    if settings.redis is not None:
        values["redis"] = redact(settings.redis)
    return str(yaml.safe_dump(values, sort_keys=False))


class _Variables(ServiceSettings, BaseSettings):
    model_config = SettingsConfigDict(env_prefix=_PREFIX, env_nested_delimiter="__")


class _Environment(EnvSettingsSource):
    """Leaves what is no JSON as it is: that a text is wrong, or a list with commas, the settings know."""

    def decode_complex_value(self, field_name: str, field: Any, value: Any) -> Any:
        """See pydantic-settings."""
        try:
            return super().decode_complex_value(field_name, field, value)
        except ValueError:
            return value


def _environment() -> _Layer:
    return _Layer("the environment", _Environment(_Variables)())


def _read(path: Path) -> Mapping[str, Any]:
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise UsageError(f"cannot read the settings {path}: give a .toml, .yaml, .yml or .json file")
    try:
        values = reader(path.read_text()) or {}
        named = isinstance(values, dict) and _named(values)
    except OSError as error:
        raise UsageError(f"cannot read the settings {path}: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        # Its text would quote the file, which may hold a password.
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise UsageError(f"cannot read the settings {path}: {error.problem}{line}") from None
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the settings {path}: {redact(str(error))}") from None
    except RecursionError:
        # In YAML a part may also hold itself.
        raise UsageError(f"cannot read the settings {path}: it is nested too deep") from None
    if not named:
        raise UsageError(f"cannot read the settings {path}: it must hold settings by name")
    return values


def _named(values: Mapping[Any, Any]) -> bool:
    """Whether all settings are called by a text, at every depth; YAML also has numbers and dates there."""
    return all(
        isinstance(key, str) and (not isinstance(value, Mapping) or _named(value))
        for key, value in values.items()
    )


def _settings(layers: list[_Layer]) -> ServiceSettings:
    values: dict[str, Any] = {}
    for layer in layers:
        values = _merged(values, layer.values)
    try:
        return ServiceSettings(**values)
    except ValidationError as error:
        raise UsageError(_explained(error.errors(), layers)) from None


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        old = merged.get(key)
        both = isinstance(old, Mapping) and isinstance(value, Mapping)
        merged[key] = _merged(old, value) if both else value  # type: ignore[arg-type]
    return merged


def _explained(errors: list[ErrorDetails], layers: list[_Layer]) -> str:
    first = errors[0]
    path = [str(part) for part in first["loc"]]
    name = ".".join(path)
    place = next((layer.place for layer in reversed(layers) if _holds(layer.values, path)), "")
    if place == "the environment":
        place = _variable(path)
    more = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
    if first["type"] == "extra_forbidden":
        return f"there is no setting {name} (from {place}){_similar(path)}{more}"
    value = redact(str(first["input"]))
    right = first["msg"].removeprefix("Value error, ").replace("Input should be", "it must be")
    if first["type"] == "model_type":
        right = "it must hold settings by name"
    return f"the setting {name} cannot be {value!r} (from {place}): {right}{more}"


def _holds(values: Any, path: list[str]) -> bool:
    for part in path:
        if not isinstance(values, Mapping):
            return True
        if part not in values:
            return False
        values = values[part]
    return True


def _variable(path: list[str]) -> str:
    set_here = {name.upper(): name for name in os.environ}
    for length in range(len(path), 0, -1):
        name = _PREFIX + "__".join(path[:length]).upper()
        if name in set_here:
            return set_here[name]
    return "the environment"


def _similar(path: list[str]) -> str:
    model: type[BaseModel] = ServiceSettings
    for part in path[:-1]:
        field = model.model_fields[part].annotation
        assert isinstance(field, type)
        assert issubclass(field, BaseModel)
        model = field
    close = difflib.get_close_matches(path[-1], model.model_fields, 1)
    return f"; did you mean {'.'.join([*path[:-1], close[0]])}?" if close else ""
