"""`make lint`. Every check runs, also after one that fails: one run shows everything that is to be mended."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import child_environment
from dev import actionlint
from toolchain import cache, locks, versions
from toolchain.errors import ToolError
from toolchain.report import Report, duration


def main() -> int:
    """Run all checks. Returns 0 if all of them pass, else 1."""
    sources = _sources()
    scripts = [path for path in sources if _is_shell(path)]
    python = [path for path in sources if path.suffix == ".py"]
    places = ((".github", "workflows"), ("examples",), ("examples", "gitea"))
    workflows = [path for path in sources if path.suffix == ".yml" and path.parent.parts[-2:] in places]
    program = Path(sys.executable).parent
    # mypy's cache is outside the clone, which may be new: reading the packages' types takes a minute. Each environment
    # has one. Two runs at once would give each other wrong results, so the second waits.
    types = cache.root() / "mypy" / program.parent.name
    try:
        with cache.lock("toolchain", lambda _: None) as lock:
            checker = actionlint.prepare(Report(), lock)
    except ToolError as error:
        print(f"lint: {error}", file=sys.stderr)
        return 1
    # The name, the command, and the files that it checks. A check without files is a mistake in this module.
    # mypy takes as long as all others together, so it comes first, and the others run beside it.
    checks: list[tuple[str, list[str | Path], Sequence[str | Path]]] = [
        (
            "mypy",
            [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", f"--cache-dir={types}"],
            # By package, so that each module gets its full name.
            sorted({path.parts[0] for path in python}),
        ),
        ("ruff format", [program / "ruff", "format", "--check", "--quiet"], python),
        ("ruff check", [program / "ruff", "check", "--quiet"], python),
        (
            "import-linter",
            [program / "lint-imports", "--no-logo", f"--cache-dir={cache.root() / 'import-linter'}"],
            # The contracts, which name the packages to check.
            [Path("pyproject.toml")],
        ),
        ("vulture", [program / "vulture"], python),
        ("shellcheck", [program / "shellcheck", "--severity=style"], scripts),
        ("actionlint", [checker, f"-shellcheck={program / 'shellcheck'}", "-pyflakes="], workflows),
        # Offline, it asks GitHub nothing: whether a commit is still the tag that its comment names.
        ("zizmor", [program / "zizmor", "--offline", "--no-progress", "--quiet"], workflows),
    ]
    with (
        cache.lock(f"mypy/{types.name}", _say_waiting),
        ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool,
    ):
        passed = list(pool.map(lambda check: _passes(*check), checks))
    failed = [name for (name, *_), passes in zip(checks, passed, strict=True) if not passes]
    failed += [] if _locks_are_current(sources) else ["locks"]
    if failed:
        print(f"lint: {', '.join(failed)} failed", file=sys.stderr)
    return 1 if failed else 0


def _say_waiting(process: str) -> None:
    print(f"lint: waiting for another run (process {process}), which uses the same cache", file=sys.stderr)


def _passes(name: str, command: list[str | Path], files: Sequence[str | Path]) -> bool:
    started = time.monotonic()
    if not files:
        print(f"✗ {name}: found no file to check")
        return False
    result = subprocess.run(
        [*command, *files],
        cwd=versions.REPOSITORY,
        env=child_environment.of(Path(command[0]).name),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    passes = result.returncode == 0
    line = f"{'✓' if passes else '✗'} {name:<14} {duration(time.monotonic() - started)}\n"
    # In one piece: other checks print, too.
    sys.stdout.write(line if passes else result.stdout + line)
    sys.stdout.flush()
    return passes


def _locks_are_current(sources: Sequence[Path]) -> bool:
    required = [
        path for path in sources if path.match("requirements*.txt") and path.parent.name != locks.FOLDER
    ]
    stale = [str(path) for path in required if not locks.is_current(versions.REPOSITORY / path)]
    if not required or stale:
        print(
            f"✗ locks: not made from {', '.join(stale) or 'any requirements'} as they are now; run `make lock`"
        )
        return False
    print(f"✓ {'locks':<14} {len(required)} files", flush=True)
    return True


def _sources() -> list[Path]:
    """The files that git tracks or would add, relative to the clone. Ignored files are not checked."""
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


if __name__ == "__main__":
    sys.exit(main())
