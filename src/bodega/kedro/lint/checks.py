"""What would be lost, clash or stop a run, found before anything runs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bodega.errors import PlanError
from bodega.findings import Finding
from bodega.kedro.lint import data
from bodega.kedro.lint import deployment as deployed
from bodega.kedro.lint.findings import Examined
from bodega.kedro.project.inventory import take_inventory
from bodega.kubernetes.deployment import Deployment

if TYPE_CHECKING:
    from bodega.kedro.project.session import OpenedProject

_REMEDIES = {
    "empty-pipeline": "Register nodes under this name, or name another pipeline with --pipelines.",
    "pipelines-broken": "Mend that line, or install what it needs: without it nothing of the project can run.",
    "unknown-pipeline": "Correct --pipelines.",
    "pipelines-clash": "Deploy them one by one, or rename what both of them make.",
}


def lint(project: OpenedProject, deployment: Deployment | None = None) -> list[Finding]:
    """All findings, the errors first.

    Args:
        project: opened for the pipelines that are to run.
        deployment: how it will be deployed; by default as ``bodega.yml`` says, and not at all where that says nothing.
    """
    is_deployed = deployment is not None or project.settings.deployment is not None
    deployment = deployment or project.deployment
    findings: list[Finding] = []
    try:
        plan = project.plan(deployment.grouping)
    except PlanError as error:
        findings.append(_of_plan(error))
        if error.code in _REMEDIES:  # There is no pipeline to look at.
            return findings
        plan = project.plan("node")
    examined = Examined(project, plan, take_inventory(project, plan, is_run_new=is_deployed), deployment, is_deployed)
    for check in (*data.CHECKS, *(deployed.CHECKS if is_deployed else ())):
        findings += check(examined)
    return sorted(findings, key=lambda finding: (finding.level, finding.code))


def _of_plan(error: PlanError) -> Finding:
    subject = " and ".join(error.groups) or "deployment.grouping"
    remedy = _REMEDIES.get(error.code, "Change deployment.grouping in bodega.yml.")
    return Finding("error", error.code, str(error), remedy, "--pipelines" if error.code in _REMEDIES else subject)
