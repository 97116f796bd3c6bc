"""The experiment `verify`: how long `slip verify` takes, with healthy hosts and with one that gives no answer."""

import subprocess

import child_environment
from bench.experiments import Results, Say
from bench.measure import BenchError, run
from bench.stack import NAME, Stack

HEALTHY_TARGET, PAUSED_TARGET = 3.0, 15.0
"""The targets in seconds, with two app hosts."""
CHECK_FAILED = 1
"""The exit status of `verify` with a paused host."""


def verify(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """The time of `slip verify`, and of the same with a paused app host."""
    healthy, paused = [], []
    container = f"slipway-{NAME}-web-1"
    for number in range(1, runs + 1):
        healthy.append(stack.slip("verify"))
        _docker("pause", container)
        try:
            paused.append(
                run(
                    ["./slip", "verify", "--stack", NAME],
                    stack.root,
                    stack.environment,
                    expected=CHECK_FAILED,
                )
            )
        finally:
            _docker("unpause", container)
        say(f"verify {number} of {runs}: {healthy[-1]:.2f} s, with a paused host {paused[-1]:.2f} s")
    results.add("verify", f"./slip verify, target {HEALTHY_TARGET:g} s", "s", healthy, app_hosts)
    results.add(
        "verify", f"./slip verify with a paused host, target {PAUSED_TARGET:g} s", "s", paused, app_hosts
    )


def _docker(*arguments: str) -> None:
    result = subprocess.run(
        ["docker", *arguments],
        env=child_environment.of("docker"),
        capture_output=True,
        text=True,
        check=False,
    )
    if result.returncode:
        raise BenchError(f"docker {' '.join(arguments)}: {result.stderr.strip()}")
