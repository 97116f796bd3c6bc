"""The one comment on a pull request, against servers that answer as the forges do."""

from dataclasses import replace
from pathlib import Path

import pytest

from cli.errors import CommandError
from cli.forge.address import GITEA, GITHUB, GITLAB
from cli.forge.client import post
from tests.unit.cli.forge.forges import ME, TOKEN, Forge, serving

MARK = "<!-- slipway preview slipway/dev -->"
KINDS = (GITHUB, GITLAB, GITEA)


@pytest.mark.parametrize("kind", KINDS)
def test_the_second_preview_updates_the_first_ones_comment(kind: str) -> None:
    with serving(Forge(kind)) as forge:
        forge.add("a question", "someone")
        forge.add(f"{MARK.replace('dev', 'prod')}\nof another stack")
        first = post(forge.at, f"{MARK}\nfirst")
        forge.add("an answer", "someone")
        second = post(forge.at, f"{MARK}\nsecond")
        bodies = [comment["body"] for comment in forge.comments]
        assert bodies[2] == f"{MARK}\nsecond"
        assert len(bodies) == 4
        assert first == second


@pytest.mark.parametrize("kind", [GITHUB, GITLAB])
def test_the_comment_is_found_on_a_later_page(kind: str) -> None:
    with serving(Forge(kind, page=10)) as forge:
        for number in range(35):
            forge.add(f"comment {number}", "someone")
        mine = forge.add(f"{MARK}\nfirst")
        post(forge.at, f"{MARK}\nsecond")
        assert mine["body"] == f"{MARK}\nsecond"
        assert len(forge.comments) == 36


@pytest.mark.parametrize("kind", KINDS)
def test_anothers_comment_with_the_mark_is_left_alone(kind: str) -> None:
    """Its author could change it afterwards, and so the hash that someone approves."""
    with serving(Forge(kind)) as forge:
        forged = forge.add(f"{MARK}\nforged", "someone")
        post(forge.at, f"{MARK}\nreal")
        assert forged["body"] == f"{MARK}\nforged"
        assert [one["body"] for one in forge.comments[1:]] == [f"{MARK}\nreal"]


@pytest.mark.parametrize(("kind", "user"), [(GITHUB, "github-actions[bot]"), (GITEA, "gitea-actions")])
def test_a_token_of_ci_updates_its_own_comment(kind: str, user: str) -> None:
    with serving(Forge(kind, user=user)) as forge:
        forge.add(f"{MARK}\nforged", "someone")
        post(forge.at, f"{MARK}\nfirst")
        post(forge.at, f"{MARK}\nsecond")
        assert [one["body"] for one in forge.comments[1:]] == [f"{MARK}\nsecond"]


def test_a_link_to_another_server_gets_no_token() -> None:
    with serving(Forge(GITHUB)) as other, serving(Forge(GITHUB, page=10, elsewhere=other.address)) as forge:
        for number in range(15):
            forge.add(f"comment {number}", "someone")
        post(forge.at, f"{MARK}\ntext")
        assert other.requests == []
        assert forge.comments[-1]["body"] == f"{MARK}\ntext"


@pytest.mark.parametrize("kind", KINDS)
def test_a_refused_token(kind: str) -> None:
    with serving(Forge(kind)) as forge:
        with pytest.raises(CommandError) as refused:
            post(replace(forge.at, token="another-token"), f"{MARK}\ntext")
        assert "HTTP 401" in refused.value.message
        assert refused.value.status == 1
        assert "another-token" not in f"{refused.value.message}{refused.value.remedy}"
        assert forge.comments == []


@pytest.mark.parametrize("kind", KINDS)
def test_a_missing_pull_request(kind: str) -> None:
    with serving(Forge(kind)) as forge:
        with pytest.raises(CommandError, match="HTTP 404") as refused:
            post(replace(forge.at, number=13), f"{MARK}\ntext")
        assert "There is no such page" in refused.value.remedy


@pytest.mark.parametrize("missing", ["read:user", "write:issue"])
def test_a_token_without_a_scope_writes_nothing(missing: str) -> None:
    """Without `read:user` it would not find its comment again, and write one more each time."""
    with serving(Forge(GITEA, scopes=frozenset({"read:user", "write:issue"} - {missing}))) as forge:
        with pytest.raises(CommandError, match="HTTP 403") as refused:
            post(forge.at, f"{MARK}\ntext")
        assert "`write:issue` and `read:user`" in refused.value.remedy
        assert forge.comments == []


def test_a_forge_that_does_not_answer() -> None:
    with serving(Forge(GITHUB)) as forge:
        at = forge.at
    with pytest.raises(CommandError, match="does not answer: ConnectionError"):
        post(at, f"{MARK}\ntext")


def test_a_token_is_not_in_a_representation() -> None:
    with serving(Forge(GITHUB)) as forge:
        assert TOKEN not in repr(forge.at)


def test_a_login_of_netrc_does_not_replace_the_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "netrc"
    file.write_text("default login x password y\n")
    file.chmod(0o600)
    monkeypatch.setenv("NETRC", str(file))
    with serving(Forge(GITHUB)) as forge:
        post(forge.at, f"{MARK}\ntext")
        assert forge.comments[0]["user"] == {"login": ME}
