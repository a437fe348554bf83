"""One panel as a file: of each kind, at a step, whatever it is called; nothing of the user's is touched."""

import struct
import sys
import xml.etree.ElementTree as ElementTree
from typing import Any

import numpy as np
import pytest

from nbtoolkit.errors import LandscapeError, StoreError
from nbtoolkit.store.columns import Record
from nbtoolkit.store.schema import Var
from nbtoolkit.widget import export_image, printing
from nbtoolkit.widget.choice import all_panels, has_labels
from nbtoolkit.widget.figures import panel_id
from tests.panels import landscapes, streams
from tests.widget.conftest import FakeRun

NAMES = [
    "$\\mathdefault{\\foo}$",
    "<script>alert(1)</script>",
    "cost $x_1$ or $ 5",
    "$\\frac{$",
    "😀 שלום\x00\n\tmore",
    "n" * 10_000,
    "a--b -->",
]


def size_of(path) -> tuple[int, int]:
    """Pixels across and down, as a PNG says itself."""
    return struct.unpack(">II", path.read_bytes()[16:24])


def comments_of(path) -> str:
    """What an SVG says: matplotlib draws letters as paths, and writes the words beside them."""
    ElementTree.parse(path)
    return path.read_text()


def test_a_png_has_the_size_asked_for(run, tmp_path):
    run.train(100)
    path = export_image(run, "loss", tmp_path / "loss.PNG", size=(3, 2), dpi=50)
    assert size_of(path) == (150, 100)
    assert size_of(export_image(run, "loss", str(tmp_path / "b.png"))) == (960, 640)


def test_an_svg_has_title_and_units(run, tmp_path):
    run.train(100)
    text = comments_of(export_image(run, "grad_norm", tmp_path / "norm.svg"))
    assert "<!-- gradient norm -->" in text
    assert "<!-- loss/param -->" in text
    assert "<!-- 0.weight -->" not in text


def test_the_same_panel_gives_the_same_file(run, tmp_path):
    run.train(100)
    first, second = (export_image(run, "loss", tmp_path / f"{i}.png").read_bytes() for i in range(2))
    assert first == second


@pytest.mark.parametrize("name", ["grad_norm/norm", "norm"])
def test_an_output_is_found_by_its_name(run, tmp_path, name):
    run.train(100)
    assert "<!-- 0.weight -->" in comments_of(export_image(run, name, tmp_path / "norm.svg"))


@pytest.mark.parametrize("of", [landscapes, streams])
def test_every_kind_of_panel_is_drawn(tmp_path, of):
    made = FakeRun(record=of.record(), state="finished")
    kinds = {panel[1]: panel_id(panel) for panel in all_panels(made.record) if has_labels(panel) and len(panel[0])}
    assert len(kinds) > 4
    for name in kinds.values():
        export_image(made, name, tmp_path / "panel.png", size=(2, 1.5), dpi=40)
        assert size_of(tmp_path / "panel.png") == (80, 60)


def field() -> FakeRun:
    """A slice measured at three steps."""
    made = FakeRun()
    columns = made.record.group("slice", {"loss": Var(("alpha",), "loss", "loss along a line")})
    line = np.array([1.0, 0.0, 1.0])
    columns.append([10, 20, 30], {"loss": np.array([line, 2 * line, 4 * line])}, {"alpha": [-1, 0, 1]})
    return made


def test_a_step_shows_the_last_measurement_until_then(tmp_path):
    made = field()
    drawn = [export_image(made, "slice", tmp_path / f"{step}.png", step=step).read_bytes() for step in (20, 29, 30)]
    last = export_image(made, "slice", tmp_path / "last.png").read_bytes()
    assert drawn[0] == drawn[1] != drawn[2] != last
    assert "loss along a line, step 20" in comments_of(export_image(made, "slice", tmp_path / "a.svg", step=25))
    with pytest.raises(LandscapeError, match="not measured by step 9; its first measurement is of step 10"):
        export_image(made, "slice", tmp_path / "b.png", step=9)


def test_a_step_is_marked_on_curves(run, tmp_path):
    run.train(100)
    plain, marked = (export_image(run, "loss", tmp_path / f"{step}.png", step=step).read_bytes() for step in (None, 50))
    assert plain != marked


def test_bad_requests_say_what_would_do(run, tmp_path):
    with pytest.raises(LandscapeError, match="'loss' of run 'digits' has no measurement yet"):
        export_image(run, "loss", tmp_path / "loss.png")
    run.train(10)
    with pytest.raises(LandscapeError, match=r"has no 'grad_nrm'; did you mean 'grad_norm'. It has: loss, grad_norm"):
        export_image(run, "grad_nrm", tmp_path / "loss.png")
    for name in ("loss.pdf", "loss"):
        with pytest.raises(LandscapeError, match=r"it writes files that end in .png or .svg"):
            export_image(run, "loss", tmp_path / name)
    wrongs: list[dict[str, Any]] = [{"size": (0, 2)}, {"dpi": -1}, {"size": (float("nan"), 1)}]
    wrongs += [{"size": 4}, {"size": ("a", 2)}, {"size": (1, 2, 3)}, {"dpi": "x"}, {"size": None}, {"dpi": True}]
    for wrong in wrongs:
        with pytest.raises(LandscapeError, match="needs positive inches and pixels"):
            export_image(run, "loss", tmp_path / "loss.png", **wrong)
    wrongs = [{"size": (1e4, 1e4)}, {"dpi": 1}, {"size": (0.1, 3)}, {"dpi": 10**300}, {"size": (10**400, 1)}]
    for wrong in wrongs:
        with pytest.raises(LandscapeError, match=r"it draws at least 0.5 inches and 20 pixels to an inch, and at most"):
            export_image(run, "loss", tmp_path / "loss.png", **wrong)
    for step in ("x", float("nan"), float("inf"), [3], True):
        with pytest.raises(LandscapeError, match=r"got step=.*; it needs the number of a step, or None for the last"):
            export_image(run, "loss", tmp_path / "loss.png", step=step)  # type: ignore[arg-type]
    with pytest.raises(StoreError, match=r"^The image cannot be written to '.*x.x00.png': .*; choose another path.$"):
        export_image(run, "loss", tmp_path / "x\0.png")
    with pytest.raises(StoreError, match=r"cannot be written to .*missing.*choose another path"):
        export_image(run, "loss", tmp_path / "missing" / "loss.png")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_any_words_are_drawn_as_words(tmp_path, name):
    made = FakeRun(name=name, record=Record(), state="finished")
    scalar, rows = Var((), name, name), Var(("layer",), name, name)
    made.record.group(name, {"a": scalar, "b": rows}).append(
        [1, 2], {"a": np.ones(2), "b": np.ones((2, 2))}, {"layer": [name, "other"]}
    )
    export_image(made, "a", tmp_path / "a.png", dpi=50)
    ElementTree.parse(export_image(made, "b", tmp_path / "b.svg"))


def test_words_are_cut_and_dollars_stay():
    assert printing.words("a $x$") == "a $x$"
    assert printing.words("a\x00b\nc") == "a b c"
    assert printing.words("n" * 61) == "n" * 59 + "…"
    assert printing.words("n" * 60) == "n" * 60


def test_matplotlib_stays_as_the_user_has_it(run, tmp_path):
    import matplotlib as mpl
    from matplotlib import pyplot as plt

    run.train(100)
    plt.figure(num=7)
    before, backend, manager = dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()
    for suffix in ("png", "svg"):
        export_image(run, "loss", tmp_path / f"loss.{suffix}")
    assert (dict(mpl.rcParams), mpl.get_backend(), plt.get_fignums()) == (before, backend, manager)
    plt.close(7)


def drawn_with(settings: Any, tmp_path, suffix: str = "png") -> list[bytes]:
    """Panels of several kinds, as they are drawn with these settings of matplotlib."""
    import matplotlib as mpl

    made = FakeRun(record=landscapes.record(), state="finished")
    group = made.record.group("many", {"rates": Var(("group",), "1", "learning rates", "log")})
    group.append([1, 2, 3], {"rates": np.geomspace(1e-9, 1e3, 21).reshape(3, 7)}, {"group": list(range(7))})
    kinds = {panel[1]: panel_id(panel) for panel in all_panels(made.record) if has_labels(panel) and len(panel[0])}
    with mpl.rc_context(settings):
        return [
            export_image(made, name, tmp_path / f"a.{suffix}", size=(3, 2), dpi=40).read_bytes()
            for name in [*kinds.values(), "many"]
        ]


def test_no_style_of_the_user_reaches_the_picture(tmp_path):
    from matplotlib import style

    plain = drawn_with({}, tmp_path)
    assert drawn_with({**style.library["dark_background"], "text.parse_math": False}, tmp_path) == plain
    assert drawn_with({"axes.grid": True, "axes.facecolor": "red", "text.color": "red"}, tmp_path) == plain


def test_no_latex_is_asked_for(tmp_path, monkeypatch):
    from matplotlib.texmanager import TexManager

    asked = []
    monkeypatch.setattr(TexManager, "make_dvi", lambda *args: asked.append(args))
    text = drawn_with({"text.usetex": True}, tmp_path, "svg")[-1].decode()
    assert "<!-- learning rates -->" in text
    assert asked == []


def test_pyplot_is_not_imported(tmp_path):
    import subprocess

    program = (
        "import sys, tests.widget.conftest as c, numpy as np\n"
        "from nbtoolkit.store.schema import Var\n"
        "from nbtoolkit.widget import export_image\n"
        "run = c.FakeRun()\n"
        "run.record.group('a', {'a': Var((), '1', 'a')}).append([1, 2], {'a': np.ones(2)})\n"
        f"export_image(run, 'a', {str(tmp_path / 'a.png')!r}); export_image(run, 'a', {str(tmp_path / 'a.svg')!r})\n"
        "assert 'matplotlib' in sys.modules and 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
