"""The htpasswd file of the registry's accounts."""

import bcrypt
from hypothesis import given
from hypothesis import strategies as st

from components.registry.htpasswd import entry, htpasswd

NAMES = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._@+-]{0,20}", fullmatch=True)
PASSWORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=16, max_size=72)


@given(NAMES, PASSWORDS)
def test_an_entry_lets_its_password_in_and_no_other(name: str, password: str) -> None:
    account, _, digest = entry(name, password).partition(":")
    assert account == name
    assert bcrypt.checkpw(password.encode(), digest.encode())
    assert not bcrypt.checkpw(password[:-1].encode() + b"\x7f", digest.encode())


@given(NAMES, PASSWORDS)
def test_the_same_account_gives_the_same_entry(name: str, password: str) -> None:
    assert entry(name, password) == entry(name, password)


def test_one_password_of_two_accounts_does_not_show() -> None:
    first, second = (entry(name, "the-same-password").partition(":")[2] for name in ("a", "b"))
    assert first != second


def test_the_file_has_a_line_an_account_in_order() -> None:
    lines = htpasswd({"bob": "b" * 16, "alice": "a" * 16}).splitlines()
    assert [line.partition(":")[0] for line in lines] == ["alice", "bob"]
    assert all(line.partition(":")[2].startswith("$2b$05$") for line in lines)
