"""In a real kernel: the browser's messages are answered while a cell runs, and all others wait in order."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

pytestmark = pytest.mark.timeout(120)

PROTOCOL = "1.0.0"  # of the comm that asks for all widgets

SETUP = """
import time
from nbtoolkit.capture.run import Run
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import Board
run = Run("fake", Record(), state="watching")
run.record.group("loss", {"loss": Var((), "loss", "training loss")})
run.record.groups["loss"].append([0], {"loss": [1.0]})
board = Board(run)
assert board._pump is not None
order = []
print(board.model_id)
"""

# Ends when told to by a file, so that nothing here depends on how fast the machine is.
BUSY = """
from pathlib import Path
deadline = time.monotonic() + 60
while not Path({flag!r}).exists() and time.monotonic() < deadline:
    board._pump()
    time.sleep(0.01)
order.append("busy")
"""


@pytest.fixture(scope="module")
def kernel() -> Iterator[BlockingKernelClient]:
    manager: KernelManager
    manager, client = start_new_kernel(kernel_name="python3")
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def run(client: BlockingKernelClient, code: str) -> str:
    """Run a cell to its end; what it printed."""
    printed = []

    def hook(message: dict[str, Any]) -> None:
        if message["msg_type"] == "stream":
            printed.append(message["content"]["text"])

    reply = client.execute_interactive(code, output_hook=hook, timeout=90)
    assert reply["content"]["status"] == "ok", reply["content"]
    return "".join(printed).strip()


def send(client: BlockingKernelClient, kind: str, content: dict[str, Any], **metadata: str) -> str:
    message = client.session.msg(kind, content, metadata=metadata)
    client.shell_channel.send(message)
    return message["header"]["msg_id"]


def until(client: BlockingKernelClient, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """The first message to all front ends that is as wanted."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        message = client.get_iopub_msg(timeout=30)
        if wanted(message):
            return message
    raise TimeoutError("the kernel did not answer while the cell was running")


def custom(client: BlockingKernelClient, model: str, content: dict[str, Any]) -> str:
    return send(client, "comm_msg", {"comm_id": model, "data": {"method": "custom", "content": content}})


def is_reset(message: dict[str, Any]) -> bool:
    return message["content"].get("data", {}).get("content", {}).get("op") == "reset"


def test_a_board_is_answered_in_the_middle_of_a_cell_and_other_requests_after_it(kernel, tmp_path):
    model = run(kernel, SETUP)
    flag = tmp_path / "enough"
    busy = kernel.execute(BUSY.format(flag=str(flag)))
    until(kernel, lambda m: m["msg_type"] == "execute_input" and m["parent_header"]["msg_id"] == busy)
    first, second = (kernel.execute(f"order.append({word!r})") for word in ("first", "second"))

    custom(kernel, model, {"op": "hello"})
    answer = until(kernel, is_reset)
    assert [one["key"] for one in answer["content"]["data"]["content"]["series"]] == ["loss/loss"]
    assert len(answer["buffers"]) == 2

    asked = send(kernel, "comm_info_request", {"target_name": "jupyter.widget"})
    until(kernel, lambda m: m["content"].get("execution_state") == "idle" and m["parent_header"]["msg_id"] == asked)
    again = until(kernel, lambda m: m["msg_type"] == "status")
    assert (again["content"]["execution_state"], again["parent_header"]["msg_id"]) == ("busy", busy)

    flag.touch()
    for request in (busy, first, second):
        until(kernel, lambda m, request=request: is_idle(m, request))
    assert run(kernel, "print(order)") == "['busy', 'first', 'second']"


def is_idle(message: dict[str, Any], request: str) -> bool:
    return message["content"].get("execution_state") == "idle" and message["parent_header"]["msg_id"] == request


def test_a_reloaded_page_gets_the_state_of_its_widgets_in_the_middle_of_a_cell(kernel, tmp_path):
    model = run(kernel, SETUP)
    flag = tmp_path / "enough"
    busy = kernel.execute(BUSY.format(flag=str(flag)))
    until(kernel, lambda m: m["msg_type"] == "execute_input" and m["parent_header"]["msg_id"] == busy)

    control = "a-new-page"
    send(
        kernel, "comm_open", {"comm_id": control, "target_name": "jupyter.widget.control", "data": {}}, version=PROTOCOL
    )
    send(kernel, "comm_msg", {"comm_id": control, "data": {"method": "request_states"}})
    states = until(kernel, lambda m: m["content"].get("data", {}).get("method") == "update_states")
    assert "panels" in states["content"]["data"]["states"][model]["state"]

    flag.touch()
    until(kernel, lambda m: is_idle(m, busy))
