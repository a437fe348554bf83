"""Names of quantities that stand beside each other on a board: short, and told apart."""

import pytest

from nbtoolkit import instruments
from nbtoolkit.instruments import Instrument
from nbtoolkit.store.schema import companions

LONGEST = 34
NAMED = (
    "accuracy_matrix", "averaged_weights_gap", "fisher_diag", "gradient_conflict", "term_conflict",
    "trainability_probe", "unit_activity",
)  # fmt: skip


@pytest.mark.parametrize("name", NAMED)
def test_titles_are_short_and_differ(name: str) -> None:
    item: Instrument = getattr(instruments, name)
    drawn = {key: var.long_name for key, var in item.outputs.items() if key not in companions(item.outputs)}
    assert max(map(len, drawn.values())) <= LONGEST
    assert len(set(drawn.values())) == len(drawn)
    assert all(title.split()[0] != "the" for title in drawn.values())  # names by itself what it is
