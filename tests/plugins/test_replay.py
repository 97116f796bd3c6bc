"""The replay harness: it must notice differences."""

from plugins.protocol.messages import CheckRequest, CheckResponse, Failure
from plugins.protocol.provider import Provider
from tests.plugins.replay import Call, answer, differences, recorded


class Echo(Provider):
    name, version = "echo", "1.0.0"

    def check(self, request: CheckRequest) -> CheckResponse:
        if "fail" in request.news:
            raise Failure("no")
        return CheckResponse(request.news)


def call(
    news: dict[str, object], response: dict[str, object] | None, errors: list[str] | None = None
) -> Call:
    return Call("none", 1, "echo", "Check", {"news": news}, response, errors or [])


def test_the_recordings_are_all_there() -> None:
    counts = {plugin: len(recorded(plugin)) for plugin in ("tls", "command", "docker")}
    assert counts == {"tls": 233, "command": 186, "docker": 276}


def test_an_equal_answer_has_no_differences() -> None:
    same = call({"a": [1, {"b": None}]}, {"inputs": {"a": [1.0, {"b": None}]}})
    assert differences(same, answer(Echo(), same)) == []


def test_every_kind_of_difference_is_named_with_its_path() -> None:
    other = call({"a": [1], "b": "x", "c": 1}, {"inputs": {"a": [2], "b": "y", "d": 1}})
    found = differences(other, answer(Echo(), other), {"inputs.b": "[a-x]"})
    assert [text.split(":")[0] for text in found] == ["inputs.a[0]", "inputs.b", "inputs.c", "inputs.d"]


def test_a_failure_is_compared_by_its_text() -> None:
    failing = call({"fail": True}, None, ["rpc error: code = Unknown desc = yes"])
    assert differences(failing, answer(Echo(), failing)) != []
