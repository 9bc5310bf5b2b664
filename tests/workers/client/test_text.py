"""What is said of a result in a line."""

from pipeline.boxes import Box
from pipeline.results import Prediction
from tests.pipeline.outputs.examples import a_result
from workers.client.text import event_line


def line(*boxes: Box) -> str:
    said = event_line("prediction", a_result(prediction=Prediction("boxes", boxes=boxes)).to_json())
    assert said is not None
    return said


def test_boxes_are_counted_by_name() -> None:
    person, car = Box(0, 0, 1, 1, "person", 0.9), Box(0, 0, 1, 1, "car", 0.8)

    assert "  2 person, 1 car, best 0.90  " in line(person, car, person)
    assert "  no boxes  " in line()
