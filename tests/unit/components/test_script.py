"""The text of scripts: without the lines that are comments, with the library ahead, and the same program as before."""

import hashlib
import re
import subprocess

import pytest

import well_known
from components import script
from components.registry.config import SOCKET_DIRECTORY
from components.registry.front import SETTINGS_PATH
from components.script import IN_PLACE, SCRIPTS, UNCHANGED

SHELL = sorted(path.name for path in SCRIPTS.glob("*.sh"))
WITH_VALUES = (
    *("engine.sh", "load-images.sh", "mirror.sh", "mount-data.sh", "registry.sh"),
    *("try-registry.sh", "use-mirror.sh", "wait-for-boot.sh"),
)
"""The scripts that `bash -s` reads from standard input."""
COMMENT = re.compile(r"^[ \t]*#")


def parsed(text: str) -> str:
    """A script as bash prints it once it has parsed it: without comments, with here-documents and quoted texts."""
    wrapped = f"script() {{\n{text}\n}}\ndeclare -f script\n"
    printed = subprocess.run(["/bin/bash", "-s"], input=wrapped, capture_output=True, text=True, check=True)
    assert "main" in printed.stdout or len(printed.stdout) > 100, "bash has printed no script"
    return printed.stdout


@pytest.mark.parametrize("name", SHELL)
def test_a_script_without_comments_is_the_same_program(name: str) -> None:
    if name in UNCHANGED:
        assert script.text(name) == (SCRIPTS / name).read_text()
        return
    if name in IN_PLACE:
        *whole, call = script.text(IN_PLACE[name]).splitlines(keepends=True)
        expected = "".join([*whole, (SCRIPTS / name).read_text(), call])
    else:
        # The library itself, too, gets the library ahead.
        ahead = [script.LIBRARY, *script.PARTS.get(name, ())]
        expected = "".join((SCRIPTS / part).read_text() for part in [*ahead, name])
    assert parsed(script.text(name)) == parsed(expected)


def test_a_lost_line_of_a_here_document_is_noticed() -> None:
    """The test above rests on this."""
    whole = "cat <<END\n# a line\nEND\n"
    assert parsed(whole + "a=1\n" * 40) != parsed(whole.replace("# a line\n", "") + "a=1\n" * 40)


@pytest.mark.parametrize(
    "name", [name for name in SHELL if name not in UNCHANGED and IN_PLACE.get(name) not in UNCHANGED]
)
def test_a_reworded_comment_changes_no_host(name: str) -> None:
    lines = script.text(name).splitlines()
    assert lines[0] == "#!/usr/bin/env bash"
    assert [line for line in lines if COMMENT.match(line)] == lines[:2]


def test_the_rules_of_retention_lose_comments_only() -> None:
    whole = (SCRIPTS / "retention.awk").read_text().splitlines()
    # A line after a backslash would be a part of the line before.
    assert not [line for line in whole if line.endswith("\\")]
    kept = [line for line in whole if not COMMENT.match(line)]
    assert len(kept) > 100
    assert script.text("retention.awk").splitlines()[1:] == kept


@pytest.mark.parametrize("name", WITH_VALUES)
def test_bash_reads_the_whole_script_before_a_command_runs(name: str) -> None:
    assert re.search(r'^main( "\$@")? </dev/null\n\Z', script.text(name), re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        # After a change a preview does not know the digests of the mirrored images, and shows every image and
        # container that depends on them as changed.
        ("mirror.sh", "c740c27f932a28c15294ba35ff5db354609c0bceb70003ca544fcc645981bcf3"),
    ],
)
def test_some_scripts_never_change_unnoticed(name: str, digest: str) -> None:
    assert hashlib.sha256(script.text(name).encode()).hexdigest() == digest


def test_scripts_use_the_labels_that_everyone_shares() -> None:
    labels = {value for name, value in vars(well_known).items() if name.endswith("_LABEL")}
    used = {label for name in SHELL for label in re.findall(r"(?<![\w/-])slipway\.[a-z]+", script.text(name))}
    assert used >= {well_known.STACK_LABEL, well_known.SERVICE_LABEL, well_known.SERVING_LABEL}
    assert used <= labels


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("switch.sh", f"proxy={well_known.PROXY_CONTAINER}\n"),
        ("switch.sh", f"stopped_header={well_known.STOPPED_HEADER}\n"),
        ("switch.sh", f"maintenance_header={well_known.MAINTENANCE_HEADER}\n"),
        ("switch.sh", f"refusal_header={well_known.REFUSAL_HEADER}\n"),
        ("retention.sh", f"registry={well_known.REGISTRY_CONTAINER}\n"),
        ("registry.sh", f"docker inspect {well_known.REGISTRY_CONTAINER} "),
        ("registry.sh", f"front={well_known.REGISTRY_PROXY_CONTAINER}\n"),
        ("registry.sh", f"front_files={well_known.REGISTRY_PROXY_SETTINGS_PATH}\n"),
        ("registry.sh", f'" {SOCKET_DIRECTORY} "'),
        ("registry.sh", f"front_inside={SETTINGS_PATH}\n"),
        ("wait-for-registry.sh", f" {well_known.REGISTRY_CONTAINER} {well_known.REGISTRY_PROXY_CONTAINER} "),
        ("registry.sh", f"settings={well_known.REGISTRY_SETTINGS_PATH}\n"),
        ("registry.sh", f"script={well_known.RETENTION_SCRIPT_PATH}\n"),
        ("registry.sh", f"{well_known.WAIT_SCRIPT_PATH} "),
        ("engine.sh", f"put {well_known.SWITCH_SCRIPT_PATH} "),
        ("engine.sh", f"put {well_known.WAIT_SCRIPT_PATH} "),
    ],
)
def test_scripts_use_the_names_and_paths_that_everyone_shares(name: str, line: str) -> None:
    assert line in script.text(name)
