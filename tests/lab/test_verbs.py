"""The command palette offers the verbs of the magic, as lines that the magic reads."""

import re
from pathlib import Path

from nbtoolkit.magics import grammar


def test_the_palette_has_each_verb_in_a_line_that_is_of_the_grammar(root: Path) -> None:
    source = (root / "js/src/lab/verbs.ts").read_text()
    lines = dict(re.findall(r'name: "(\w+)".*?line: "%landscape (.*?)"', source, flags=re.DOTALL))
    assert set(lines) == set(grammar.VERBS) - {""}
    for name, line in lines.items():
        assert grammar.parse(re.sub(r"[\[\]]", "", line), cell=False).verb == name
