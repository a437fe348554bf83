"""Runs as one HTML page: interactive, without kernel and network."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nbtoolkit import analysis
from nbtoolkit.store.columns import Record
from nbtoolkit.widget import messages, paper
from nbtoolkit.widget.choice import named_groups
from nbtoolkit.widget.figures import describe
from nbtoolkit.widget.overlaid import overlaid
from nbtoolkit.widget.writing import write

FORMS = "give a run, a list of runs, or a dict of runs, or of lists of runs, by label"


def export_html(
    run_or_runs: Any,
    path: str | Path,
    *,
    panels: Sequence[str] | None = None,
    text: str | None = None,
    title: str | None = None,
) -> Path:
    """Write runs as one self-contained page; returns its path.

    The page has the linked panels of the Board, needs neither kernel nor network, and names what made it. Of several
    runs each has a Board of its own; lists of runs by label are one picture, as `show` draws it.

    Args:
        run_or_runs: a run being watched, finished, or opened from a file; a list of them; or a dict of them, whose keys
            are written above each.
        path: of the page; an existing one is replaced.
        panels: instruments and logged values shown, all others being left out of the page; by default everything
            measured is in it, and the reader chooses.
        text: your own words above the runs; an empty line begins a paragraph.
        title: of the page; by default the labels of the runs, or their names.

    Raises:
        TypeError: it is no run, or text and title are no text.
        LandscapeError: a run has nothing of a name in ``panels``.
        StoreError: the page cannot be written there.
    """
    labelled = _labelled(run_or_runs)
    for word, value in {"text": text, "title": title}.items():
        if value is not None and not isinstance(value, str):
            raise TypeError(f"export_html() got a {type(value).__name__} as {word}; it needs text.")
    heading = title or ", ".join(dict.fromkeys(label or run.name for label, run in labelled))
    body = [paper.paragraphs(text or "")]
    for label, run in labelled:
        heading_of_one = f"<h2>{paper.name(label)}</h2>" if label else ""
        body += [heading_of_one, paper.interventions(len(run.commands)), _board(run, panels)]
    made = f"nbtoolkit {version('nbtoolkit-landscape')}, {date.today().isoformat()}"
    page = paper.page(heading, "\n".join(filter(None, body)), made)
    path = Path(path)
    write(path, page.encode("utf-8", "replace"), "The page")
    return path


def _labelled(runs: Any) -> list[tuple[str, Any]]:
    """Runs with what is written above each; of a dict with lists, all in one picture."""
    if isinstance(runs, Mapping) and any(isinstance(one, (list, tuple)) for one in runs.values()):
        found = [("", overlaid([runs]))]
    elif isinstance(runs, Mapping):
        found = [(str(label), run) for label, run in runs.items()]
    elif isinstance(runs, Sequence) and not isinstance(runs, str):
        found = [("", run) for run in runs]
    else:
        found = [("", runs)]
    wrong = [run for _, run in found if not hasattr(run, "record")]
    if wrong or not found:
        got = f"a {type(wrong[0]).__name__}" if wrong else "no run"
        raise TypeError(f"export_html() got {got}; {FORMS}.")
    return found


def _board(run: Any, panels: Sequence[str] | None) -> str:
    """A place for the Board of a run, and all that it shows."""
    with run.lock:
        names = None if panels is None else named_groups(run, panels)
        record = run.record if names is None else _part(run.record, names)
        told = {"commands": messages.commands_head(run.commands), "findings": _findings(run)}
        message = messages.reset(record, {}, 1, messages.status_head(run.status(), run.name), told=told)
        return paper.board(describe(record, names), *message)


def _part(record: Record, names: Sequence[str]) -> Record:
    part = copy.copy(record)
    part.groups = {name: columns for name, columns in record.groups.items() if name in names}
    return part


def _findings(run: Any) -> list[dict[str, Any]]:
    """What the record shows that a reader should know."""
    try:
        return [asdict(finding) for finding in analysis.diagnose(run.record)]
    except Exception:  # a rule that fails on an odd record is no reason to write no page
        return []
