"""The launcher `slip`, in an environment that a test prepared or with the tests' Python."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import zipfile
from importlib import metadata
from pathlib import Path
from typing import Protocol

import pytest

from toolchain import cache, locks, python_environment, versions
from toolchain.errors import ToolError


class Slip(Protocol):
    """Runs the launcher."""

    def __call__(
        self, *arguments: str, command: Path | str = ..., **variables: str
    ) -> subprocess.CompletedProcess[str]: ...


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A clone with the files that the launcher uses. Its `cli` prints its arguments."""
    root = tmp_path / "a clone"
    (root / "cli").mkdir(parents=True)
    modules = (versions.REPOSITORY / name for name in ("child_environment.py", "parent_death.py"))
    for path in (versions.REPOSITORY / "slip", *modules, *versions.REPOSITORY.glob("*.txt")):
        shutil.copy(path, root)
    shutil.copytree(versions.REPOSITORY / locks.FOLDER, root / locks.FOLDER)
    shutil.copytree(
        versions.REPOSITORY / "toolchain",
        root / "toolchain",
        ignore=shutil.ignore_patterns("__pycache__", "go"),
    )
    (root / "cli" / "__main__.py").write_text(
        "import os, sys\nprint(os.environ['SLIPWAY_ROOT'], os.getcwd(), sys.argv[1:], sep='|')\nsys.exit(7)\n"
    )
    return root


@pytest.fixture
def slip(clone: Path, tmp_path: Path) -> Slip:
    """Runs the launcher in another directory, with a temporary cache."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    # The launcher must not import modules from the caller's directory.
    (elsewhere / "cli.py").write_text("raise SystemExit('the wrong cli')")

    def run(
        *arguments: str, command: Path | str = clone / "slip", **variables: str
    ) -> subprocess.CompletedProcess[str]:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "SLIPWAY_CACHE": str(tmp_path / "cache"),
        }
        return subprocess.run(
            [str(command), *arguments],
            cwd=elsewhere,
            env=environment | variables,
            capture_output=True,
            text=True,
        )

    return run


def prepare_environment(slip: Slip, tmp_path: Path, **variables: str) -> Path:
    """Put the tests' Python where the launcher would make an environment, which takes half a minute."""
    refused = slip("--python", SLIPWAY_PYTHON=str(tmp_path / "spy"), **variables)
    assert refused.returncode != 0
    environment = Path((tmp_path / "asked").read_text())
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "python").symlink_to(sys.executable)
    (environment / "complete").touch()
    return environment


def locked(requirements: Path, asked: str, hashed: str = "0" * 64) -> Path:
    """Write requirements of one package at most, and their lock."""
    requirements.write_text(f"{asked}\n")
    lock = locks.path(requirements)
    lock.parent.mkdir(exist_ok=True)
    lock.write_text(locks.header(requirements) + (f"{asked} --hash=sha256:{hashed}\n" if asked else ""))
    return requirements


@pytest.fixture
def spy(tmp_path: Path) -> None:
    """A Python that writes down which environment it should make, and fails."""
    program = tmp_path / "spy"
    program.write_text(
        f'#!/bin/sh\nif [ "$1" = -c ]; then echo 3.11; exit; fi\nprintf %s "$4" >{tmp_path}/asked\nexit 1\n'
    )
    program.chmod(0o755)


@pytest.mark.usefixtures("spy")
def test_arguments_directory_and_exit_status_are_passed_on(slip: Slip, clone: Path, tmp_path: Path) -> None:
    prepare_environment(slip, tmp_path)
    result = slip("up", "-s", "two words")
    assert result.stderr == ""
    assert result.stdout == f"{clone}|{tmp_path / 'elsewhere'}|{['up', '-s', 'two words']}\n"
    assert result.returncode == 7


@pytest.mark.usefixtures("spy")
def test_it_works_through_symbolic_links(slip: Slip, clone: Path, tmp_path: Path) -> None:
    prepare_environment(slip, tmp_path)
    (tmp_path / "first").symlink_to(clone / "slip")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "slip").symlink_to("../first")
    for command in (tmp_path / "bin" / "slip", "slip"):
        result = slip("x", command=command, PATH=f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
        assert result.stdout.startswith(f"{clone}|")


@pytest.mark.usefixtures("spy")
def test_a_changed_pin_asks_for_another_environment(slip: Slip, clone: Path, tmp_path: Path) -> None:
    first = prepare_environment(slip, tmp_path)
    development = prepare_environment(slip, tmp_path, SLIPWAY_DEV="1")
    documentation = prepare_environment(slip, tmp_path, SLIPWAY_DEV="docs")
    with (clone / "locks/requirements.txt").open("a") as file:
        file.write("one-more==1\n")
    assert len({first, development, documentation, prepare_environment(slip, tmp_path)}) == 4


@pytest.mark.usefixtures("spy")
def test_an_unfinished_environment_is_not_used(slip: Slip, tmp_path: Path) -> None:
    environment = prepare_environment(slip, tmp_path)
    assert slip("--python", SLIPWAY_PYTHON=str(tmp_path / "spy")).stdout == f"{environment}/bin/python\n"
    (environment / "complete").unlink()
    assert slip("--python", SLIPWAY_PYTHON=str(tmp_path / "spy")).returncode != 0


@pytest.mark.usefixtures("spy")
def test_an_environment_whose_python_was_removed_is_not_used(slip: Slip, tmp_path: Path) -> None:
    environment = prepare_environment(slip, tmp_path)
    (environment / "bin" / "python").unlink()
    (environment / "bin" / "python").symlink_to("/no/such/python")
    assert slip("--python", SLIPWAY_PYTHON=str(tmp_path / "spy")).returncode != 0


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        (
            {"SLIPWAY_PYTHON": "/no/such/python"},
            "SLIPWAY_PYTHON=/no/such/python is not a Python of 3.11 or newer",
        ),
        ({}, "no Python of 3.11 or newer found; install one"),
    ],
)
def test_without_a_python_it_says_so_in_one_line(
    slip: Slip, tmp_path: Path, variables: dict[str, str], said: str
) -> None:
    # Only the programs that the launcher needs, and an old Python.
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("sh", "cat", "cksum", "dirname", "readlink"):
        (programs / name).symlink_to(shutil.which(name) or pytest.fail(f"{name} is not on PATH"))
    (programs / "python3").write_text("#!/bin/sh\necho 3.9\nexit 1\n")
    (programs / "python3").chmod(0o755)
    result = slip("up", PATH=str(programs), **variables)
    assert result.returncode == 3
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_without_a_place_for_the_cache_it_says_so_in_one_line(slip: Slip) -> None:
    result = slip("up", HOME="", SLIPWAY_CACHE="")
    assert result.returncode == 3
    assert result.stderr == (
        "slip: HOME is not set, so Slipway has no place for its cache; set SLIPWAY_CACHE to a directory.\n"
    )


def test_an_environment_that_cannot_be_made_is_an_error_of_status_3(
    slip: Slip, clone: Path, tmp_path: Path
) -> None:
    locked(clone / "requirements.txt", "no-such-package==1")
    result = slip("up", SLIPWAY_PYTHON=sys.executable, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert result.returncode == 3
    assert result.stderr.startswith("slip: the Python packages cannot be installed: ")
    assert result.stdout == ""


@pytest.fixture(scope="module")
def empty_venv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with nothing but pip: a copy, since `venv` takes seconds to install and compile it."""
    path = tmp_path_factory.mktemp("venv") / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    (packages,) = path.glob("lib/*/site-packages")
    own = metadata.distribution("pip")
    for name in {file.parts[0] for file in own.files or () if file.parts[0] != ".."}:
        shutil.copytree(str(own.locate_file(name)), packages / name)
    main = packages / "pip/__main__.py"
    main.write_text(main.read_text().removeprefix(python_environment.PIP_LIST.read_text()))
    return path


@pytest.fixture
def quick_venv(empty_venv: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m venv` copies the one that another test has made."""
    run = python_environment._run

    def quick(arguments: list[str | Path], failure: str, apt: dict[str, str] | None = None) -> None:
        if arguments[:-1] == [sys.executable, "-m", "venv"]:
            shutil.copytree(empty_venv, arguments[-1], symlinks=True)
        else:
            run(arguments, failure, apt)

    monkeypatch.setattr(python_environment, "_run", quick)


@pytest.mark.usefixtures("quick_venv")
def test_a_package_that_cannot_be_installed_is_one_sentence_and_no_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    requirements = locked(tmp_path / "requirements.txt", "no-such-package==1")
    environment = cache.root() / "environments" / "test"
    with pytest.raises(
        ToolError, match=r"^the Python packages cannot be installed: .*no-such-package"
    ) as caught:
        python_environment.make(environment, requirements)
    assert "\n" not in str(caught.value)
    assert not (environment / "complete").exists()


@pytest.mark.usefixtures("quick_venv")
def test_a_file_that_is_not_the_locks_is_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if an index, or the way to it, had put another file in the package's place."""
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path))
    wheel = tmp_path / "hello-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("hello.py", "")
        archive.writestr("hello-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: hello\nVersion: 1\n")
        archive.writestr(
            "hello-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr("hello-1.dist-info/RECORD", "")
    environment = cache.root() / "environments" / "test"
    requirements = locked(tmp_path / "requirements.txt", "hello==1")
    with pytest.raises(ToolError, match=r"cannot be installed: .*DO NOT MATCH THE HASHES"):
        python_environment.make(environment, requirements)
    locked(requirements, "hello==1", hashlib.sha256(wheel.read_bytes()).hexdigest())
    python_environment.make(environment, requirements)
    assert list(environment.glob("lib/*/site-packages/hello.py"))
    # The language host's question. pip itself answers every other one.
    quick, slow = (
        json.loads(
            subprocess.run(
                [environment / "bin/python", "-m", "pip", "list", *options, "--format", "json"],
                capture_output=True,
                check=True,
                env={"PATH": os.environ["PATH"], "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
            ).stdout
        )
        for options in (["-v"], ["--verbose"])
    )
    assert [package["name"] for package in quick][:1] == ["hello"]
    assert quick == slow


def test_changed_requirements_ask_for_a_new_lock(slip: Slip, clone: Path) -> None:
    with (clone / "requirements.txt").open("a") as file:
        file.write("one-more==1\n")
    result = slip("up", SLIPWAY_PYTHON=sys.executable)
    assert result.returncode == 3
    assert result.stderr == (
        "slip: requirements.txt was changed, and locks/requirements.txt has the packages of before; "
        "run `make lock`, which writes it again\n"
    )


@pytest.mark.usefixtures("quick_venv")
def test_an_interrupted_environment_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SLIPWAY_CACHE", str(tmp_path / "cache"))
    requirements = locked(tmp_path / "requirements.txt", "")
    environment = cache.root() / "environments" / "test"
    (environment / "bin").mkdir(parents=True)
    (environment / "bin" / "half").write_text("")
    python_environment.make(environment, requirements)
    assert (environment / "complete").exists()
    assert not (environment / "bin" / "half").exists()
    assert capsys.readouterr().err.count("\n") == 1
    python_environment.make(environment, requirements)
    assert capsys.readouterr().err == ""


def test_a_folder_with_a_colon_is_refused(clone: Path, slip: Slip) -> None:
    """PYTHONPATH has no way to write a colon."""
    moved = clone.rename(clone.with_name("a:clone"))
    result = slip("verify", command=moved / "slip")
    assert result.returncode == 3
    assert f"rename the folder of {moved}" in result.stderr


def test_a_cache_that_others_may_have_written_to_is_refused(slip: Slip, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o777)
    result = slip("up")
    assert (result.returncode, result.stdout) == (3, "")
    assert f"others may have written to Slipway's cache, {cache}" in result.stderr
    if os.geteuid() == 0:
        cache.chmod(0o700)
        os.chown(cache, 12345, -1)
        assert "others may have written" in slip("up").stderr
        # Whoever ran sudo may use it.
        assert "others may" not in slip("up", SUDO_UID="12345", SLIPWAY_PYTHON="/no/such").stderr


def test_a_cache_of_ones_own_becomes_private(slip: Slip, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    cache.chmod(0o775)
    slip("up", SLIPWAY_PYTHON="/no/such")
    assert cache.stat().st_mode & 0o777 == 0o700
