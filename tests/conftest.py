"""Settings for all tests."""

import asyncio
import signal

import pytest
from hypothesis import HealthCheck, settings

# No limit of time: a busy machine is not a fault of the code. The benchmark measures how long things take.
# The same examples each time, so that no run fails by chance; `make soak` looks for others.
settings.register_profile(
    "slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)
settings.register_profile("search", settings.get_profile("slipway"), derandomize=False, max_examples=2000)
settings.load_profile("slipway")

# A background job of a shell ignores interrupts, and one of nohup hang-ups; so would all that tests start.
for _signal in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM):
    if signal.getsignal(_signal) is signal.SIG_IGN:
        signal.signal(_signal, signal.SIG_DFL)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    # `asyncio.run` leaves its thread without an event loop, and Pulumi's mocks need one.
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
