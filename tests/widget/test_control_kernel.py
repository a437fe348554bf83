"""In a real kernel: the page acts on an unmodified training cell while that cell runs."""

import json
from collections.abc import Callable, Iterator
from typing import Any
from uuid import uuid4

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager, start_new_kernel

from tests.ipykernels import OTHER, pythonpath
from tests.widget.test_pump import custom, is_idle, run, until

pytestmark = pytest.mark.timeout(180)

PREPARE = """
%load_ext nbtoolkit
import time, torch
from pathlib import Path
from torch import nn
from torch.nn import functional as F
torch.manual_seed(0)
x, y = torch.randn(64, 8), torch.randint(0, 3, (64,))
"""

# Ends when it is told to, or after a time that no machine needs.
TRAIN = """\
%%landscape -v run --loss F.cross_entropy --probe x,y -i loss -i lr
net = nn.Linear(8, 3)
sgd = torch.optim.SGD(net.parameters(), lr=0.1)
deadline = time.monotonic() + 60
try:
    while time.monotonic() < deadline:
        sgd.zero_grad()
        F.cross_entropy(net(x), y).backward()
        try:
            sgd.step()
        except Exception:
            pass
finally:
    ended = True
print("not reached")
"""

TOLD = """
import json
print(json.dumps([run.commands, float(sgd.param_groups[0]['lr']), run['lr']['lr'].values.ravel().tolist()]))
"""


class Page:
    """What a browser has of one Board: it sends commands and hears answers."""

    def __init__(self, client: BlockingKernelClient) -> None:
        self.client, self.model = client, ""
        self.heads: list[dict[str, Any]] = []

    def train(self, cell: str = TRAIN) -> str:
        """Run the cell; its request, once the Board is there and steps are made."""
        request = self.client.execute(cell)
        self.until(lambda m: m["msg_type"] == "comm_open" and "uid" in m["content"]["data"].get("state", {}))
        self.status(lambda status: status["step"] > 3)
        return request

    def until(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        def seen(message: dict[str, Any]) -> Any:
            content = message["content"]
            if message["msg_type"] == "comm_open" and "uid" in content["data"].get("state", {}):
                self.model = content["comm_id"]
            if message["msg_type"] == "comm_msg" and content["comm_id"] == self.model:
                self.heads.append(content["data"].get("content", {}))
            return wanted(message)

        return until(self.client, seen)

    def head(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The next message of the Board that is as wanted."""
        self.until(lambda m: m["content"].get("comm_id") == self.model and self.heads and wanted(self.heads[-1]))
        return self.heads[-1]

    def status(self, wanted: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        return self.head(lambda head: "status" in head and wanted(head["status"]))["status"]

    def ask(self, what: str, **more: Any) -> tuple[str, str]:
        """Send a command; how it ended, and the words of that."""
        name = uuid4().hex
        custom(self.client, self.model, {"op": "command", "id": name, "what": what, **more})
        ack = self.head(lambda head: head.get("id") == name and head["state"] != "queued")
        return ack["state"], ack["text"]


@pytest.fixture(scope="module", params=["installed", *OTHER])
def kernel(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    manager: KernelManager
    manager, client = start_new_kernel(kernel_name="python3", env=pythonpath(request.param))
    version = run(client, "import ipykernel; print(ipykernel.__version__)")
    assert request.param in ("installed", version)
    run(client, PREPARE)
    yield client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def test_the_page_acts_on_an_unmodified_cell_while_it_runs(kernel: BlockingKernelClient) -> None:
    page = Page(kernel)
    request = page.train()
    after = kernel.execute("print(ended, run.state)")

    state, text = page.ask("pause")
    paused = page.status(lambda status: status["state"] == "paused")
    assert (state, text) == ("done", f"paused after step {paused['step']}")
    assert page.ask("lr", rate=0.025) == ("done", f"learning rate: 0.1 -> 0.025 from step {paused['step']}")
    assert page.status(lambda status: status["lr"] == [0.025])["step"] == paused["step"]
    assert page.ask("advance", steps=2)[0] == "done"
    assert page.status(lambda status: status["state"] == "paused" and status["step"] > paused["step"])["step"] == (
        paused["step"] + 2
    )
    assert page.ask("measure", name="sharpness") == ("done", f"sharpness measured at step {paused['step'] + 2}")
    assert page.ask("resume")[0] == "done"
    page.status(lambda status: status["state"] == "watching" and status["step"] > paused["step"] + 2)
    assert page.ask("lr", rate=-1) == ("refused", "lr=-1: expected a learning rate, a finite number of 0 or more.")
    assert page.ask("stop")[0] == "done"

    reply = until(kernel, lambda m: m["msg_type"] == "execute_reply" or is_idle(m, request))
    assert reply is not None
    shown = page_output(kernel, after)
    assert shown == "True stopped"
    told = run(kernel, TOLD)
    commands, rate, rates = json.loads(told)
    assert [one["what"] for one in commands] == ["pause", "lr", "advance", "measure", "resume", "stop"]
    assert rate == 0.025
    assert rates == [0.1] * paused["step"] + [0.025] * (len(rates) - paused["step"])
    assert len(rates) > paused["step"] + 2


def page_output(client: BlockingKernelClient, request: str) -> str:
    """What a cell that waited has printed."""
    message = until(client, lambda m: m["msg_type"] == "stream" and m["parent_header"].get("msg_id") == request)
    until(client, lambda m: is_idle(m, request))
    return message["content"]["text"].strip()


def test_an_interrupt_ends_a_paused_cell_and_the_kernel_is_well(kernel: BlockingKernelClient) -> None:
    page = Page(kernel)
    request = page.train()
    assert page.ask("pause")[0] == "done"
    page.status(lambda status: status["state"] == "paused")
    kernel.parent.interrupt_kernel()  # type: ignore[attr-defined]
    error = page.until(lambda m: m["msg_type"] == "error")
    assert error["content"]["ename"] == "KeyboardInterrupt"
    assert not any("nbtoolkit" in line for line in error["content"]["traceback"])
    until(kernel, lambda m: is_idle(m, request))
    assert run(kernel, "print(run.state, run.commands[-1]['text'].split(' after')[0], run.control.pause)") == (
        "interrupted interrupted while paused None"
    )


def test_a_message_that_means_nothing_does_nothing(kernel: BlockingKernelClient) -> None:
    page = Page(kernel)
    request = page.train()
    hostile: list[Any] = [
        None, 7, "stop", [], {}, {"op": 3}, {"op": "command"}, {"op": "command", "id": 5, "what": "stop"},
        {"op": "command", "id": "x" * 1_000_000, "what": "stop"},
    ]  # fmt: skip
    for content in hostile:
        custom(kernel, page.model, content)
    for more in ({"what": "exec"}, {"what": ["stop"]}, {"what": "x" * 1_000_000}, {}):
        assert page.ask(**{"what": "", **more})[0] == "refused"
    for rate in (None, "0.1", True, [0.1], 10**400, {}):
        assert page.ask("lr", rate=rate)[0] == "refused"
    for group in (-1, 1, 0.5, True, "0", 10**30):
        assert page.ask("lr", rate=0.1, group=group)[0] == "refused"
    for name in (None, 3, "x" * 1_000_000, "__class__", "accuracy_matrix"):
        assert page.ask("measure", name=name)[0] == "refused"
    for steps in (0, -1, 1.5, "2", None, True, 10**100):
        assert page.ask("every", name="loss", steps=steps)[0] == "refused"
    state, _ = page.ask("stop")
    assert state == "done"
    until(kernel, lambda m: is_idle(m, request))
    assert (
        run(kernel, "print([one['what'] for one in run.commands], run.state, len(run.notes))") == "['stop'] stopped 0"
    )
