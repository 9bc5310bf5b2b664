"""A tokenizer is one file and one line: with both in a copy of the tree, all that names tokenizers has it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Screen
from tests.e2e.command import refused, succeeds, vwt
from tests.e2e.service import Service

ROOT = Path(__file__).parents[2]
FILE = '''"""Keeps every nth patch."""

import torch

from pipeline.tokenizers.base import identity_groups
from pipeline.tokenizers.plan import TokenPlan


class EveryTokenizer:
    name = "every"
    vocab_version = None

    def __init__(self, nth: int = 2, end: str = "first") -> None:
        self.nth = nth
        self.end = end

    def plan(self, images, patch_size, prefix=1):
        position = identity_groups(images, patch_size)
        group = torch.where(position % self.nth == 0, position // self.nth, -1)
        kept = (position.shape[1] - 1) // self.nth + 1
        return TokenPlan(group, torch.full((len(group),), kept, device=group.device), prefix, kept)

    def flops(self, patches, patch_size):
        return 0
'''
LINE = """    Kind(
        "every", "every nth patch is kept", "every:EveryTokenizer",
        {
            "nth": Option(int, 2, "keeps every nth patch", ge=1, le=16),
            "end": Option(str, "first", "where it begins", choices=("first", "last")),
        },
        knob=("nth", 1),
    ),
"""
# Of the 12 rows of 16 patches of carphone, the first patch and every third after it.
PATCHES, KEPT = 192, 64


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of our packages with a tokenizer more."""
    copy = tmp_path_factory.mktemp("tree")
    for package in ("vocab", "pipeline", "workers"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    tokenizers = copy / "pipeline" / "tokenizers"
    (tokenizers / "every.py").write_text(FILE)
    registry = tokenizers / "registry.py"
    text = registry.read_text()
    last = '    Kind("full"'
    assert text.count(last) == 1
    registry.write_text(text.replace(last, LINE + last))
    return copy


@pytest.fixture(scope="module")
def service(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    running = Service("--data-folder", tmp_path_factory.mktemp("data"), tree=tree)
    yield running
    running.close()


def test_without_the_file_and_the_line_there_is_no_such_tokenizer() -> None:
    assert "unknown tokenizer 'every'" in refused("run", "sample:carphone", "--tokenizer", "every", code=2)


@pytest.mark.parametrize("command", [("run",), ("streams", "add")])
def test_help_has_its_option_with_bounds_and_default(tree: Path, command: tuple[str, ...]) -> None:
    said = " ".join(succeeds(*command, "--help", tree=tree).stdout.split())

    assert "--nth INTEGER every: keeps every nth patch (from 1 to 16). [default: 2]" in said
    assert "--end TEXT every: where it begins (first or last). [default: first]" in said
    assert "every: every nth patch is kept" in said


def test_a_run_keeps_the_tokens_that_it_says(tree: Path, tmp_path: Path) -> None:
    out = tmp_path / "results.jsonl"
    chosen = ("--tokenizer", "every", "--nth", "3", "--max-frames", "3", "--out", out)
    succeeds("run", "sample:carphone", *chosen, tree=tree)

    results = [json.loads(line) for line in out.read_text().splitlines()]
    assert [result["tokenizer"] for result in results] == ["every"] * 3
    assert [result["tokens"] for result in results] == [{"full": PATCHES, "kept": KEPT}] * 3


def test_a_run_refuses_an_option_out_of_range(tree: Path) -> None:
    done = vwt("run", "sample:carphone", "--tokenizer", "every", "--nth", "99", tree=tree)

    assert done.returncode == 2
    assert "--nth 99 is out of range: give a whole number from 1 to 16" in done.stderr


def test_a_run_refuses_what_is_not_among_its_choices(tree: Path) -> None:
    done = vwt("run", "sample:carphone", "--tokenizer", "every", "--end", "middle", tree=tree)

    assert done.returncode == 2
    assert "--end middle is not known: give first or last" in done.stderr


@pytest.mark.timeout(600)
def test_the_service_describes_it_runs_it_and_refuses_what_is_out_of_range(service: Service) -> None:
    schemas = httpx.get(f"{service.url}/openapi.json").json()["components"]["schemas"]
    field = schemas["NewStream"]["properties"]["nth"]
    assert (field["minimum"], field["maximum"], field["default"]) == (1, 16, 2)
    choice = schemas["NewStream"]["properties"]["end"]
    assert (choice["enum"], choice["default"]) == (["first", "last"], "first")

    wanted = {"source": "sample:carphone", "loop": True, "tokenizer": "every", "nth": 3, "end": "last"}
    added = httpx.post(f"{service.url}/v1/streams", json=wanted)
    assert (added.status_code, added.json()["settings"]["nth"]) == (201, 3)
    assert added.json()["settings"]["end"] == "last"
    results = [result for _, result in service.results("carphone", 2)]
    assert [(result["tokenizer"], result["tokens"]["kept"]) for result in results] == [("every", KEPT)] * 2

    wrong = httpx.post(f"{service.url}/v1/streams", json=wanted | {"nth": 99})
    assert wrong.status_code == 422
    assert wrong.json()["errors"] == [
        {"field": "body.nth", "reason": "Input should be less than or equal to 16"}
    ]


@pytest.mark.timeout(600)
def test_the_form_of_the_page_has_it(service: Service, open_page: Callable[..., Screen]) -> None:
    page = open_page(f"{service.url}/").page
    page.get_by_role("button", name="Add a stream").click()
    nth = page.get_by_label("keeps every nth patch")
    expect(page.get_by_label("Tokenizer")).to_be_visible()
    expect(nth).to_be_hidden()

    page.get_by_label("Tokenizer").select_option("every")

    expect(nth).to_be_visible()
    assert (nth.get_attribute("min"), nth.get_attribute("max"), nth.get_attribute("placeholder")) == (
        "1",
        "16",
        "2",
    )
    choice = page.get_by_label("where it begins")
    expect(choice).to_have_value("first")
    choice.select_option("last")
