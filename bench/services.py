"""Services beside the sample app: how long one with a volume is away, and an update without a change of ten."""

import subprocess
from typing import Any

import child_environment
from bench import experiments
from bench.experiments import Results, Say
from bench.measure import BenchError, SilenceWatch
from bench.stack import NAME, Stack

SERVICES = 10
"""Services in the experiment `ten-services`."""
STORE, DOMAIN = "store", "store.test"
"""The service with a volume."""
ANSWER = ", from "
"""What each greeting of the sample app has."""


def stateful(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """How long a service with a volume gives no answer while it is switched, and while the engine restarts it.

    Its old container ends before its new one starts. The engine's own restart of the same container is the least that
    this can take.
    """
    _configure_store(stack, app_hosts, 0)
    stack.slip_up()
    (host,) = stack.outputs["serviceHosts"][STORE]
    (url,) = stack.urls(STORE)
    away: dict[str, list[float]] = {"./slip up": [], "docker restart": []}
    ended = []
    for number in range(1, runs + 1):
        _configure_store(stack, app_hosts, number)
        before = _container(host)
        watch = SilenceWatch(url, ANSWER, DOMAIN)
        ended.append(stack.slip_up())
        away["./slip up"].append(watch.seconds())
        now = _container(host)
        if now == before:
            raise BenchError(f"{STORE} has the container {now} as before its update")
        watch = SilenceWatch(url, ANSWER, DOMAIN)
        _on_host(host, "restart", now)
        away["docker restart"].append(watch.seconds())
        say(
            f"stateful {number} of {runs}: ended after {ended[-1]:.2f} s, away "
            + ", ".join(f"{name} {seconds[-1]:.2f} s" for name, seconds in away.items())
        )
    for name, seconds in away.items():
        results.add("stateful", f"{name}, without an answer", "s", seconds, app_hosts)
    results.add("stateful", "./slip up, until it ends", "s", ended, app_hosts)
    results.compare(
        "stateful",
        "./slip up / docker restart, without an answer",
        away["./slip up"],
        away["docker restart"],
        None,
    )


def ten_services(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """The time of an update without a change of ten services, on all app hosts each."""
    others = {f"web-{number}": _like_web(f"web-{number}.test") for number in range(2, SERVICES + 1)}
    stack.configure(app_hosts, more=others)
    stack.slip("up", "--yes")  # what an experiment before it has added goes
    experiments.no_op(stack, results, runs, app_hosts, say, f"no change, {SERVICES} services")


def _like_web(domain: str, **more: Any) -> dict[str, Any]:
    # Over HTTPS each request would measure a handshake, too.
    return {"from": "web", "port": 8080, "health": "/up", "domain": domain, "tls": "off", **more}


def _configure_store(stack: Stack, app_hosts: int, number: int) -> None:
    settings = {"hosts": ["web-1"], "volumes": {"data": "/data"}, "env": {"NUMBER": str(number)}}
    stack.configure(app_hosts, more={STORE: _like_web(DOMAIN, **settings)})


def _container(host: str) -> str:
    listed = _on_host(
        host, "ps", "--filter", f"label=slipway.service={STORE}", "--format", "{{.Names}}"
    ).split()
    if len(listed) != 1:
        raise BenchError(f"{STORE} has {len(listed)} containers on {host}, and should have one")
    return listed[0]


def _on_host(host: str, *arguments: str) -> str:
    """The output of a docker command on a host's engine. The host is a container of this machine."""
    command = ["docker", "exec", f"slipway-{NAME}-{host}", "docker", *arguments]
    result = subprocess.run(
        command, env=child_environment.of("docker"), capture_output=True, text=True, check=False
    )
    if result.returncode:
        raise BenchError(f"{' '.join(command)}: {result.stderr.strip()}")
    return result.stdout
