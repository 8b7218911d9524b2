"""``kedro bodega lint``."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from bodega.commands import count, json_option, print_json
from bodega.kedro.project.session import open_project, project_options

if TYPE_CHECKING:
    from kedro.framework.startup import ProjectMetadata


@click.command()
@project_options
@click.option("--strict", is_flag=True, help="Let warnings count as errors do.")
@json_option
@click.pass_context
def lint(
    ctx: click.Context,
    env: str | None,
    pipelines: list[str],
    params: dict[str, Any],
    conf_source: str | None,
    *,
    strict: bool,
    as_json: bool,
) -> None:
    """Find data that would be lost or clash, before anything runs.

    Looks at the pipeline, the catalog, bodega.yml and, where that has a 'deployment', at how the tasks would run on
    Kubernetes. Nothing runs, and no data is read. The exit code is 1 if there is an error.

    \b
    Examples:
      kedro bodega lint
      kedro bodega lint --env prod --pipelines training
      kedro bodega lint --strict --json
    """
    from bodega.kedro.lint.checks import lint as find

    metadata: ProjectMetadata = ctx.obj
    project = open_project(metadata, env=env, pipelines=pipelines, params=params, conf_source=conf_source)
    findings = find(project)
    errors = sum(finding.level == "error" for finding in findings)
    warnings = len(findings) - errors
    if as_json:
        facts = {"env": project.env, "pipelines": pipelines, "errors": errors, "warnings": warnings}
        print_json({**facts, "findings": [asdict(finding) for finding in findings]})
    else:
        from bodega.tables import print_problems

        print_problems(findings)
        click.echo(f"Found {count(errors, 'error')} and {count(warnings, 'warning')}.", err=True)
    ctx.exit(1 if errors or (strict and warnings) else 0)
