"""Settings for all tests."""

import asyncio
import signal

import pytest
from hypothesis import HealthCheck, settings

# No limit of time: a busy machine is not a fault of the code. The benchmark measures how long things take.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")

# The job of a shell that runs in the background ignores an interrupt, and so would all that tests start.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    # `asyncio.run` leaves its thread without an event loop, and Pulumi's mocks need one.
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
