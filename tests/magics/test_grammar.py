"""The grammar by itself: what a line means, and what is said of a line that means nothing."""

import pytest

from nbtoolkit.magics import grammar
from nbtoolkit.magics.grammar import Command, GrammarError, parse


@pytest.mark.parametrize(
    ("line", "cell", "expected"),
    [
        ("", False, Command("")),
        ("watch net opt", False, Command("watch", ["net", "opt"])),
        ("watch net opt --every 5 -i loss -i lr", False,
         Command("watch", ["net", "opt"], {"every": "5"}, ["loss", "lr"])),
        ("show", False, Command("show")),
        ("show loss lr -q", False, Command("show", ["loss", "lr"], switches={"--quiet"})),
        ("measure grad_norm depth=3", False, Command("measure", ["grad_norm", "depth=3"])),
        ("save 'a b.zarr' -v path", False, Command("save", ["a b.zarr"], {"variable": "path"})),
        ("", True, Command("")),
        ("--store=run.zarr --budget 0.2", True, Command("", [], {"store": "run.zarr", "budget": "0.2"})),
        ("net opt -o", True, Command("", ["net", "opt"], switches={"--output"})),
        ("save -h", False, Command("save", switches={"--help"})),
    ],
)  # fmt: skip
def test_lines_and_what_they_mean(line: str, cell: bool, expected: Command) -> None:
    assert parse(line, cell=cell) == expected


@pytest.mark.parametrize(
    ("line", "cell", "message"),
    [
        ("shwo", False, "%landscape has no 'shwo'; did you mean 'show'? It has: watch, show, measure"),
        ("watch net", False, "%landscape watch needs OPTIMIZER: %landscape watch MODEL OPTIMIZER"),
        ("save", False, "%landscape save needs PATH: %landscape save PATH"),
        ("save a b", False, "%landscape save has no place for 'b'"),
        ("stop now", False, "%landscape stop has no place for 'now'"),
        ("watch net opt --evry 3", False, "no option '--evry' here; did you mean '--every'?"),
        ("list --every 3", False, "no option '--every' here"),
        ("watch net opt --every", False, "--every needs a value: --every N."),
        ("net", True, "%%landscape got 'net' alone; name MODEL and OPTIMIZER, or neither."),
        ("save 'a", False, "cannot read this line: no closing quotation."),
    ],
)
def test_lines_that_mean_nothing_are_answered_in_one_line(line: str, cell: bool, message: str) -> None:
    with pytest.raises(GrammarError) as caught:
        parse(line, cell=cell)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_help_names_every_verb_and_option() -> None:
    text = grammar.help_text()
    for verb, spec in grammar.VERBS.items():
        assert f"%landscape {verb}" in text
        assert spec.help in text
    for option in (*grammar.WATCHING, *grammar.COMMON):
        assert option.help in text
        assert option.help in grammar.help_text("watch")
