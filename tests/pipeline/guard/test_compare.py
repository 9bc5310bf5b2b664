"""When two predictions of a frame say the same."""

from pipeline.boxes import Box
from pipeline.guard.compare import agreement
from pipeline.results import Label, Prediction, Region


def test_boxes_agree_by_name_and_place() -> None:
    person, car = Box(0.1, 0.1, 0.2, 0.4, "person", 0.9), Box(0.1, 0.1, 0.2, 0.4, "car", 0.8)

    assert agreement(Prediction("boxes", boxes=[person]), Prediction("boxes", boxes=[person])) == 1
    assert agreement(Prediction("boxes", boxes=[person]), Prediction("boxes", boxes=[car])) == 0
    assert agreement(Prediction("boxes"), Prediction("boxes")) == 1


def test_regions_agree_by_place_and_labels_by_the_best() -> None:
    region = Region(0.1, 0.1, 0.2, 0.4, 0.9)
    first, second = (Prediction("labels", labels=[Label(name, 0.9)]) for name in ("bus", "car"))

    assert agreement(Prediction("regions", regions=[region]), Prediction("regions", regions=[region])) == 1
    assert agreement(first, first) == 1
    assert agreement(first, second) == 0


def test_vectors_do_not_agree_or_disagree() -> None:
    assert agreement(Prediction("embedding"), Prediction("embedding")) is None
    assert agreement(Prediction("embedding"), Prediction("boxes")) == 0
