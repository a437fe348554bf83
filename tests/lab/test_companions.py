"""The notebooks that come with the package."""

import json
from pathlib import Path

import pytest

from nbtoolkit.lab.companions import companions, title


def test_each_notebook_of_the_package_is_a_companion_with_a_title(root: Path) -> None:
    known = companions()
    assert set(known) == {path.name for path in (root / "notebooks").glob("*.ipynb")}
    assert title(known["02_edge_of_stability.ipynb"]) == "The edge of stability"
    assert all(title(content) for content in known.values())


def test_the_first_folder_that_has_a_name_wins_and_what_is_no_notebook_is_left_out(tmp_path: Path) -> None:
    for folder, heading in (("one", "# One"), ("two", "# Two")):
        (tmp_path / folder).mkdir()
        notebook = {"cells": [{"cell_type": "markdown", "source": heading}]}
        (tmp_path / folder / "a.ipynb").write_text(json.dumps(notebook))
    (tmp_path / "two" / "b.ipynb").write_text("{}")
    known = companions([str(tmp_path / "one"), str(tmp_path / "two"), str(tmp_path / "three")])
    assert {name: title(content) for name, content in known.items()} == {"a.ipynb": "One"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ([{"source": ["Words\n", "# Late  \n", "# Later"]}], "Late"),
        ([None, {}, {"source": "## Small"}], ""),
        ([], ""),
    ],
)
def test_titles(cells: list, expected: str) -> None:
    assert title({"cells": cells}) == expected
