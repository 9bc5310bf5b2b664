from pathlib import Path

import pytest
import torch

from pipeline.errors import UsageError
from pipeline.input_spec import InputSpec
from pipeline.models.plain import NullModel
from pipeline.stream import StreamState
from vocab.words import Normalisation, Vocabulary
from workers.run.options import RunOptions, TokenizerOptions
from workers.run.tokenizer import check_tokenizer, stream_state

SPEC = InputSpec(28, 28)


class Patched(NullModel):
    """Computes nothing, but has patches to tokenize."""

    name = "patched"
    tokenizers = ("full", "intra", "inter")
    patch_size = 14
    grid = (2, 2)

    def __init__(self) -> None:
        super().__init__(torch.device("cpu"), SPEC)


def first_state(options: TokenizerOptions, model: NullModel, given: Vocabulary | None = None) -> StreamState:
    """The state that a file starts with."""
    run = RunOptions("clip.mp4", options)
    with stream_state("s", run, model, given, live=False, say=print) as state:
        return state


def words(patch_size: int = 14, normalisation: Normalisation | None = None) -> Vocabulary:
    return Vocabulary(torch.rand(5, 3 * patch_size**2), normalisation=normalisation)


@pytest.mark.parametrize(
    "options",
    [
        TokenizerOptions("half"),
        TokenizerOptions("inter", {"threshold": 2.1}),
        TokenizerOptions(options={"target": 2.1}),
        TokenizerOptions("inter", {"threshold": -0.1}),
        TokenizerOptions("inter", {"threshold": float("nan")}),
        TokenizerOptions("intra", {"drop": 1.0}),
        TokenizerOptions("intra", {"drop": -0.1}),
    ],
)
def test_settings_that_cannot_be_right_are_refused(options: TokenizerOptions) -> None:
    with pytest.raises(UsageError):
        check_tokenizer(options)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (TokenizerOptions("full", {"threshold": 0.1}), "full does not take --threshold: it is of inter"),
        (TokenizerOptions("recall", {"drop": 0.5}), "recall does not take --drop: it is of intra"),
        (
            TokenizerOptions("merge", {"merge_words": 0.1}),
            "merge does not take --merge-words: it is of recall",
        ),
        (TokenizerOptions("intra", of_words=("words", "scope")), "which --words, --scope are about"),
        (TokenizerOptions("recall", of_words=("redis",)), "leave it out, or give --merge-words above 0"),
        (
            TokenizerOptions("full", vocab=Path("missing"), of_words=("vocab",)),
            "leave it out, or give --tokenizer inter",
        ),
        (TokenizerOptions(vocab=Path("v"), of_words=("vocab", "words")), "so --words would change nothing"),
    ],
)
def test_what_the_tokenizer_does_nothing_with_is_refused_before_anything_slow(
    options: TokenizerOptions, says: str
) -> None:
    with pytest.raises(UsageError, match=says):
        check_tokenizer(options)


def test_what_it_takes_is_not_refused() -> None:
    check_tokenizer(TokenizerOptions("inter", {"threshold": 0.1}, of_words=("words", "redis")))
    check_tokenizer(TokenizerOptions("recall", {"merge_words": 0.1}, of_words=("words",)))


def test_where_none_is_named_it_is_refused_once_the_model_says_which_runs() -> None:
    options = TokenizerOptions(options={"drop": 0.5})
    check_tokenizer(options)
    with pytest.raises(UsageError, match="the tokenizer inter does not take --drop"):
        first_state(options, Patched())


def test_a_model_without_patches_takes_full_only() -> None:
    with pytest.raises(UsageError, match=r"does not take --tokenizer inter: .* use --tokenizer full"):
        first_state(TokenizerOptions("inter"), NullModel(torch.device("cpu")))


def test_without_a_tokenizer_the_model_gets_one_that_it_takes() -> None:
    assert not first_state(TokenizerOptions(), NullModel(torch.device("cpu"))).learning
    assert first_state(TokenizerOptions(), Patched()).learning


def test_words_alone_ask_for_inter() -> None:
    assert first_state(TokenizerOptions(vocab=Path("words")), Patched(), words()).vocabulary is not None
    with pytest.raises(UsageError, match="does not take --tokenizer inter"):
        first_state(TokenizerOptions(vocab=Path("words")), NullModel(torch.device("cpu")))


@pytest.mark.parametrize("name", ["full", "intra"])
def test_full_and_intra_learn_nothing(name: str) -> None:
    state = first_state(TokenizerOptions(name), Patched())
    assert not state.learning
    assert state.vocabulary is None


def test_inter_learns_its_words_where_none_are_given() -> None:
    state = first_state(TokenizerOptions("inter", warmup_frames=3), Patched())
    assert state.learning
    assert state.batch_limit(8) == 3


def test_inter_starts_with_the_words_it_is_given() -> None:
    own = words(normalisation=SPEC.normalisation)
    state = first_state(TokenizerOptions("inter"), Patched(), own)
    assert not state.learning
    assert state.vocabulary is own


def test_words_without_a_record_of_their_normalisation_are_taken_at_their_word() -> None:
    state = first_state(TokenizerOptions("inter"), Patched(), words())
    assert state.vocabulary is not None


def test_words_of_another_patch_size_are_refused() -> None:
    with pytest.raises(UsageError, match="patches of 16 pixels, model 'patched' has 14"):
        first_state(TokenizerOptions("inter"), Patched(), words(16))


def test_words_of_pixels_normalised_otherwise_are_refused() -> None:
    other = words(normalisation=Normalisation((0.1, 0.2, 0.3), (0.4, 0.5, 0.6)))
    with pytest.raises(UsageError, match="normalised otherwise"):
        first_state(TokenizerOptions("inter"), Patched(), other)
