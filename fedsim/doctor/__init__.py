"""`fedsim doctor`: whether this machine is ready for an audit.

A problem is what keeps fedsim from working; what merely could be better, or is only there on some
machines, is a note. The self-test runs a whole audit whose figures are known.
"""

from fedsim.doctor.examination import examine
from fedsim.doctor.known_audit import self_test
from fedsim.doctor.machine_check import (
    MachineCheck,
    MachineStatus,
    as_json,
    findings_table,
    healthy,
)

__all__ = [
    "MachineCheck",
    "MachineStatus",
    "as_json",
    "examine",
    "findings_table",
    "healthy",
    "self_test",
]
