"""The public names, pinned."""

import nbtoolkit


def test_public_names() -> None:
    assert sorted(nbtoolkit.__all__) == [
        "Run", "TrainingStopped", "Var", "__version__", "analysis", "bridges", "export_html", "export_image",
        "instrument", "instruments", "interventions", "load_ipython_extension", "open_run", "panels", "show", "watch",
    ]  # fmt: skip


def test_every_public_name_loads() -> None:
    for name in nbtoolkit.__all__:
        assert getattr(nbtoolkit, name) is not None
