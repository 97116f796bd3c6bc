"""How long a service takes to be back at the version before, on all hosts: `slip rollback`, and the plain script."""

from bench.experiments import Results, Say
from bench.measure import ServingWatch
from bench.stack import PLAIN_DOMAIN, PlainScript, Stack

TARGET = 1.0
"""The target: at most the plain script's time."""


def rollback(stack: Stack, results: Results, runs: int, app_hosts: int, say: Say) -> None:
    """Go back and forth between two versions: neither builds, pushes or pulls."""
    plain = PlainScript.of(stack)
    urls = stack.urls()
    greetings = ("rollback: version one", "rollback: version two")
    numbers, references = [], []
    for greeting in greetings:
        stack.change_code(greeting)
        stack.slip_up()
        plain.up()
        numbers.append(stack.version("web"))
        references.append(plain.reference())
    served: dict[str, list[float]] = {"./slip rollback": [], "plain script": []}
    ended: dict[str, list[float]] = {name: [] for name in served}
    for number in range(1, runs + 1):
        to = (number - 1) % 2
        watch = ServingWatch(urls, greetings[to], None)
        ended["./slip rollback"].append(stack.slip("rollback", "web", "--to", str(numbers[to]), "--yes"))
        served["./slip rollback"].append(watch.seconds())
        watch = ServingWatch(urls, greetings[to], PLAIN_DOMAIN)
        ended["plain script"].append(plain.roll_back(references[to]))
        served["plain script"].append(watch.seconds())
        say(
            f"rollback {number} of {runs}: "
            + ", ".join(f"{name} {served[name][-1]:.2f} s" for name in served)
        )
    for what, times in (("until all hosts serve it", served), ("until it ends", ended)):
        for name, seconds in times.items():
            results.add("rollback", f"{name}, {what}", "s", seconds, app_hosts)
    for what, times in (("until all hosts serve it", served), ("until it ends", ended)):
        results.compare(
            "rollback",
            f"./slip rollback / plain script, {what}",
            times["./slip rollback"],
            times["plain script"],
            TARGET,
        )
