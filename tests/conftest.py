"""What holds for all tests."""

from hypothesis import settings

# A busy machine is no fault of the code. What takes long shows in the benchmark.
settings.register_profile("slipway", deadline=None)
settings.load_profile("slipway")
