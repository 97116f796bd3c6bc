"""`slip trust`: each store of the machine gets a stack's authority, and only that one leaves it again."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from cli import trust
from cli.trust import Store, install, name_of, withdraw

ONE = "-----BEGIN CERTIFICATE-----\none\n-----END CERTIFICATE-----\n"
TWO = "-----BEGIN CERTIFICATE-----\ntwo\n-----END CERTIFICATE-----\n"


class Machine:
    """A machine with Debian's store, which runs commands on it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store(folder / "ca-certificates", ("update-ca-certificates",))
        self.store.folder.mkdir()
        self.commands: list[str] = []

    def run(self, command: Sequence[str]) -> None:
        self.commands.append(command[0])
        if command[0] == "install":
            Path(command[-1]).write_text(Path(command[-2]).read_text())
        elif command[0] == "rm":
            for file in command[2:]:
                Path(file).unlink()

    @property
    def files(self) -> dict[str, str]:
        return {file.name: file.read_text() for file in sorted(self.store.folder.iterdir())}


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine(tmp_path)
    monkeypatch.setattr(trust, "STORES", (machine.store,))
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setattr("shutil.which", lambda name: None if name == "certutil" else f"/usr/sbin/{name}")
    return machine


def test_two_stacks_stand_side_by_side(machine: Machine, tmp_path: Path) -> None:
    names = [name_of(stack, root) for stack in ("local", "local-2") for root in (tmp_path, tmp_path / "a")]
    for number, name in enumerate(names):
        (said,) = install(name, ONE.replace("one", str(number)), machine.run, tmp_path)
        assert f"{name}.crt" in said
    assert len(machine.files) == 4
    (said,) = withdraw(names[0], machine.run, tmp_path)
    assert "no more" in said
    assert sorted(machine.files) == sorted(f"{name}.crt" for name in names[1:])
    assert list(withdraw(names[0], machine.run, tmp_path)) == []


def test_both_authorities_of_a_rotation_are_trusted_and_the_old_one_leaves(
    machine: Machine, tmp_path: Path
) -> None:
    assert len(list(install("slipway-local-1", TWO + ONE, machine.run, tmp_path))) == 1
    assert machine.files == {"slipway-local-1.crt": TWO, "slipway-local-1-1.crt": ONE}
    list(install("slipway-local-1", TWO, machine.run, tmp_path))
    assert machine.files == {"slipway-local-1.crt": TWO}
    list(withdraw("slipway-local-1", machine.run, tmp_path))
    assert machine.files == {}
    assert machine.commands.count("update-ca-certificates") == 3


def test_browsers_are_told_by_certutil(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    profile = tmp_path / ".mozilla/firefox/abc.default"
    profile.mkdir(parents=True)
    (profile / "cert9.db").touch()
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    told: list[tuple[str, ...]] = []

    def certutil(database: Path, *arguments: str) -> bool:
        told.append(arguments[:1] + arguments[-1:])
        assert database == profile
        return arguments[0] == "-A" or arguments[-1] == "slipway-local-1"

    monkeypatch.setattr(trust, "_certutil", certutil)
    said = list(install("slipway-local-1", ONE, machine.run, tmp_path))
    assert str(profile) in said[1]
    assert [verb for verb, _ in told] == ["-D", "-D", "-A"]
    assert str(profile) in list(withdraw("slipway-local-1", machine.run, tmp_path))[1]
