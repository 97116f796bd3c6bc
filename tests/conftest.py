"""Settings for all tests."""

import asyncio

import pytest
from hypothesis import HealthCheck, settings

# No limit of time: a busy machine is not a fault of the code. The benchmark measures how long things take.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    # `asyncio.run` leaves its thread without an event loop, and Pulumi's mocks need one.
    try:
        asyncio.get_event_loop()
    except RuntimeError:
        asyncio.set_event_loop(asyncio.new_event_loop())
