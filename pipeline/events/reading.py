"""Rules from a file or from values, with one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from pipeline.errors import UsageError
from pipeline.events.rules import AnyRule, Rules

_RULES: TypeAdapter[list[AnyRule]] = TypeAdapter(Rules)
_LARGEST_FILE = 2**20


def read_rules(value: Any, where: str = "rules") -> list[AnyRule]:
    """Rules from a list of objects, or an object with such a list as `rules`.

    Args:
        value: as YAML or JSON gives it.
        where: it is from, for the error.

    Raises:
        UsageError: names the rule and the field that cannot be right.
    """
    if isinstance(value, dict):
        if extra := sorted(str(key) for key in value.keys() - {"rules"}):
            raise UsageError(f"{where}: {extra[0]}: not known here; give a list of rules, or rules: [...]")
        value = value.get("rules")
    try:
        return _RULES.validate_python(value)
    except ValidationError as error:
        raise UsageError(f"{where}: {_first(error, value)}") from None


def read_rules_file(path: str | Path) -> list[AnyRule]:
    """Rules from a .json, .yaml or .yml file.

    Raises:
        UsageError: it cannot be read, or a rule cannot be right.
    """
    place = Path(path)
    try:
        if place.stat().st_size > _LARGEST_FILE:
            raise UsageError(f"cannot read the rules {path}: it has more than {_LARGEST_FILE} bytes")
        text = place.read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"cannot read the rules {path}: {error.strerror}; give a file of rules") from None
    except ValueError:
        raise UsageError(f"cannot read the rules {path}: it is no text in UTF-8, or no path") from None
    return read_rules(_parsed(text, place), str(path))


def _parsed(text: str, place: Path) -> Any:
    import yaml  # type: ignore[import-untyped]

    try:
        return json.loads(text) if place.suffix.lower() == ".json" else yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" in line {error.problem_mark.line + 1}"
        raise UsageError(f"cannot read the rules {place}: {error.problem or 'it is no YAML'}{line}") from None
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise UsageError(f"cannot read the rules {place}: {str(error).splitlines()[0]}") from None


def _first(error: ValidationError, value: Any) -> str:
    """The first thing that is wrong: which rule, which field, why."""
    found = error.errors(include_url=False)[0]
    said = found["msg"].removeprefix("Value error, ")
    at, *rest = found["loc"] or (None,)
    if not isinstance(at, int):
        return said if isinstance(value, list) else "a list of rules is wanted: - {name: ..., what: ...}"
    rule = value[at] if isinstance(value, list) else None
    name = rule.get("name") if isinstance(rule, dict) else None
    # The second part is the kind that pydantic took it for.
    field = ".".join(str(part) for part in rest[1:])
    if found["type"] in ("union_tag_not_found", "union_tag_invalid"):
        field, said = "what", "give one of box, changed, region, zone, label, novelty, cut, stream, guard"
    elif found["type"] == "string_pattern_mismatch" and field == "name":
        said = "give 1 to 64 small letters, digits and -"
    shown = f"rule {at + 1}" + (f" ({name})" if isinstance(name, str) else "")
    return ": ".join(part for part in (shown, field, said) if part)
