"""Checks of a gate as a JUnit report, which build servers show as tests."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

from fedsim.files import write_text
from fedsim.report.gate import GateCheck


def write_junit(path: Path, run: str, checks: Sequence[GateCheck]) -> None:
    """Write a suite with a test for each check; a breach is a failure with its sentence."""
    write_text(path, junit_text(run, checks))


def junit_text(run: str, checks: Sequence[GateCheck]) -> str:
    """Return the report; `run` names the suite."""
    breaches = sum(not check.passed for check in checks)
    suite = ElementTree.Element(
        "testsuite",
        {
            "name": f"fedsim gate {_printable(run)}",
            "tests": str(len(checks)),
            "failures": str(breaches),
        },
    )
    for check in checks:
        subject = _printable(check.subject)
        names = {"classname": subject, "name": f"{_printable(check.limit.in_words)}: {subject}"}
        case = ElementTree.SubElement(suite, "testcase", names)
        if not check.passed:
            ElementTree.SubElement(case, "failure", {"message": _printable(check.breach)})
    ElementTree.indent(suite)
    return ElementTree.tostring(suite, encoding="unicode", xml_declaration=True) + "\n"


def _printable(text: str) -> str:
    """Return a text without the control characters that XML cannot hold."""
    return "".join(c if c.isprintable() else " " for c in text)
