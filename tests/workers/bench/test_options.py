"""What `--tokenizers` of `vwt bench` means."""

import pytest

from pipeline.errors import UsageError
from pipeline.tokenizers.registry import TOKENIZERS
from workers.bench.options import asked_for


def test_a_knob_that_is_not_set_is_tried_at_several_values() -> None:
    (merge,) = asked_for("merge")

    tried = TOKENIZERS["merge"].options["r"].tries
    assert [setting["r"] for setting in merge.settings()] == list(tried)
    assert len(tried) > 2


def test_what_is_set_stays_and_the_rest_is_tried() -> None:
    counted, fixed = asked_for("inter:count-sizes=1, merge:r=3")

    assert {setting["count_sizes"] for setting in counted.settings()} == {True}
    assert len(counted.settings()) == len(TOKENIZERS["inter"].options["threshold"].tries)
    assert fixed.settings() == [{"r": 3}]


def test_every_tokenizer_with_a_knob_says_what_is_to_be_tried() -> None:
    for kind in TOKENIZERS.values():
        if kind.knob is not None:
            option = kind.options[kind.knob[0]]
            assert len(option.tries) >= 3, kind.name
            assert all(option.holds(value) for value in option.tries), kind.name


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("half", "unknown tokenizer 'half'"),
        ("merge:q=3", "options of merge: r"),
        ("merge:r", "give NAME:OPTION=VALUE"),
        ("merge:r=many", "give a number"),
        ("merge:r=-1", "out of range"),
        ("full:r=1", "options of full: none"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        asked_for(text)
