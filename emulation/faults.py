"""Faults on request: the next calls of an action fail with a chosen error, such as EC2's for a reached limit."""

import threading
from dataclasses import dataclass, replace

from emulation.errors import Refused


@dataclass(frozen=True)
class Fault:
    """The error that calls of an action get."""

    action: str
    """The API's name, such as `RunInstances`."""
    code: str
    """EC2's error code, such as `VcpuLimitExceeded`."""
    message: str
    times: int = 1
    """How many of the next calls fail."""


class Faults:
    """The faults that are still to come."""

    def __init__(self) -> None:
        """Start without faults."""
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}

    def add(self, fault: Fault) -> None:
        """Let the next calls of the fault's action fail. It replaces an earlier fault for that action."""
        with self._lock:
            self._faults[fault.action] = fault

    def check(self, action: str) -> None:
        """Count a call.

        Raises:
            Refused: the call has a fault.

        """
        with self._lock:
            fault = self._faults.pop(action, None)
            if fault is None:
                return
            if fault.times > 1:
                self._faults[action] = replace(fault, times=fault.times - 1)
        raise Refused(fault.code, fault.message)
