"""Names of images, in their short and their full form."""

import pytest

from configuration.image_names import ImageName

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "tagged", "copy"),
    [
        ("debian:12", "docker.io/library/debian:12", "mirror/debian"),
        ("debian", "docker.io/library/debian:latest", "mirror/debian"),
        ("docker.io/debian:12", "docker.io/library/debian:12", "mirror/debian"),
        ("docker.io/library/debian:12", "docker.io/library/debian:12", "mirror/debian"),
        ("team/app:1", "docker.io/team/app:1", "mirror/team/app"),
        ("ghcr.io/team/app:1", "ghcr.io/team/app:1", "mirror/ghcr.io/team/app"),
        ("localhost/app:1", "localhost/app:1", "mirror/localhost/app"),
        ("registry.example.com:5000/app:1", "registry.example.com:5000/app:1", "mirror/registry.example.com-5000/app"),
        (f"debian:12@{DIGEST}", "docker.io/library/debian:12", "mirror/debian"),
    ],
)  # fmt: skip
def test_every_way_to_write_a_name_means_the_same(text: str, tagged: str, copy: str) -> None:
    name = ImageName.of(text)
    assert (name.tagged, name.copy) == (tagged, copy)


def test_a_source_is_read_by_its_digest_if_it_has_one() -> None:
    assert ImageName.of("debian:12").source == "docker.io/library/debian:12"
    assert ImageName.of(f"debian:12@{DIGEST}").source == f"docker.io/library/debian@{DIGEST}"
    assert ImageName.of(f"debian@{DIGEST}").tag == ""
