"""Messages from the browser while a cell is busy: taken in between two training steps.

A kernel runs one cell at a time, and what the browser sends waits until the cell ends. The pump looks into the
queue in between: it answers what concerns widgets and hands everything else on, in order, to be done after
the cell. It touches the kernel's insides, so it is tested for at the start, and does without if they differ.
"""

import sys
import threading
import time
from collections.abc import Callable
from typing import Any

INTERVAL = 1 / 30
CONTROL = "jupyter.widget.control"
WIDGETS = (CONTROL, "jupyter.widget")
ASKS = ("kernel_info_request", "comm_info_request")


class Pump:
    """Takes in widget messages when called; at most 30 times a second, on the main thread only.

    Args:
        kernel: an ipykernel.
        stream: its queue of requests from front ends.
    """

    def __init__(self, kernel: Any, stream: Any) -> None:
        self._kernel = kernel
        self._stream = stream
        self._last = 0.0

    @classmethod
    def find(cls) -> "Pump | None":
        """A pump for this process's kernel; None where there is none or its queue is not as expected."""
        ipykernel = sys.modules.get("ipykernel.kernelbase")
        if ipykernel is None or not ipykernel.Kernel.initialized():
            return None
        kernel = ipykernel.Kernel.instance()
        try:
            channel = getattr(kernel, "shell_channel_thread", None)
            stream = channel.manager._shell_channel_to_main.to_stream if channel else kernel.shell_stream
            expected = (
                stream.flush,
                stream.on_recv,
                stream._run_callback,
                kernel.session.feed_identities,
                kernel.get_parent,
            )
            usable = (
                all(map(callable, expected)) and callable(stream._recv_callback) and hasattr(kernel, "comm_manager")
            )
        except AttributeError:
            return None
        return cls(kernel, stream) if usable else None

    def __call__(self) -> None:
        """Take in what has come; without anything there it costs microseconds."""
        now = time.monotonic()
        if now - self._last < INTERVAL or threading.current_thread() is not threading.main_thread():
            return
        self._last = now
        for frames in self._waiting():
            if not self._answered(frames):
                self._stream._run_callback(self._stream._recv_callback, frames)

    def _waiting(self) -> list[Any]:
        import zmq

        taken: list[Any] = []
        theirs = self._stream._recv_callback
        self._stream.on_recv(taken.append, copy=False)
        try:
            self._stream.flush(zmq.POLLIN)
        finally:
            self._stream.on_recv(theirs, copy=False)
        return taken

    def _answered(self, frames: list[Any]) -> bool:
        """Whether this was a message for us; it is then dealt with."""
        if len(frames) == 1:  # the kernel's note to itself
            return False
        session = self._kernel.session
        idents, rest = session.feed_identities(frames, copy=False)
        kind = session.unpack(bytes(rest[1].bytes))["msg_type"]
        act = self._action(kind, session.unpack(bytes(rest[4].bytes)))
        if act is None:
            return False
        # Only now, for a message may be read in full but once: its signature is remembered.
        message = session.deserialize(rest, content=True, copy=False)
        try:
            act(idents, message)
        except Exception:
            self._kernel.log.warning("nbtoolkit could not answer %s", kind, exc_info=True)
        if kind in ASKS or kind == "comm_msg":  # a widget sends no further change before one is closed
            self._closed(message)
        return True

    def _action(self, kind: str, content: dict[str, Any]) -> Callable[[Any, Any], None] | None:
        comms = self._kernel.comm_manager
        if kind in ASKS:
            return lambda idents, message: self._reply(kind, idents, message)
        if kind == "comm_open" and content.get("target_name") == CONTROL:
            return lambda idents, message: comms.comm_open(None, idents, message)
        comm = comms.comms.get(content.get("comm_id")) if kind == "comm_msg" else None
        callback = getattr(comm, "_msg_callback", None)
        target = getattr(comm, "target_name", None)
        if callback is None or target not in WIDGETS:
            return None
        if not (target == CONTROL or _ours(comm) or content["data"].get("method") == "request_state"):
            return None
        # Not comm.handle_msg: it would fire the events of a cell in the middle of one.
        return lambda _, message: callback(message)

    def _reply(self, kind: str, idents: Any, message: Any) -> None:
        channel = getattr(self._kernel, "shell_channel_thread", None)
        out = channel.manager.get_subshell_to_shell_channel_socket(None) if channel else self._stream
        answer = getattr(self._kernel, kind)(out, idents, message)
        try:
            answer.send(None)  # these coroutines never wait
        except StopIteration:
            pass

    def _closed(self, message: Any) -> None:
        """A request is over for the front end when the kernel was busy and idle with it; the cell stays busy."""
        for state, parent in (("busy", message), ("idle", message), ("busy", None)):
            self._kernel._publish_status(state, "shell", parent=parent)


def _ours(comm: Any) -> bool:
    """Whether a comm belongs to a Board."""
    from ipywidgets.widgets.widget import _instances

    return type(_instances.get(comm.comm_id)).__module__.startswith("nbtoolkit.")
