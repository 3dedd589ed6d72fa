"""Conformance tests of plugins against the contract of their group.

For the command line (``fedsim check module:Class``) and for a plugin's own tests::

    from fedsim.conformance import check_plugin

    def test_it_keeps_its_contract() -> None:
        check_plugin("adversaries", "my_package:MyAdversary", first=3).require()
"""

from fedsim.conformance.checking import (
    check_adversary,
    check_attack,
    check_plugin,
    findings,
    identified,
)
from fedsim.conformance.checklist import Checklist, CheckResult, CheckStatus

__all__ = [
    "CheckResult",
    "CheckStatus",
    "Checklist",
    "check_adversary",
    "check_attack",
    "check_plugin",
    "findings",
    "identified",
]
