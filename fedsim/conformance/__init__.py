"""Conformance tests: does an adversary or an attack keep what its contract promises.

For the command line (``fedsim check module:Class``) and for a plugin's own tests::

    from fedsim.conformance import check_adversary

    def test_it_keeps_its_contract() -> None:
        check_adversary("my_package:MyAdversary", first=3).require()
"""

from fedsim.conformance.checking import check_adversary, check_attack, findings, identified
from fedsim.conformance.checklist import Checklist, CheckResult, CheckStatus

__all__ = [
    "CheckResult",
    "CheckStatus",
    "Checklist",
    "check_adversary",
    "check_attack",
    "findings",
    "identified",
]
