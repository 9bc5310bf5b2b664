import pytest

from pipeline.errors import UsageError
from workers.serve.cards import fitted, replicas_that_fit
from workers.settings.schema import InferenceSettings


@pytest.mark.parametrize(
    ("cards", "share", "replicas"),
    [
        (1, 1, 1),
        (4, 1, 4),
        (1, 0.5, 2),
        (1, 1 / 3, 3),
        (2, 0.4, 4),
        (2, 0.6, 2),
        (4, 2, 2),
        (1, 2, 0),
        (0, 1, 0),
    ],
)
def test_a_card_is_split_and_nobody_has_parts_of_two(cards, share, replicas):
    assert replicas_that_fit(cards, share) == replicas


def test_the_usual_four_replicas_become_as_many_as_there_are_cards_for():
    said: list[str] = []
    found = fitted(InferenceSettings(num_gpus=1), 1, said.append)
    assert (found.scaling.min_replicas, found.scaling.max_replicas) == (1, 1)
    assert fitted(InferenceSettings(num_gpus=0.5), 1, said.append).scaling.max_replicas == 2
    assert fitted(InferenceSettings(num_gpus=1), 8, said.append).scaling.max_replicas == 4
    assert said == []


def test_who_asked_for_more_is_told():
    said: list[str] = []
    fitted(InferenceSettings.model_validate({"num_gpus": 1, "scaling": {"max_replicas": 6}}), 2, said.append)
    (told,) = said
    assert told.startswith(
        "of 6 replicas of Inference with 1 of a GPU each (inference.num_gpus) at most 2 fit"
    )


def test_replicas_that_must_be_and_have_no_card_are_refused_at_once():
    settings = InferenceSettings.model_validate(
        {"num_gpus": 1, "scaling": {"min_replicas": 2, "max_replicas": 2}}
    )
    with pytest.raises(
        UsageError, match=r"2 replicas of Inference .* do not fit, there is 1 GPU: .*num_gpus = 0"
    ):
        fitted(settings, 1, lambda _: None)


def test_a_cluster_that_does_not_say_what_it_may_add_is_taken_at_the_word_of_the_settings():
    settings = InferenceSettings(num_gpus=1)
    assert fitted(settings, None, lambda _: None) is settings


def test_without_gpus_nothing_changes():
    settings = InferenceSettings()
    assert fitted(settings, 0, lambda _: None) is settings
