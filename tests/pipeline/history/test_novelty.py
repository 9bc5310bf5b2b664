from pipeline.history import Novelty
from pipeline.results import Prediction


def showing(*embedding: float, decision: str | None = None) -> tuple[Prediction, str | None]:
    return Prediction("regions", embedding=embedding), decision


def test_the_first_frame_is_kept_and_what_looks_like_it_is_not() -> None:
    novelty = Novelty(0.1)
    assert novelty.keeps(*showing(1, 0))
    assert not novelty.keeps(*showing(5, 0.1))
    assert novelty.keeps(*showing(1, 1))


def test_a_slow_change_is_held_against_what_was_kept_and_not_against_the_frame_before() -> None:
    novelty = Novelty(0.1)
    kept = [novelty.keeps(*showing(1, step / 10)) for step in range(11)]
    assert 2 <= sum(kept) <= 4


def test_a_held_frame_is_an_old_answer_and_is_not_kept() -> None:
    novelty = Novelty(0.1)
    assert not novelty.keeps(*showing(1, 0, decision="hold"))
    assert novelty.keeps(*showing(1, 0, decision="recall"))


def test_a_result_without_an_embedding_is_not_kept() -> None:
    assert not Novelty().keeps(Prediction("none"), None)


def test_an_embedding_of_another_width_is_new() -> None:
    novelty = Novelty()
    assert novelty.keeps(*showing(1, 0))
    assert novelty.keeps(*showing(1, 0, 0))
