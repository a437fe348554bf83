"""The harness itself: what it starts it stops, and what it reads is what the kernel said."""

import psutil
import pytest

pytestmark = pytest.mark.browser


def test_runs_a_cell_and_reads_its_output(notebook) -> None:
    opened = notebook(["print(6 * 7)"])
    assert [output["text"] for output in opened.run(0)] == ["42\n"]


def test_an_error_in_a_cell_fails_the_test(notebook) -> None:
    opened = notebook(["1 / 0"])
    with pytest.raises(AssertionError, match="ZeroDivisionError"):
        opened.run(0)


def test_stopping_leaves_no_process(notebook, lab) -> None:
    opened = notebook(["import os; print(os.getpid())"])
    kernel = int(opened.run(0)[0]["text"])
    assert psutil.pid_exists(kernel)
    lab.stop()
    assert not psutil.pid_exists(kernel)


def test_binder_settings_save_the_widget_state(notebook, lab) -> None:
    opened = notebook(["import ipywidgets; ipywidgets.IntSlider(value=7)"])
    opened.run(0)
    opened.page.locator(".widget-slider").wait_for()
    opened.do("save")
    assert "application/vnd.jupyter.widget-state+json" in (lab.work / "notebook.ipynb").read_text()
