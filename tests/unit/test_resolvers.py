"""Which name servers of the operator's machine builds on local hosts may use."""

from pathlib import Path

import pytest

from resolvers import resolvers


@pytest.mark.parametrize(
    ("first", "second", "found"),
    [
        ("nameserver 10.0.0.2\n", None, ["10.0.0.2"]),
        ("# nameserver 1.1.1.1\nsearch lan\n nameserver\t10.0.0.2 # ours\n", None, ["10.0.0.2"]),
        (
            "nameserver 10.0.0.2\nnameserver 10.0.0.2\nnameserver 10.0.0.3\nnameserver 10.0.0.4\n",
            None,
            ["10.0.0.2", "10.0.0.3"],
        ),
        ("nameserver 127.0.0.53\noptions edns0\n", "nameserver 192.168.1.1\n", ["192.168.1.1"]),
        ("nameserver 127.0.0.53\n", None, []),
        ("nameserver ::1\nnameserver fe80::1%eth0\nnameserver 2001:db8::1\nnameserver 0.0.0.0\n", None, []),
        ("nameserver dns.example.com\nnameserver 10.0.0.2; rm -rf /\n", None, []),
        (None, None, []),
    ],
)
def test_resolvers(first: str | None, second: str | None, found: list[str], tmp_path: Path) -> None:
    files = [tmp_path / "first", tmp_path / "second"]
    for file, text in zip(files, (first, second), strict=True):
        if text is not None:
            file.write_text(text)
    assert resolvers(files) == found
