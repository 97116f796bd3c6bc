"""Settings for all tests."""

from hypothesis import HealthCheck, settings

# No limit of time: a busy machine is not a fault of the code. The benchmark measures how long things take.
settings.register_profile("slipway", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("slipway")
