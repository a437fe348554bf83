"""What a Jupyter server answers, over HTTP: only to whom it knows, and nothing from outside its folders."""

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path
from typing import Any

import pytest

from nbtoolkit.lab.live import FOLDER
from tests.browser.lab import Lab
from tests.lab.test_stored import write


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A server of its own."""
    with Lab(tmp_path_factory.mktemp("lab")) as lab:
        yield lab


def ask(lab: Lab, what: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Status and answer of a request; POST where there is a body."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{lab.port}/nbtoolkit/{what}", data, headers)
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=20) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def known(lab: Lab) -> dict[str, str]:
    """The header of one who may ask."""
    return {"Authorization": f"token {lab.token}"}


@pytest.mark.parametrize("what", ["runs", "companions"])
def test_strangers_are_told_nothing(lab: Lab, what: str) -> None:
    for headers in ({}, {"Authorization": "token wrong"}):
        status, answer = ask(lab, what, **headers)
        assert status == 403
        assert "stored" not in answer
        assert "First run" not in answer
    assert ask(lab, what, **known(lab))[0] == 200


def test_a_page_of_another_site_cannot_copy(lab: Lab) -> None:
    # A browser sends its cookies by itself, but no other page can read the XSRF token among them.
    jar = CookieJar()
    signed_in = urllib.request.build_opener(urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar))
    signed_in.open(lab.url("lab"), timeout=20).close()
    address = f"http://127.0.0.1:{lab.port}/nbtoolkit/companions"
    name = json.dumps({"name": "01_first_run.ipynb", "folder": ""}).encode()
    with pytest.raises(urllib.error.HTTPError, match="403"):
        signed_in.open(urllib.request.Request(address, name), timeout=20)
    assert list(lab.work.iterdir()) == []
    (token,) = [cookie.value for cookie in jar if cookie.name == "_xsrf"]
    signed_in.open(urllib.request.Request(address, name, {"X-XSRFToken": str(token)}), timeout=20).close()
    assert [path.name for path in lab.work.glob("*.ipynb")] == ["01_first_run.ipynb"]


def test_live_and_stored_runs_are_listed(lab: Lab) -> None:
    kernel = start(lab)
    connection = runtime(lab) / f"kernel-{kernel}.json"
    for _ in range(200):
        if connection.exists():
            break
        ask(lab, "runs", **known(lab))
    folder = runtime(lab) / FOLDER
    folder.mkdir(exist_ok=True)
    going, ended = write(lab.work / "going.zarr", state="watching"), write(lab.work / "sub" / "ended.zarr", name="e")
    entry = {"name": "r<b>", "state": "watching", "step": 5, "boards": ["u"], "store": str(going)}
    (folder / f"kernel-{kernel}.{'0' * 32}.json").write_text(json.dumps(entry))
    (folder / f"kernel-00000000-dead.{'0' * 32}.json").write_text(json.dumps(entry | {"name": "dead"}))

    status, told = ask(lab, "runs", **known(lab))
    assert (status, told["complete"]) == (200, True)
    shown = {"name": "r<b>", "state": "watching", "step": 5, "boards": ["u"], "kernel": kernel, "notebook": ""}
    assert told["live"] == [shown]
    assert [run["path"] for run in told["stored"]] == ["sub/ended.zarr"]  # the other is listed as it is trained
    assert ended.exists()

    lab.api(f"kernels/{kernel}", "DELETE")
    told = ask(lab, "runs", **known(lab))[1]
    assert told["live"] == []
    assert {run["path"] for run in told["stored"]} == {"going.zarr", "sub/ended.zarr"}


def test_companions_are_copied_under_a_free_name(lab: Lab, root: Path) -> None:
    listed = ask(lab, "companions", **known(lab))[1]
    assert {"name": "01_first_run.ipynb", "title": "First run"} in listed
    (lab.work / "folder é").mkdir()
    paths = []
    for _ in range(2):
        asked = {"name": "01_first_run.ipynb", "folder": "folder é"}
        status, answer = ask(lab, "companions", asked, **known(lab))
        assert status == 201
        paths.append(answer["path"])
    assert paths == ["folder é/01_first_run.ipynb", "folder é/01_first_run-1.ipynb"]
    original = json.loads((root / "notebooks/01_first_run.ipynb").read_text())
    for path in paths:
        copy = json.loads((lab.work / path).read_text())
        assert [cell["source"] for cell in copy["cells"]] == [cell["source"] for cell in original["cells"]]


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"name": "../../../etc/passwd"}, 400),
        ({"name": "01_first_run.ipynb\0"}, 400),
        ({"name": ["01_first_run.ipynb"]}, 400),
        ({"name": "01_first_run.ipynb", "folder": ".."}, 404),
        ({"name": "01_first_run.ipynb", "folder": "../lab"}, 404),
        ({"name": "01_first_run.ipynb", "folder": "/etc"}, 404),
        ({"name": "01_first_run.ipynb", "folder": "no such folder"}, 404),
        ({"name": "01_first_run.ipynb", "folder": {"a": 1}}, 404),
        (["01_first_run.ipynb"], 400),
        (b"{", 400),
    ],
)
def test_hostile_requests_change_nothing(lab: Lab, body: Any, status: int) -> None:
    before = set(lab.work.parent.rglob("*.ipynb"))
    got, told = ask(lab, "companions", body, **known(lab))
    assert got == status
    assert json.loads(told)["message"]
    assert set(lab.work.parent.rglob("*.ipynb")) == before


def start(lab: Lab) -> str:
    """A kernel of the server; its id."""
    lab.api("kernels", "POST")
    (kernel,) = lab.api("kernels")
    return kernel["id"]


def runtime(lab: Lab) -> Path:
    """Where the server keeps its connection files."""
    return lab.work.parent / "jupyter_runtime_dir"
