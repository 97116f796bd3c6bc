"""Copies of base images, with stand-ins for skopeo and docker: what is trusted, and what is made again."""

import hashlib
import subprocess
from pathlib import Path

import pytest

from components import script
from components.registry.mirror import digest_of_copy
from tests.unit.components.machine import Machine

CONTENT = "the manifest"
DIGEST = f"sha256:{hashlib.sha256(CONTENT.encode()).hexdigest()}"
POISONED = f"sha256:{'e' * 64}"
REPOSITORY, SOURCE = "yard:5000/mirror/debian", "docker.io/library/debian"
LOGIN = {"REGISTRY": "yard:5000", "PLAIN": "false", "ACCOUNT": "hosts", "PASSWORD": "secret-password"}
COPY = {"IMAGE": "debian:12", "SOURCE": f"{SOURCE}:12", "COPY": f"{REPOSITORY}:12", **LOGIN}
USE = {"COPIES": f"{REPOSITORY} 12 {SOURCE} debian:12 {DIGEST}", **LOGIN}


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    found = Machine(tmp_path)
    found.command("flock")
    return found


def sources(machine: Machine, *have: str) -> None:
    """skopeo, which can read these names; what it copies has the right digest."""
    names = "|".join(f"*docker://{name}*" for name in have) or "nothing"
    machine.command(
        "skopeo",
        f'case "$*" in *inspect*) case "$*" in {names}) printf "{CONTENT}" ;; *) exit 1 ;; esac ;;\n'
        f'*) touch "{machine.root}/copied"; '
        f'while [ $# -gt 0 ]; do [ "$1" = --digestfile ] && echo {DIGEST} >"$2"; shift; done ;; esac',
    )


def engine(machine: Machine, *, pulls: bool = False, has: str = "nothing", pushes: str = DIGEST) -> None:
    """docker, whose pulls work if the registry has the copy, or once skopeo or a push has brought it."""
    machine.command(
        "docker",
        f'case "$*" in\n'
        f'*"image inspect {has}"*) ;;\n'
        f"*inspect*) exit 1 ;;\n"
        f'*pull*) {str(pulls).lower()} || [ -e "{machine.root}/copied" ] || '
        f"{{ echo manifest unknown >&2; exit 1; }} ;;\n"
        f'*push*) touch "{machine.root}/copied"; echo "12: digest: {pushes} size: 100" ;;\n'
        f"esac",
    )


class TestCopy:
    def test_the_digest_is_that_of_what_was_copied_and_not_what_the_tag_names(self, machine: Machine) -> None:
        sources(machine, f"{SOURCE}:12")
        engine(machine)
        result = machine.run("mirror.sh", COPY)
        assert (result.returncode, result.stdout.strip()) == (0, DIGEST), result.stderr
        assert not [call for call in machine.calls("skopeo") if "inspect" in call and REPOSITORY in call]

    def test_without_its_source_it_is_what_the_engine_has_pushed(self, machine: Machine) -> None:
        sources(machine)
        engine(machine, has="debian:12")
        result = machine.run("mirror.sh", COPY)
        assert (result.returncode, result.stdout.strip()) == (0, DIGEST), result.stderr

    def test_a_later_run_asks_nobody_what_the_tag_names(self, machine: Machine) -> None:
        sources(machine, f"{SOURCE}:12", f"{REPOSITORY}:12")
        machine.command("docker", f"echo {POISONED}")
        result = machine.run("mirror.sh", COPY, "keep")
        assert (result.returncode, result.stdout) == (0, "")
        assert not (machine.root / "called").exists()

    def test_what_nobody_has_is_no_copy_even_if_the_tag_names_one(self, machine: Machine) -> None:
        sources(machine, f"{REPOSITORY}:12")
        engine(machine, pulls=False)
        result = machine.run("mirror.sh", COPY)
        assert result.returncode == 6
        assert not result.stdout.strip()
        assert "can neither be read from its registry nor be had" in result.stderr.splitlines()[-1]


class TestAccount:
    """The source wants an account, which is in no argument and on no disk, and is gone afterwards."""

    IMAGE = "ghcr.io/team/app:1"
    LOGINS = '{"auths": {"ghcr.io": {"auth": "Ym90OnNvdXJjZS1wYXNzd29yZA=="}}}'

    def seen(self, machine: Machine) -> str:
        """Has every program note the account that it is given."""
        file = machine.root / "accounts"
        for name in ("skopeo", "docker"):
            path = machine.root / "bin" / name
            note = f"""
folder=$(grep -o '[^ =]*slipway-login-mirror[^ ]*/source' <<<"$*" | head -n 1)
[ -z "$folder" ] || echo "{name} $(cat "$folder/config.json")" >>{file}
"""
            path.write_text(path.read_text().replace("\n", f"\n{note}", 1))
        return str(file)

    def run(self, machine: Machine, script: str, values: dict[str, str]) -> subprocess.CompletedProcess[str]:
        result = machine.run(script, {**values, "SOURCE_LOGINS": self.LOGINS})
        assert "Ym90" not in "".join(machine.called) + result.stdout + result.stderr
        assert not list((machine.root / "run").glob("slipway-login-*"))
        return result

    def test_a_copy_is_made_with_it(self, machine: Machine) -> None:
        sources(machine, self.IMAGE)
        engine(machine)
        seen = self.seen(machine)
        result = self.run(machine, "mirror-account.sh", COPY | {"IMAGE": self.IMAGE, "SOURCE": self.IMAGE})
        assert (result.returncode, result.stdout.strip()) == (0, DIGEST), result.stderr
        assert Path(seen).read_text() == f"skopeo {self.LOGINS}\n" * 2
        asked, copied = machine.calls("skopeo")
        assert "--no-creds" not in asked + copied
        assert "--src-authfile=" in copied

    def test_the_engine_has_it_where_the_source_cannot_be_read(self, machine: Machine) -> None:
        sources(machine)
        engine(machine, pulls=True)
        seen = self.seen(machine)
        result = self.run(machine, "mirror-account.sh", COPY | {"IMAGE": self.IMAGE, "SOURCE": self.IMAGE})
        assert (result.returncode, result.stdout.strip()) == (0, DIGEST), result.stderr
        assert Path(seen).read_text().splitlines()[-1] == f"docker {self.LOGINS}"
        # It pushes with the stack's own account.
        (push,) = [call for call in machine.calls("docker") if " push " in call]
        assert "/source" not in push

    def test_a_copy_that_is_gone_is_made_again_with_it(self, machine: Machine) -> None:
        sources(machine, f"{SOURCE}@{DIGEST}")
        engine(machine)
        seen = self.seen(machine)
        assert self.run(machine, "use-mirror-accounts.sh", USE).returncode == 0
        assert Path(seen).read_text() == f"skopeo {self.LOGINS}\n" * 2

    def test_without_one_the_scripts_are_those_of_before(self) -> None:
        assert "SOURCE_LOGINS" not in script.text("mirror.sh") + script.text("use-mirror.sh")


class TestUse:
    def run(self, machine: Machine, *arguments: str) -> subprocess.CompletedProcess[str]:
        result = machine.run("use-mirror.sh", USE, *arguments)
        assert LOGIN["PASSWORD"] not in "".join(machine.called) + result.stderr + result.stdout
        return result

    def test_a_copy_that_is_there_gets_its_usual_name(self, machine: Machine) -> None:
        sources(machine, SOURCE)
        engine(machine, pulls=True)
        assert self.run(machine).returncode == 0
        assert f"docker tag {REPOSITORY}@{DIGEST} debian:12" in machine.called
        assert not machine.calls("skopeo")

    def test_a_copy_that_is_gone_is_made_again_by_its_digest(self, machine: Machine) -> None:
        sources(machine, f"{SOURCE}@{DIGEST}")
        engine(machine)
        result = self.run(machine)
        assert result.returncode == 0, result.stderr
        (copied,) = [call for call in machine.calls("skopeo") if " copy " in call]
        assert f"docker://{SOURCE}@{DIGEST} docker://{REPOSITORY}:12" in copied
        assert "--src-no-creds" in copied

    def test_a_tag_that_was_moved_is_moved_back_within_the_registry(self, machine: Machine) -> None:
        sources(machine, f"{REPOSITORY}@{DIGEST}", f"{SOURCE}@{DIGEST}")
        engine(machine, pulls=True)
        result = self.run(machine, "again")
        assert result.returncode == 0, result.stderr
        (copied,) = [call for call in machine.calls("skopeo") if " copy " in call]
        assert f"docker://{REPOSITORY}@{DIGEST} docker://{REPOSITORY}:12" in copied
        assert "--src-tls-verify=true" in copied

    def test_a_host_that_has_the_digest_pushes_it(self, machine: Machine) -> None:
        sources(machine)
        engine(machine, has=f"{REPOSITORY}@{DIGEST}")
        result = self.run(machine)
        assert result.returncode == 0, result.stderr
        assert f"docker tag {REPOSITORY}@{DIGEST} {REPOSITORY}:12" in machine.called

    @pytest.mark.parametrize("pushes", [POISONED, ""])
    def test_another_digest_is_not_taken(self, machine: Machine, pushes: str) -> None:
        sources(machine)
        engine(machine, has=f"{REPOSITORY}@{DIGEST}", pushes=pushes)
        result = self.run(machine)
        assert result.returncode == 6
        assert "neither its source nor this host has it any more: manifest unknown" in result.stderr
        assert not [call for call in machine.called if call.endswith(" debian:12") and " tag " in call]

    def test_a_copy_whose_digest_was_never_stored_says_what_to_do(self, machine: Machine) -> None:
        engine(machine, pulls=True)
        result = machine.run("use-mirror.sh", {**USE, "COPIES": f"{REPOSITORY} 12 {SOURCE} debian:12 "})
        assert result.returncode == 6
        assert "./slip up -- --replace '**::mirror-*'" in result.stderr


@pytest.mark.parametrize(
    ("printed", "before", "digest"),
    [
        (f"{DIGEST}\n", "", DIGEST),
        # Looked up again, by --replace.
        (f"{DIGEST}\n", f"{REPOSITORY}@{POISONED}", DIGEST),
        # Run again for another password.
        ("", f"{REPOSITORY}@{DIGEST}", DIGEST),
        ("", "", ""),
    ],
)
def test_the_digest_is_the_one_in_the_state(printed: str, before: str, digest: str) -> None:
    assert digest_of_copy(printed, before) == digest
