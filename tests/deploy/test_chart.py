"""The Helm chart's own files; `make test-chart` renders it."""

from __future__ import annotations

import json

import jsonschema
import pytest
import yaml

from tests.deploy.files import DEPLOY

CHART = DEPLOY / "helm" / "vwt"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())


def values() -> dict:
    found: dict = yaml.safe_load((CHART / "values.yaml").read_text())
    return found


def test_what_its_templates_read_are_the_files_that_others_use() -> None:
    links = list((CHART / "files").iterdir())
    assert links
    for link in links:
        assert link.is_symlink()
        assert link.resolve(strict=True).is_relative_to(DEPLOY.resolve())
    read = "".join(path.read_text() for path in (CHART / "templates").iterdir())
    assert [link.name for link in links if link.name not in read] == []


def test_its_values_are_as_its_schema_says() -> None:
    jsonschema.validate(values(), SCHEMA)


def test_values_of_another_kind_are_refused() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(dict.fromkeys(values(), "no such thing"), SCHEMA)
