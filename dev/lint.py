"""`make lint`: every check, all of them run even if one fails, so that one run shows all there is to do."""

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import child_environment
from dev import actionlint
from toolchain import cache, versions
from toolchain.errors import ToolError
from toolchain.report import Report, duration

TYPED = (
    *("__main__.py", "child_environment.py", "well_known.py"),
    *("app", "bench", "cli", "components", "configuration", "dev", "emulation", "plugins", "toolchain"),
)
"""What mypy checks strictly, of what is there."""


def main() -> int:
    """Run all checks; 0 if all of them pass."""
    sources = _sources()
    scripts = [path for path in sources if _is_shell(path)]
    python = [path for path in sources if path.suffix == ".py"]
    places = ((".github", "workflows"), ("examples",))
    workflows = [path for path in sources if path.suffix == ".yml" and path.parent.parts[-2:] in places]
    program = Path(sys.executable).parent
    # Outside the clone, since reading the packages' types takes a minute; each environment has packages of its own.
    types = cache.root() / "mypy" / program.parent.name
    try:
        with cache.lock("toolchain", lambda _: None) as lock:
            checker = actionlint.prepare(Report(), lock)
    except ToolError as error:
        print(f"lint: {error}", file=sys.stderr)
        return 1
    # The name, the command, and what it checks: nothing to check is a mistake in this file, not a success.
    checks: list[tuple[str, list[str | Path], Sequence[str | Path]]] = [
        ("ruff format", [program / "ruff", "format", "--check", "--quiet"], python),
        ("ruff check", [program / "ruff", "check", "--quiet"], python),
        (
            "mypy",
            [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={types}"],
            _typed(),
        ),
        ("shellcheck", [program / "shellcheck", "--severity=style"], scripts),
        ("actionlint", [checker, f"-shellcheck={program / 'shellcheck'}", "-pyflakes="], workflows),
    ]
    failed = [name for name, command, files in checks if not _passes(name, command, files)]
    if failed:
        print(f"lint: {', '.join(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


def _passes(name: str, command: list[str | Path], files: Sequence[str | Path]) -> bool:
    started = time.monotonic()
    if not files:
        print(f"✗ {name}: found no file to check")
        return False
    variables = child_environment.of(Path(command[0]).name)
    done = subprocess.run([*command, *files], cwd=versions.REPOSITORY, env=variables, check=False)
    passes = done.returncode == 0
    print(f"{'✓' if passes else '✗'} {name:<12} {duration(time.monotonic() - started)}", flush=True)
    return passes


def _sources() -> list[Path]:
    """All files that git knows or would add, relative to the clone: what is ignored is nobody's code."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    result = subprocess.run(
        command,
        cwd=versions.REPOSITORY,
        env=child_environment.of("git"),
        capture_output=True,
        text=True,
        check=True,
    )
    names = sorted(name for name in result.stdout.split("\0") if name)
    return [Path(name) for name in names if (versions.REPOSITORY / name).is_file()]


def _is_shell(path: Path) -> bool:
    if path.suffix in {".sh", ".bash"}:
        return True
    if path.suffix:
        return False
    with (versions.REPOSITORY / path).open("rb") as file:
        first = file.readline(100)
    return first.startswith(b"#!") and first.split(b"/")[-1].split()[-1] in {b"sh", b"bash", b"dash"}


def _typed() -> list[str]:
    return [name for name in TYPED if (versions.REPOSITORY / name).exists()]


if __name__ == "__main__":
    sys.exit(main())
