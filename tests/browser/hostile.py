"""A run whose every word tries to be more than a word."""

from typing import Any

import numpy as np

from nbtoolkit.store.schema import Var
from tests.widget.conftest import FakeRun

HACK = "window.hacked = (window.hacked || 0) + 1"
WORDS = [
    f"<script>{HACK}</script>",
    f"</script><script>{HACK}</script><!--",
    f'"><img src=x onerror="{HACK}">',
    f"'><svg onload='{HACK}'>",
    f"]]></style><script>{HACK}</script>",
    f"${{{HACK}}}",
    f"javascript:{HACK}",
    "\u202egnorw era uoy \u05e9\u05dc\u05d5\u05dd",
    "😀👩‍👩‍👧",
    "n" * 10_000,
    "line one\nline\u2028two\x00",
    "\ud800 alone",
]


def hostile_run(state: str = "finished") -> FakeRun:
    """Curves, fields, matrices and screes, all with such words."""
    run = FakeRun(name="".join(WORDS[:4]), state=state, step=20)
    rng = np.random.default_rng(0)
    steps, labels = np.arange(20), WORDS[:-1]
    for i in (0, 1, 7, 9):
        word, attrs = WORDS[i], {"definition": WORDS[i + 1], "reference": WORDS[i + 2]}
        run.record.group(f"{i}{word}", {word: Var((), word, word)}, attrs).append(steps, {word: rng.random(20)})
    dims = {"terms": ("term",), "layers": ("layer",), "matrix": ("layer", "layer_other")}
    for name, own in dims.items():
        sizes = [len(labels)] * len(own)
        columns = run.record.group(name, {"x": Var(own, WORDS[2], WORDS[0])}, {"definition": WORDS[1]})
        columns.append(steps, {"x": rng.random((20, *sizes))}, dict.fromkeys(own, labels))
    scree = run.record.group("scree", {"x": Var(("layer", "index"), "1", WORDS[0])})
    scree.append(steps, {"x": rng.random((20, 3, 5))}, {"layer": labels[:3], "index": list(range(5))})
    told: dict[str, Any] = {"what": "lr", "old": WORDS[0], "new": WORDS[2]}
    run.commands = [{"step": i, "text": word, **told} for i, word in enumerate(WORDS[:-1])]
    run.notes = WORDS[:-1]
    return run
