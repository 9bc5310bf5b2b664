"""The service does what its OpenAPI says, for requests that nobody thought of."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks, not_a_server_error
from schemathesis.openapi import from_dict

from tests.workers.gateway.serving import Api

# These go on until the client leaves, or wait for a picture that nobody takes here.
_ENDLESS = [
    "/v1/streams/{stream}/ws",
    "/v1/streams/{stream}/preview.mjpeg",
    "/v1/streams/{stream}/preview.jpg",
]
_KINDS = ("status_code_conformance", "content_type_conformance", "response_schema_conformance")


def test_every_answer_is_one_that_is_described(api: Api) -> None:
    api.add()
    load_all_checks()
    checks = [not_a_server_error, *(CHECKS.get_one(kind) for kind in _KINDS)]
    schema = from_dict(api.http.get("/openapi.json").json()).exclude(path=_ENDLESS)
    asked = set()

    def ask(case: Case) -> None:
        if case.path.endswith("/results"):
            case.query["follow"] = "false"
        if case.method != "DELETE" and "stream" in case.path_parameters:
            case.path_parameters["stream"] = "bikes"
        elif case.method == "DELETE":
            # The one that the others ask about stays.
            case.path_parameters["stream"] = "none"
        case.call_and_validate(base_url=str(api.http.base_url), checks=checks)
        asked.add((case.method, case.path))

    operations = [result.ok() for result in schema.get_all_operations()]
    for operation in operations:
        right = operation.as_strategy(generation_mode=GenerationMode.POSITIVE)
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE)
        settings(max_examples=12)(given(st.one_of(right, wrong))(ask))()
    assert len(asked) == len(operations) > 8
