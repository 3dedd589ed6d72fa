"""A list of checks and their results: passed, failed with a reason, or not applicable.

A check is a function without arguments. It returns a remark (most often none), or it raises
`Failed` with one sentence, or `NotApplicable` with the reason. Any other exception is a failure
too: a plugin under test may break in any way.
"""

import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from fedsim.errors import FedsimError


class CheckStatus(StrEnum):
    """The result of a check; a figure is shown, not a pass or a failure."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ASKED = "not asked"
    FIGURE = "figure"


class Failed(Exception):  # noqa: N818 - raised by checks and caught below, no mistake of a user
    """What is wrong with a plugin, in one sentence."""


class NotApplicable(Exception):  # noqa: N818
    """Why a check does not apply to a plugin."""


@dataclass(frozen=True)
class Check:
    """One check.

    Attributes
    ----------
    claim
        What holds for the plugin if it passes.
    attempt
        The check itself; returns a remark, or nothing.
    gate
        Whether later checks are skipped if it fails.
    decides
        Whether its remark is an evaluation result; if not, it is a figure.
    """

    claim: str
    attempt: Callable[[], str | None]
    gate: bool = False
    decides: bool = True


@dataclass(frozen=True)
class CheckResult:
    """The result of one check, with its sentence (possibly empty)."""

    claim: str
    status: CheckStatus
    said: str = ""


@dataclass(frozen=True)
class Checklist:
    """The result of all checks of a plugin."""

    plugin: str
    kind: str
    findings: tuple[CheckResult, ...]

    @property
    def failures(self) -> tuple[CheckResult, ...]:
        """The checks that failed."""
        return tuple(f for f in self.findings if f.status is CheckStatus.FAILED)

    def as_json(self) -> dict[str, Any]:
        """Return the checklist for a program: schema 1."""
        return {
            "schema": 1,
            "plugin": self.plugin,
            "kind": self.kind,
            "passed": not self.failures,
            "findings": [
                {"claim": one.claim, "status": one.status.value, "said": one.said}
                for one in self.findings
            ],
        }

    def require(self) -> None:
        """Raise `AssertionError` with every failure's sentence, if there is any; for tests."""
        if self.failures:
            lines = "\n".join(f"- {f.claim}: {f.said}" for f in self.failures)
            raise AssertionError(f"{self.plugin} fails as one of the {self.kind}:\n{lines}")


def findings_of(checks: Iterable[Check]) -> Iterator[CheckResult]:
    """Run the checks in order, and yield the result of each."""
    closed = False
    for check in checks:
        if closed:
            yield CheckResult(
                check.claim, CheckStatus.NOT_ASKED, "not tried, as an earlier check failed"
            )
            continue
        found = _finding(check)
        closed = check.gate and found.status is CheckStatus.FAILED
        yield found


def _finding(check: Check) -> CheckResult:
    passed = CheckStatus.PASSED if check.decides else CheckStatus.FIGURE
    try:
        return CheckResult(check.claim, passed, check.attempt() or "")
    except NotApplicable as reason:
        return CheckResult(check.claim, CheckStatus.NOT_ASKED, str(reason))
    except (Failed, FedsimError) as reason:
        return CheckResult(check.claim, CheckStatus.FAILED, str(reason))
    except Exception as error:  # a third party's plugin may raise anything
        return CheckResult(check.claim, CheckStatus.FAILED, _error_line(error))


def _error_line(error: Exception) -> str:
    """Return an exception of a plugin as one line: what it is, and where it was raised."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({frames[-1].filename}, line {frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {' '.join(str(error).split())}{where}"
