"""A run as one HTML page: interactive, without kernel and network."""

import base64
import json
from html import escape
from pathlib import Path
from typing import Any

from nbtoolkit.errors import StoreError
from nbtoolkit.widget import bundle, messages
from nbtoolkit.widget.figures import describe

PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font-family: system-ui, sans-serif; }}
body {{ margin: 12px 16px; }}
h1 {{ font-size: 16px; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""

MOUNT = """
for (const script of document.querySelectorAll("script.nbtk-payload")) {
  globalThis.nbtoolkit.mountPage(script.previousElementSibling, JSON.parse(script.textContent));
}
"""


def export_html(run: Any, path: str | Path) -> Path:
    """Write a run as one self-contained page; returns its path.

    Args:
        run: a run being watched, finished, or opened from a file.
        path: of the page; an existing one is replaced.

    Raises:
        StoreError: the page cannot be written there.
    """
    with run.lock:
        status = messages.status_head(run.status())
        panels = describe(run.record)
        snapshot = messages.pack(messages.reset(run.record, {}, 1, status))
    body = scripts() + figure_of_run(panels, snapshot) + mount()
    path = Path(path)
    try:
        path.write_text(PAGE.format(title=escape(run.name), body=body), encoding="utf-8")
    except OSError as error:
        raise StoreError(
            f"The page cannot be written to {path}: {error.strerror or error}; choose another path."
        ) from error
    return path


def scripts() -> str:
    """What a page needs once: BokehJS, kept apart from any other on the page, and our bundle."""
    slot = json.dumps(f"nbtoolkit:bokeh:{bundle.BOKEH_VERSION}")
    bokeh = (
        f"(function () {{ const root = {{}}; (function () {{{bundle.bokeh_js()}\n}}).call(root); "
        f"globalThis[{slot}] = Promise.resolve(root.Bokeh); }})();"
    )
    return f'<script>{_script(bokeh)}</script>\n<script type="module">{_script(bundle.board_js())}</script>\n'


def figure_of_run(panels: str, snapshot: bytes) -> str:
    """One run on a page: a place for its Board, and its data.

    Args:
        panels: what `describe` gives.
        snapshot: a packed message with all rows.
    """
    return _carried({"panels": json.loads(panels), "snapshot": base64.b64encode(snapshot).decode()})


def figure_alone(drawing: str) -> str:
    """One Bokeh figure on a page: a place for it, and its document as JSON text."""
    return _carried({"drawing": drawing})


def _carried(payload: dict[str, Any]) -> str:
    # In JSON a "<" can be written otherwise, so that no name in it can end the script.
    text = json.dumps({"version": bundle.BOKEH_VERSION, **payload}).replace("<", "\\u003c")
    return f'<div class="nbtk-run"></div><script type="application/json" class="nbtk-payload">{text}</script>\n'


def mount() -> str:
    """The call that brings all runs on a page to life."""
    return f'<script type="module">{MOUNT}</script>\n'


def _script(source: str) -> str:
    """A script as it can stand inside a page."""
    return source.replace("</script", "<\\/script").replace("<!--", "<\\!--")
