"""What the checks of lint look at, and what stops a command."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bodega.errors import LintError
from bodega.findings import Finding

if TYPE_CHECKING:
    from bodega.kedro.project.inventory import Entry
    from bodega.kedro.project.session import OpenedProject
    from bodega.kubernetes.deployment import Deployment
    from bodega.plan import Plan


@dataclass(frozen=True)
class Examined:
    """What the checks look at."""

    project: OpenedProject
    plan: Plan
    entries: list[Entry]
    deployment: Deployment
    """How it is deployed."""
    is_deployed: bool
    """Whether it is at all."""

    @property
    def datasets(self) -> list[Entry]:
        """The entries that are no parameters."""
        return [entry for entry in self.entries if entry.home != "parameters"]

    def task_of(self, node: str | None) -> str | None:
        """The task that runs a node."""
        return next((task.name for task in self.plan.tasks if node in task.nodes), None)


def refuse_errors(findings: Iterable[Finding]) -> None:
    """Stop where there is an error.

    Raises:
        LintError: there is; the message has all of them and their remedies.
    """
    errors = [finding for finding in findings if finding.level == "error"]
    if errors:
        lines = [f"- {finding.subject} ({finding.code}): {finding.message} {finding.remedy}" for finding in errors]
        number = "an error" if len(errors) == 1 else f"{len(errors)} errors"
        raise LintError("\n".join([f"The project has {number}:", *lines]), findings=errors)
