"""Tables and figures of the report's page, and how they look: light and dark, wide and narrow."""

import html
import re
from collections.abc import Callable, Sequence

from android_bench.report.pictures import NARROW, WIDE

STYLE = """
:root { color-scheme: light dark; --line: #8886; --soft: #8881; --bad: #b3261e;
  --quiet: color-mix(in srgb, CanvasText 68%, Canvas); }
@media (prefers-color-scheme: dark) { :root { --bad: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.2rem; max-width: 88rem; background: Canvas; color: CanvasText;
  font: 15px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; margin: 0 0 .2rem; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
.wide { overflow-x: auto; margin: .5rem 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .87rem; }
th, td { text-align: left; padding: .3rem .5rem; border-bottom: 1px solid var(--line);
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; } .number { text-align: right; }
.facts td { white-space: normal; } .facts td:first-child { color: var(--quiet); }
figure { margin: .5rem 0; }
figure svg { display: block; width: 100%; max-width: 64rem; height: auto; }
figure .on-narrow { display: none; }
figcaption { margin-top: .4rem; }
figcaption, .note { color: var(--quiet); font-size: .87rem; max-width: 46rem; }
.bad { color: var(--bad); } pre { background: var(--soft); padding: .6rem; overflow-x: auto;
  font-size: .78rem; line-height: 1.35; max-height: 24rem; }
summary { cursor: pointer; }
@media (max-width: 46rem) {
  figure .on-wide { display: none; } figure .on-narrow { display: block; }
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .45rem 0; }
  td { border: 0; padding: .1rem 0; white-space: normal; }
  .list td { display: flex; justify-content: space-between; gap: 1.2rem; text-align: right; }
  .list td::before { content: attr(data-title); color: var(--quiet); text-align: left;
    flex-shrink: 0; }
  .list td:first-child { display: block; text-align: left; font-weight: 600; }
  .list td:first-child::before { content: none; }
  .list td.missing { display: none; }
}
"""
_FIGURE = re.compile(r"[\d.,]+( (ms|MiB|bytes|codes?|of the largest output)|%)?")


def text_of(value: object) -> str:
    """A value as text of HTML."""
    # A terminal's control characters are none that HTML may hold.
    plain = "".join(one for one in str(value) if one in "\n\t" or ord(one) >= 32)
    return html.escape(plain)


def table(headers: Sequence[str], rows: Sequence[Sequence]) -> str:
    """A table; on a narrow page each row stands as a list of its own, titled by its first cell."""
    columns = list(zip(*rows, strict=True)) if rows else [()] * len(headers)
    kinds = [' class="number"' if _are_figures(column) else "" for column in columns]
    titles = "".join(
        f"<th{kind}>{text_of(title)}</th>" for title, kind in zip(headers, kinds, strict=True)
    )
    lines = "".join(
        "<tr>"
        + "".join(
            _cell(value, title, kind)
            for value, title, kind in zip(row, headers, kinds, strict=True)
        )
        + "</tr>"
        for row in rows
    )
    return (
        '<div class="wide list"><table>'
        f"<thead><tr>{titles}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def facts(rows: Sequence[Sequence]) -> str:
    """Names and what is known of them."""
    lines = "".join(
        f"<tr><td>{text_of(name)}</td><td>{_or_dash(value)}</td></tr>" for name, value in rows
    )
    return f'<div class="facts"><table><tbody>{lines}</tbody></table></div>'


def figure(title: str, make: Callable[[float, str], str | None], name: str, caption: str) -> str:
    """A picture in two widths, of which the page shows the one that it has room for.

    Args:
        title: Above it.
        make: Draws it: its width in inches and a name of its own to an SVG, or `None`.
        name: Names differ between the pictures of a page.
        caption: Below it.
    """
    pictures = [(make(WIDE, name), "on-wide"), (make(NARROW, f"{name}-narrow"), "on-narrow")]
    if pictures[0][0] is None:
        return ""
    heading = text_of(title)
    shown = "".join(
        svg.replace("<svg", f'<svg class="{kind}" role="img" aria-label="{heading}"', 1)
        for svg, kind in pictures
    )
    return f"<h2>{heading}</h2><figure>{shown}<figcaption>{text_of(caption)}</figcaption></figure>"


def note(text: str) -> str:
    """A paragraph of small print."""
    return f'<p class="note">{text_of(text)}</p>'


def _cell(value, title, kind):
    if value is None:
        kind = ' class="number missing"' if kind else ' class="missing"'
    return f'<td{kind} data-title="{text_of(title)}">{_or_dash(value)}</td>'


def _or_dash(value):
    return "&ndash;" if value in (None, "") else text_of(value)


def _are_figures(values):
    known = [str(value) for value in values if value is not None]
    return bool(known) and all(_FIGURE.fullmatch(text) for text in known)
