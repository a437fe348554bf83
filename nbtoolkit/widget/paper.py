"""The HTML of a page: words that are escaped, scripts, and payloads."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

from nbtoolkit.panels.curves import cut
from nbtoolkit.widget import bundle, payload

LETTERS = 200  # of a title

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<meta name="generator" content="{made}">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; }}
body {{ margin: 16px auto 24px; padding: 0 16px; max-width: 1800px; background: light-dark(#ffffff, #111111);
  color: light-dark(#212121, #e4e4e4); line-height: 1.45; overflow-wrap: anywhere; }}
h1 {{ font-size: 20px; margin: 8px 0; }}
h2 {{ font-size: 16px; margin: 28px 0 4px; }}
p {{ max-width: 44em; margin: 8px 0; }}
.nbtk-told, footer {{ font-size: 12px; color: light-dark(#616161, #a8a8a8); margin: 4px 0 10px; }}
.nbtk-run {{ min-height: 240px; }}
{print}
</style>
</head>
<body>
<header><h1>{heading}</h1></header>
<main>
{body}
</main>
<footer>Made with {made}.</footer>
{scripts}{mount}
</body>
</html>
"""

PRINT = """@media print {
  .nbtk-board .nbtk-panel { break-inside: avoid; }
  .nbtk-tools, .nbtk-chips, .nbtk-scrubber, .nbtk-controls, .nbtk-kept > span, .nbtk-selection {
    display: none !important;
  }
}"""

MOUNT = """
for (const script of document.querySelectorAll("script.nbtk-payload")) {
  globalThis.nbtoolkit.mountPage(script.previousElementSibling, script.textContent);
}
"""
SCRIPTLESS = (
    "<noscript><p>The figures of this page are drawn by its scripts, which are not allowed to run here.</p></noscript>"
)


def page(title: str, body: str, made: str) -> str:
    """A whole page around HTML."""
    return PAGE.format(
        title=escape(cut(title, LETTERS)), heading=name(cut(title, LETTERS)), body=body, made=escape(made),
        print=PRINT, scripts=scripts(), mount=mount(),
    )  # fmt: skip


def name(text: str) -> str:
    """A name among other words, whichever direction it is written in."""
    return f"<bdi>{escape(text)}</bdi>"


def paragraphs(text: str) -> str:
    """Plain words as HTML; an empty line begins a paragraph."""
    parts = [part.strip() for part in "\n".join(map(str.rstrip, text.splitlines())).split("\n\n")]
    return "\n".join(f'<p dir="auto">{escape(part)}</p>' for part in parts if part)


def interventions(count: int) -> str:
    """That a run was intervened in; its Board says where and how."""
    if not count:
        return ""
    times = "once" if count == 1 else f"{count} times"
    return f'<div class="nbtk-told">While this run trained, it was intervened in {times}.</div>'


def scripts() -> str:
    """What a page needs once: BokehJS, compressed and kept apart from any other on the page, and our bundle."""
    bokeh = payload.squeeze(bundle.bokeh_js().encode())
    carried = f'<script type="text/plain" class="nbtk-bokeh" data-version="{bundle.BOKEH_VERSION}">{bokeh}</script>'
    return f'{SCRIPTLESS}\n{carried}\n<script type="module">{_script(bundle.board_js())}</script>\n'


def board(panels: str, head: Mapping[str, Any], buffers: Sequence[Any], layout: str = "") -> str:
    """One run on a page: a place for its Board, and its data.

    Args:
        panels: what `describe` gives.
        head: of a message with all rows.
        buffers: its numbers.
        layout: how a reader arranged the panels.
    """
    return _carried(payload.pack({"panels": json.loads(panels), "layout": layout, **head, **VERSION}, buffers))


def drawing(document: str) -> str:
    """One Bokeh figure on a page: a place for it, and its document as JSON text."""
    return _carried(payload.pack({"drawing": document, **VERSION}))


VERSION = {"version": bundle.BOKEH_VERSION}


def _carried(packed: str) -> str:
    return f'<div class="nbtk-run"></div><script type="text/plain" class="nbtk-payload">{packed}</script>\n'


def mount() -> str:
    """The call that brings all runs on a page to life."""
    return f'<script type="module">{MOUNT}</script>\n'


def _script(source: str) -> str:
    """A script as it can stand inside a page."""
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")
