"""Errors on request: the next calls of an action are refused, as EC2 does at a limit."""

import threading
from dataclasses import dataclass, replace

from emulation.errors import Refused


@dataclass(frozen=True)
class Fault:
    """How calls of an action fail."""

    action: str
    """As the API names it, such as `RunInstances`."""
    code: str
    """As EC2 names it, such as `VcpuLimitExceeded`."""
    message: str
    times: int = 1
    """How many calls fail, from now on."""


class Faults:
    """The errors that were asked for."""

    def __init__(self) -> None:
        """Start without any."""
        self._lock = threading.Lock()
        self._faults: dict[str, Fault] = {}

    def add(self, fault: Fault) -> None:
        """Let calls fail, in place of what was asked for this action before."""
        with self._lock:
            self._faults[fault.action] = fault

    def check(self, action: str) -> None:
        """Count a call.

        Raises:
            Refused: it is one that is to fail.

        """
        with self._lock:
            fault = self._faults.pop(action, None)
            if fault is None:
                return
            if fault.times > 1:
                self._faults[action] = replace(fault, times=fault.times - 1)
        raise Refused(fault.code, fault.message)
