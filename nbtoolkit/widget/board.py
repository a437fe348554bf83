"""The one widget: all panels of one run, live while it trains."""

import json
import threading
import time
from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import anywidget
import traitlets

from nbtoolkit.capture.status import GOING_ON
from nbtoolkit.widget import bundle, control, in_marimo, messages, ranges
from nbtoolkit.widget.announce import announce
from nbtoolkit.widget.figures import describe, shape
from nbtoolkit.widget.pump import Pump
from nbtoolkit.widget.shown import ShownOnce
from nbtoolkit.widget.strip import Strip

CERTAIN = 3.0  # seconds in which the browser may still be creating the widget, and so lose messages
LAYOUT = 100_000  # characters
REPEAT = 10.0  # seconds between full messages where the browser cannot ask for one


class Asset(anywidget.AnyWidget):
    """Hidden holder of BokehJS, shared by all Boards of a kernel, so that it is sent once."""

    _esm = "export default {};"
    version = traitlets.Unicode().tag(sync=True)
    source = traitlets.Unicode().tag(sync=True)


class Board(ShownOnce, anywidget.AnyWidget):
    """Live panels of one run.

    It reads the run's record and sends what is new; it never writes. `update` is called on the training
    thread, at a step boundary, or on the thread that follows another process.

    Args:
        run: a run being watched or followed, finished, or opened from a file.
        names: groups of the record whose panels are open at first; by default a choice of at most eight panels.
    """

    _esm = traitlets.Unicode().tag(sync=True)
    panels = traitlets.Unicode().tag(sync=True)
    asset = traitlets.Unicode().tag(sync=True)
    uid = traitlets.Unicode().tag(sync=True)
    snapshot = traitlets.Bytes().tag(sync=True)
    controls = traitlets.Unicode().tag(sync=True)
    arrangement = traitlets.Unicode().tag(sync=True)

    def __init__(self, run: Any, names: Sequence[str] | None = None) -> None:
        self._seq = 0
        self._sent: dict[str, int] = {}
        self._last_reset = time.monotonic()
        self._born = self._last_reset
        self._thread = threading.get_ident()
        self._heard_on = in_marimo.listening_thread()
        self._asset = shared_asset()
        self._shape = shape(run.record)
        self.run = run
        self.names = names
        self._pump = Pump.find()
        self._strip = Strip(run)
        self._logged = -1  # entries of the log that the page has
        self._standing = control.standing(run)
        super().__init__(
            _esm=bundle.board_js(), uid=uuid4().hex, panels=describe(run.record, names), asset=self._asset.model_id,
            controls=control.described(run), arrangement=remembered(names),
        )  # fmt: skip
        self.on_msg(self._on_message)
        self.observe(_remember, "arrangement")
        if run.state not in GOING_ON:
            self.finish()

    def __repr__(self) -> str:
        """One line; readers that show no widgets see it."""
        return f"<Board of run {self.run.name!r}>"

    def update(self) -> None:
        """Send what is new since the last call, and let the browser's messages in."""
        self.listen()
        with self.run.lock:
            self._redescribe()
            if self._must_repeat():
                self._send_all()
            else:
                self._post(messages.append)
        announce(self.run, self.uid)

    def listen(self) -> None:
        """Let the browser's messages in."""
        if self._pump and threading.get_ident() == self._thread:
            self._pump()
        in_marimo.let_go()

    def finish(self) -> None:
        """Send all that is left and keep everything in the widget's own state, for a saved notebook."""
        with self.run.lock:
            self._strip.findings(now=True)
            self._redescribe()
            self._send_all()
            told = self._told(everything=True)
            whole = messages.reset(self.run.record, self._sent, self._seq, self._status(), told=told)
            self.snapshot = messages.pack(whole)
        announce(self.run, self.uid)

    def _redescribe(self) -> None:
        """Tell of panels that appeared, since groups and labels may come late, and of what can be controlled."""
        standing = control.standing(self.run)
        if standing != self._standing:
            self._standing, self.controls = standing, control.described(self.run)
        now = shape(self.run.record)
        if now != self._shape:
            self._shape = now
            self.panels = describe(self.run.record, self.names)
            self._send_all()

    def _must_repeat(self) -> bool:
        """Without the pump the browser cannot ask for what it missed while the cell runs."""
        if self._pump:
            return False
        now = time.monotonic()
        return now - self._born < CERTAIN or now - self._last_reset > REPEAT

    def _send_all(self) -> None:
        self._last_reset = time.monotonic()
        self._post(messages.reset)

    def _post(self, make: Any) -> None:
        self._seq += 1
        told = self._told(everything=make is messages.reset)
        head, buffers = make(self.run.record, self._sent, self._seq, self._status(), self.run.drafts.rows(), told)
        self.send(head, buffers=buffers)

    def _status(self) -> dict[str, Any]:
        lr, deaf = control.rates(self.run), self._deaf()
        forking = control.forking_now(self.run)
        return messages.status_head(self.run.status(), self.run.name, lr=lr, deaf=deaf, forking=forking)

    def _deaf(self) -> str:
        return control.deaf(self.run, None if self._pump else self._heard_on)

    def _told(self, *, everything: bool) -> dict[str, Any]:
        """The log and the findings, where they have changed."""
        told: dict[str, Any] = {}
        commands = self.run.commands
        if everything or len(commands) != self._logged:
            self._logged, told["commands"] = len(commands), messages.commands_head(commands)
        new = self._strip.findings()
        if everything or new is not None:
            told["findings"] = self._strip.known
        return told

    def _on_message(self, _: Any, content: Any, __: Any) -> None:
        if not isinstance(content, dict):
            return
        if content.get("op") == "hello":
            with self.run.lock:
                self._send_all()
        elif content.get("op") == "command":
            control.act(self.run, content, self.send, self._show_fork)
        elif content.get("op") == "rows":
            with self.run.lock:
                if answer := ranges.rows(self.run.record, self._sent, content):
                    self.send(answer[0], buffers=answer[1])

    def _show_fork(self, fork: Any) -> None:
        """The curves of a fork over those of the run that it leaves, below."""
        from nbtoolkit.widget.display import show

        show(self.run, fork)


_layouts = [""]  # of the last Board whose layout was changed


def remembered(names: Sequence[str] | None) -> str:
    """How a new Board is laid out: as the last one was, but what is asked for by name is not hidden."""
    if names is None or not _layouts[0]:
        return _layouts[0]
    try:
        return json.dumps({**json.loads(_layouts[0]), "hidden": {}})
    except (ValueError, TypeError):
        return ""


def _remember(change: Any) -> None:
    if len(change["new"]) <= LAYOUT:
        _layouts[0] = change["new"]


_ASSETS: list[Asset] = []


def shared_asset() -> Asset:
    """The one Asset of this kernel; a new one after the widgets were all closed.

    marimo closes a widget when the cell that made it runs again, and ``marimo run`` has the pages of several readers in
    one process: there each has its own.
    """
    if not _ASSETS or _ASSETS[0].comm is None or in_marimo.marimo():
        _ASSETS[:] = [Asset(version=bundle.BOKEH_VERSION, source=bundle.bokeh_js())]
    return _ASSETS[0]
