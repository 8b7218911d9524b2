"""The report as one page that needs nothing else: no script, no file beside it, no network."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape

from bodega_bench.tables import Table

_STYLE = """
:root { color-scheme: light; --line: #ddd; --quiet: #555; }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; margin: 0 auto; max-width: 68rem;
  padding: 1.5rem; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { max-width: 48rem; margin: .3rem 0 .7rem; }
.quiet, figcaption { color: var(--quiet); font-size: .9rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; font-variant-numeric: tabular-nums; }
th, td { padding: .28rem .7rem .28rem 0; border-bottom: 1px solid var(--line); text-align: right; vertical-align: top;
  white-space: nowrap; }
th:first-child, td:first-child, .words td, .words th { text-align: left; }
.words td { white-space: normal; }
thead th { border-bottom: 2px solid #999; }
tr.ours { font-weight: 650; background: #fdf3ec; }
td.met { color: #00664b; } td.missed { color: #a33b00; font-weight: 650; }
figure { margin: 1rem 0 2rem; }
figure svg { display: block; width: 100%; height: auto; max-width: 60rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .15rem 1.2rem; font-size: .9rem; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
pre { background: #f5f5f5; padding: .7rem; overflow-x: auto; font-size: .82rem; }
"""
_OURS = "bodega"


def page(
    title: str,
    lead: Sequence[str],
    *,
    tables: Iterable[Table],
    plots: Mapping[str, tuple[str, str]],
    facts: Mapping[str, str],
    commands: Sequence[str],
) -> str:
    """The whole page.

    Args:
        title: its heading.
        lead: paragraphs below it.
        tables: in their order; the first goes before the plots.
        plots: captions and SVG, by name.
        facts: of the machine, and versions.
        commands: what was run.
    """
    first, *others = tables
    parts = [
        f"<h1>{escape(title)}</h1>",
        *(f"<p>{escape(paragraph)}</p>" for paragraph in lead),
        _table(first),
        *(_figure(name, caption, svg) for name, (caption, svg) in plots.items()),
        *map(_table, others),
        "<h2>Machine and versions</h2>",
        "<dl>" + "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in facts.items()) + "</dl>",
        "<h2>Commands</h2>",
        f"<pre>{escape(chr(10).join(commands))}</pre>",
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        # Browsers ask for an icon unless they are told that there is none.
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n'
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _figure(name: str, caption: str, svg: str) -> str:
    label = f'<svg role="img" aria-label="{escape(caption)}" '
    return f'<figure id="{escape(name)}"><figcaption>{escape(caption)}</figcaption>{svg.replace("<svg ", label, 1)}</figure>'


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "\n".join(_row(row) for row in table.rows)
    note = f'<p class="quiet">{escape(table.note)}</p>' if table.note else ""
    kind = "" if table.is_numbers else ' class="words"'
    return (
        f"<h2>{escape(table.title)}</h2>{note}"
        f'<div class="wide"><table{kind}><thead><tr>{head}</tr></thead><tbody>\n{rows}\n</tbody></table></div>'
    )


def _row(row: Sequence[str]) -> str:
    ours = ' class="ours"' if row[0].split(" ")[-1] == _OURS else ""
    cells = "".join(
        f'<td class="{cell}">{cell}</td>' if cell in {"met", "missed"} else f"<td>{escape(cell)}</td>" for cell in row
    )
    return f"<tr{ours}>{cells}</tr>"
