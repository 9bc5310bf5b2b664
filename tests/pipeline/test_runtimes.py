import pytest

from pipeline.errors import UsageError
from pipeline.runtimes import RUNTIMES, candidates, check_computed


def names(precision: str, runtime: str) -> list[str]:
    return [f"{one} {kind.name}" for kind, one in candidates(precision, runtime)]


def test_auto_tries_the_fastest_first_and_never_int8() -> None:
    assert names("auto", "auto") == ["bf16 openvino", "bf16 torch", "fp32 openvino", "fp32 torch"]
    assert names("auto", "torch") == ["bf16 torch", "fp32 torch"]


def test_float32_is_computed_by_torch_unless_another_is_named() -> None:
    assert names("fp32", "auto")[0] == "fp32 torch"
    assert names("fp32", "openvino") == ["fp32 openvino"]


def test_graphs_are_for_who_asks_for_them_on_a_gpu() -> None:
    offered = [names(precision, "auto") for precision in ("auto", "bf16", "fp32")]
    assert not any("graphs" in one for some in offered for one in some)
    assert RUNTIMES["graphs"].devices == ("cuda",)


def test_int8_is_there_for_who_asks_for_it() -> None:
    assert names("int8", "auto") == ["int8 openvino"]


@pytest.mark.parametrize(
    ("precision", "runtime", "device", "says"),
    [
        ("fp16", "auto", "cpu", "there is no precision 'fp16'"),
        (None, "tvm", "cpu", "there is no runtime 'tvm'"),
        ("int8", "torch", "cpu", "torch does not compute in int8"),
        ("int8", "auto", "cuda", "on a GPU"),
        (None, "openvino", "cuda", "on a GPU models run in torch or graphs"),
        (None, "graphs", "cpu", "graphs runs on a GPU only; leave out --runtime"),
        ("fp16", "graphs", "cuda", "there is no precision 'fp16'"),
    ],
)
def test_what_cannot_be_is_refused_by_name(precision, runtime, device, says) -> None:
    with pytest.raises(UsageError, match=says):
        check_computed(precision, runtime, device)


def test_what_can_be_is_not_refused() -> None:
    for precision, runtime, device in [
        ("auto", "auto", "cuda"),
        ("bf16", "torch", "cuda"),
        (None, "graphs", "cuda"),
        (None, "auto", "cpu"),
    ]:
        check_computed(precision, runtime, device)
