"""What was predicted over a run."""

from pipeline.boxes import Box
from pipeline.results import Label, Prediction, Region
from pipeline.stats.predictions import PredictionStats


def stats_of(*predictions: Prediction) -> PredictionStats:
    stats = PredictionStats()
    for prediction in predictions:
        stats.add(prediction)
    return stats


def labelled(*names: str) -> Prediction:
    return Prediction("labels", labels=[Label(name, 0.5) for name in names])


def test_the_most_frequent_best_classes_are_told() -> None:
    stats = stats_of(*[labelled("bus", "car")] * 3, labelled("car", "bus"))

    assert stats.to_dict()["best"] == [{"label": "bus", "frames": 3}, {"label": "car", "frames": 1}]
    assert stats.text() == "mostly bus (3 frames), car (1 frames)"


def test_regions_are_counted_per_frame() -> None:
    region = Region(0, 0, 1, 1, 0.9)
    stats = stats_of(
        Prediction("regions", regions=[region] * 3),
        Prediction("regions"),
        Prediction("regions", regions=[region]),
    )

    assert stats.to_dict() == {"kind": "regions", "per_frame": 1.333, "frames_with_any": 2}
    assert stats.text() == "something stands out in 67 % of the frames, 2 regions each"


def boxes(*names: str) -> Prediction:
    return Prediction("boxes", boxes=[Box(0, 0, 1, 1, name, 0.9) for name in names])


def test_boxes_are_counted_by_name() -> None:
    stats = stats_of(boxes("person", "person", "car"), boxes(), boxes("person"), boxes("person"))

    assert stats.to_dict() == {
        "kind": "boxes",
        "names": [
            {"name": "person", "per_frame": 1.0, "frames": 3},
            {"name": "car", "per_frame": 0.25, "frames": 1},
        ],
    }
    assert stats.text() == "per frame 1 person (in 3 frames), 0.25 car (in 1 frames)"
    assert stats_of(boxes()).text() == "no boxes"


def test_names_of_boxes_without_end_take_no_memory_without_end() -> None:
    stats = stats_of(boxes("bus", "bus"), *(boxes(f"thing {number}") for number in range(1500)))

    assert stats.to_dict()["names"][0]["name"] == "bus"
    assert len(stats._named) == len(stats._named_frames) == 1000


def test_names_without_end_take_no_memory_without_end() -> None:
    stats = stats_of(*[labelled("bus")] * 3, *(labelled(f"class {number}") for number in range(1500)))

    assert stats.to_dict()["best"][0] == {"label": "bus", "frames": 3}
    assert len(stats._best) == 1000


def test_embeddings_have_nothing_to_tell() -> None:
    assert stats_of(Prediction("embedding", embedding=[1.0])).text() is None
