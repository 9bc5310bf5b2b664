"""The registry of tokenizers: light, agreed, and the only place that knows their options."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.tokenizers.registry import TOKENIZERS, Kind, Option, all_options, by_name, kind_of, preferred
from pipeline.tokenizers.stream import GivenWords, StreamNeeds
from vocab.words import Vocabulary

ROOT = Path(__file__).parents[3]
SHARE = Option(float, 0.5, "share of patches", ge=0, lt=1, unit="a share of patches")


def test_it_is_imported_without_torch() -> None:
    code = (
        "import sys, pipeline.tokenizers.registry; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


@pytest.mark.parametrize("name", TOKENIZERS)
def test_every_line_leads_to_a_tokenizer_of_that_name(name: str) -> None:
    words = GivenWords(Vocabulary(torch.rand(3, 12)))

    assert TOKENIZERS[name].open({}, StreamNeeds(words)).next([]).name == name


@pytest.mark.parametrize("kind", TOKENIZERS.values(), ids=lambda kind: kind.name)
def test_defaults_are_within_their_bounds_and_knobs_are_options(kind: Kind) -> None:
    assert set(kind.check({})) == set(kind.options)
    assert kind.knob is None or kind.knob[0] in kind.options
    assert (kind.near is not None) == (kind.wants != "nothing")
    assert kind.near is None or kind.near in kind.options


def test_checking_fills_in_defaults_and_leaves_options_of_others_out() -> None:
    kind = Kind("half", "half", "half:Half", {"share": SHARE, "seed": Option(int, 7, "seed")})

    assert kind.check({"share": None, "colour": 3}) == {"share": 0.5, "seed": 7}
    assert kind.check({"share": 0, "seed": 3.0}) == {"share": 0.0, "seed": 3}


def test_some_want_words_always_and_some_only_with_what_needs_them() -> None:
    near = {"near": Option(float, 0, "a distance", ge=0)}
    never, always, then = (
        Kind("some", "", "some:Some", near, wants=wants, near="near")
        for wants in ("nothing", "words", "words if near")
    )

    assert [kind.wants_words({}) for kind in (never, always, then)] == [False, True, False]
    assert [kind.wants_words({"near": 0.2}) for kind in (never, always, then)] == [False, True, True]


@pytest.mark.parametrize(
    ("option", "value", "says"),
    [
        (SHARE, 1.0, "--my-share 1.0 is out of range: give a share of patches from 0 up to 1, 1 excluded"),
        (SHARE, -0.1, "--my-share -0.1 is out of range"),
        (SHARE, float("nan"), "--my-share nan is out of range"),
        (
            Option(int, 2, "", ge=1, le=16),
            99,
            "--my-share 99 is out of range: give a whole number from 1 to 16",
        ),
        (Option(int, 2, "", ge=1), 1.5, "--my-share 1.5 is out of range: give a whole number from 1"),
        (Option(float, 2, "", gt=0), 0, "--my-share 0 is out of range: give a number from 0, 0 excluded"),
        (Option(int, 2, ""), True, "--my-share True is out of range: give a whole number"),
        (
            Option(str, "a", "", choices=("a", "b", "c")),
            "d",
            "--my-share d is not known: give a, b or c",
        ),
        (Option(str, "a", "", choices=("a", "b")), 1, "--my-share 1 is not known: give a or b"),
        (SHARE, "a", "--my-share a is out of range"),
    ],
)
def test_what_is_out_of_range_is_refused_with_the_bounds(option: Option, value: float, says: str) -> None:
    with pytest.raises(UsageError, match=re.escape(says)):
        Kind("some", "", "some:Some", {"my_share": option}).check({"my_share": value})


def test_tokenizers_may_share_an_option_only_where_it_is_the_same() -> None:
    first = Kind("a", "", "a:A", {"share": SHARE})
    by_name(first, Kind("b", "", "b:B", {"share": SHARE._replace(says="of others")}))

    for other in (SHARE._replace(lt=0.5), SHARE._replace(default=0.3)):
        with pytest.raises(ValueError, match="option share of b differs"):
            by_name(first, Kind("b", "", "b:B", {"share": other}))
    with pytest.raises(ValueError, match="share a name"):
        by_name(first, first)


def test_an_unknown_tokenizer_is_refused_with_those_there_are() -> None:
    with pytest.raises(UsageError, match=f"unknown tokenizer 'half'; use one of {', '.join(TOKENIZERS)}"):
        kind_of("half")


def test_the_first_that_a_model_takes_is_preferred() -> None:
    assert preferred(tuple(TOKENIZERS)).name == "recall"
    assert preferred(("full", "inter")).name == "inter"
    assert preferred(("full",)).name == "full"


def named_in(path: Path) -> Iterator[str]:
    """Texts, arguments and attributes of a file of Python or of the page."""
    text = path.read_text()
    if path.suffix != ".py":
        yield from re.findall(r"""["'`.]([\w-]+)""", text)
        return
    for node in ast.walk(ast.parse(text)):
        match node:
            # Other things, as the mode of a file, have names of one letter too.
            case ast.Constant(value=str() as word) if len(word) > 1:
                yield word
            case ast.keyword(arg=str() as word) | ast.arg(arg=word) | ast.Attribute(attr=word):
                yield word


def test_no_file_but_the_tokenizers_own_names_an_option() -> None:
    # Threads have a target as well, functions a cache, and a search may be exact.
    options = set(all_options()) - {"target", "cache", "exact"} | {f"--{name}" for name in all_options()}
    own = ROOT / "pipeline" / "tokenizers"
    files = [
        path
        for package in ("vocab", "pipeline", "workers")
        for ending in ("py", "js", "html")
        for path in (ROOT / package).rglob(f"*.{ending}")
        if own not in path.parents
    ]
    assert len(files) > 200

    found = {(path.relative_to(ROOT), word) for path in files for word in named_in(path) if word in options}

    assert found == set()


@pytest.mark.parametrize("package", ["pipeline", "workers"])
def test_no_file_but_the_tokenizers_own_compares_with_the_name_of_one(package: str) -> None:
    names = "|".join(TOKENIZERS)
    own = ROOT / "pipeline" / "tokenizers"
    files = [path for ending in ("py", "js") for path in (ROOT / package).rglob(f"*.{ending}")]
    assert len(files) > 50

    others = [path for path in files if own not in path.parents]
    found = [path for path in others if re.search(rf"""[!=]==? ?["']({names})["']""", path.read_text())]

    assert found == []
