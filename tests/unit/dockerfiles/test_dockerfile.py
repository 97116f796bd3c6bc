"""Which images builds need, by Docker's Dockerfile reference."""

import pytest

from dockerfiles.dockerfile import InvalidDockerfile, needed_images, volumes

CASES: dict[str, tuple[str, dict[str, str], list[str]]] = {
    "an image": ("FROM debian:12\n", {}, ["debian:12"]),
    "scratch is none": ("FROM scratch\nCOPY a /\n", {}, []),
    "arguments use earlier ones": ("ARG REL=12\nARG BASE=debian:${REL}\nFROM ${BASE}\n", {}, ["debian:12"]),
    "an argument of the build goes first": (
        "ARG BASE=debian:12\nFROM $BASE\n",
        {"BASE": "alpine"},
        ["alpine"],
    ),
    "a default that the build replaces is not read": ("ARG A=${B:?}\nFROM $A\n", {"A": "b"}, ["b"]),
    "an undeclared argument is none": ("FROM debian:${REL:-12}\n", {"REL": "13"}, ["debian:12"]),
    "an argument without a default": ("ARG BASE\nFROM ${BASE}\n", {"BASE": "alpine:3"}, ["alpine:3"]),
    "quotes": ("ARG BASE=\"debian:12\"\nFROM '$BASE'x\n", {}, ["$BASEx"]),
    "only arguments ahead of the first FROM count": (
        "ARG B=a\nFROM a\nARG B=c\nFROM ${B}\nCOPY --from=0 /x /\n",
        {},
        ["a"],
    ),
    "a heredoc is data": ("FROM a\nCOPY <<EOF /main.py\nfrom flask import Flask\nEOF\n", {}, ["a"]),
    "a heredoc with tabs is data": ("FROM a\nRUN <<-X\n\tFROM b\n\tX\nRUN true\n", {}, ["a"]),
    "a comment in a continued line": ("FROM a \\\n# FROM b\n  AS c\nRUN true\n", {}, ["a"]),
    "the escape directive": ("# escape=`\nFROM `\n  a\nRUN dir \\\n", {}, ["a"]),
    "stages are no images": ("FROM a AS Build\nFROM build\n", {}, ["a"]),
    "a stage's name is one only below it": ("FROM b\nFROM a AS b\nCOPY --from=0 / /\n", {}, ["b", "a"]),
    "unused stages are not built": ("FROM gone.invalid/x AS unused\nFROM a\n", {}, ["a"]),
    "platform arguments are predefined": (
        "FROM a AS bin-amd64\nFROM b AS bin-arm64\nFROM bin-${TARGETARCH}\n",
        {},
        ["a"],
    ),
    "the build's platform is another": ("FROM a-$BUILDARCH\n", {}, ["a-arm64"]),
    "a predefined argument can be overridden": ("FROM a-$TARGETARCH\n", {"TARGETARCH": "x"}, ["a-x"]),
    "--platform is an option": ("FROM --platform=$BUILDPLATFORM a AS b\n", {}, ["a"]),
    "COPY --from an image": ("FROM a\nCOPY --from=busybox:1 /bin/x /y\n", {}, ["a", "busybox:1"]),
    "COPY --from a stage by number": ("FROM a\nFROM b\nCOPY --from=0 /x /y\n", {}, ["a", "b"]),
    "FROM by number is an image": ("FROM a\nFROM 0\nCOPY --from=0 /x /y\n", {}, ["a", "0"]),
    "COPY --from a stage by name": ("FROM a AS x\nFROM b\nCOPY --from=X /x /y\n", {}, ["a", "b"]),
    "RUN --mount from an image": (
        "FROM a\nRUN --mount=type=bind,from=golang:1,target=/g go\n",
        {},
        ["a", "golang:1"],
    ),
    "a frontend": (
        "# syntax = docker/dockerfile:1 x\n# escape=`\nFROM a\n",
        {},
        ["docker/dockerfile:1", "a"],
    ),
    "a frontend after another line is a comment": ("# a\n# syntax=b\nFROM a\n", {}, ["a"]),
    "a frontend by argument": ("# syntax=b\nFROM a\n", {"BUILDKIT_SYNTAX": "c"}, ["c", "a"]),
    "COPY --from a later stage": (
        "FROM a AS x\nCOPY --from=later / /\nFROM b AS later\nFROM x\n",
        {},
        ["a", "b"],
    ),
    "COPY --from a later stage by number": (
        "FROM a AS x\nCOPY --from=+1 / /\nFROM b\nFROM x\n",
        {},
        ["a", "b"],
    ),
    "RUN --mount from a later stage": (
        "FROM a AS x\nRUN --mount=from=later,target=/t x\nFROM b AS later\nFROM x\n",
        {},
        ["a", "b"],
    ),
    "RUN --mount knows no numbers": ("FROM a\nFROM b\nRUN --mount=from=0,target=/t x\n", {}, ["b", "0"]),
    "RUN --mount in capitals and quotes": (
        "FROM a\nRUN --mount='FROM=b,target=/t' x\nRUN --mount=\\\"from=c\\\",target=/t x\n",
        {},
        ["a", "b", "c"],
    ),
    "FROM takes the letters of a stage as they are": ("FROM a AS Build\nFROM Build\n", {}, ["Build"]),
    "the name of the last stage is predefined": (
        "FROM a AS for-web\nFROM b AS for-api\nFROM for-$TARGETSTAGE AS web\n",
        {},
        ["a"],
    ),
    "a last stage without a name is the default": ("FROM a AS is-default\nFROM is-$TARGETSTAGE\n", {}, ["a"]),
    "RUN --mount from a stage": ("FROM a AS t\nFROM b\nRUN --mount=from=t,target=/t x\n", {}, ["a", "b"]),
    "each image once": ("FROM a AS b\nFROM a\nCOPY --from=b / /\n", {}, ["a"]),
    "ONBUILD is of another build": ("FROM a\nONBUILD COPY --from=z / /\n", {}, ["a"]),
    "small letters": ("arg B=c\nfrom ${B} as d\n", {}, ["c"]),
    "a byte order mark": ("\ufeffFROM a\n", {}, ["a"]),
    "Windows line ends": ("ARG A=b\r\nFROM $A\r\n", {}, ["b"]),
}


@pytest.mark.parametrize(("text", "arguments", "images"), CASES.values(), ids=CASES.keys())
def test_the_images_that_a_build_needs(text: str, arguments: dict[str, str], images: list[str]) -> None:
    assert needed_images(text, arguments, "linux/amd64", "linux/arm64") == images


def test_the_target_chooses_the_stages() -> None:
    text = "FROM a AS one\nFROM b AS two\nFROM c\n"
    assert needed_images(text, {}, "linux/amd64", target="TWO") == ["b"]
    with pytest.raises(InvalidDockerfile, match="no stage three"):
        needed_images(text, {}, "linux/amd64", target="three")


@pytest.mark.parametrize("number", ["2", "-1"])
def test_a_number_without_a_stage_is_refused(number: str) -> None:
    with pytest.raises(InvalidDockerfile, match=f"COPY --from={number}: it has no stage of this number"):
        needed_images(f"FROM a\nFROM b\nCOPY --from={number} / /\n", {}, "linux/amd64")


@pytest.mark.parametrize(
    "text",
    ["", "# nothing\n", "RUN true\n", "FROM\n", "FROM $NOTHING\n", "FROM a b c d\n", "FROM a\nRUN <<EOF\nx"],
)
def test_a_dockerfile_that_docker_refuses_is_refused(text: str) -> None:
    with pytest.raises(InvalidDockerfile):
        needed_images(text, {}, "linux/amd64")


def test_a_variable_that_must_be_set() -> None:
    with pytest.raises(InvalidDockerfile, match="line 1: the variable BASE has no value"):
        needed_images("FROM ${BASE:?unset}\n", {}, "linux/amd64")


def test_variables_that_are_nested_too_deep() -> None:
    with pytest.raises(InvalidDockerfile, match="line 1: variables are nested more than 100 deep"):
        needed_images("FROM " + "${A:-" * 600 + "b" + "}" * 600, {}, "linux/amd64")


def test_a_number_of_thousands_of_digits_is_no_stage() -> None:
    number = "1" * 5000
    assert needed_images(f"FROM a\nCOPY --from={number} / /\n", {}, "linux/amd64") == ["a", number]


@pytest.mark.parametrize(
    "text",
    [
        "ARG A=xxxxxxxx\n" + "ARG A=$A$A\n" * 60 + "FROM $A\n",
        "ARG A=" + "x" * 60_000 + "\nFROM " + "$A" * 1000 + "\n",
    ],
    ids=["of all", "of a word"],
)
def test_arguments_that_grow_are_refused(text: str) -> None:
    with pytest.raises(InvalidDockerfile, match="have more than 1048576 characters"):
        needed_images(text, {}, "linux/amd64")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("FROM debian:12\nRUN true", []),
        ("FROM debian:12\nVOLUME /data", ["/data"]),
        ('FROM debian:12\nvolume ["/data", "/with blank"]', ["/data", "/with blank"]),
        ("FROM debian:12\nVOLUME /b /a\nVOLUME /a", ["/a", "/b"]),
        ("FROM debian:12 AS one\nVOLUME /one\nFROM debian:12 AS two\nVOLUME /two\nFROM one", ["/one"]),
        ("ARG BELOW=one\nFROM debian:12 AS one\nVOLUME $DATA\nFROM ${BELOW}\nCOPY . .", ["$DATA"]),
        ("FROM debian:12\nRUN <<EOF\nVOLUME /no\nEOF", []),
    ],
)
def test_the_volumes_of_the_image_are_found(text: str, expected: list[str]) -> None:
    assert volumes(text, {}, "linux/amd64") == expected
