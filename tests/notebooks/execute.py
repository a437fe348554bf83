"""Run a notebook in a real kernel and make its page: ``python -m tests.notebooks.execute NOTEBOOK FOLDER``."""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert.exporters import get_exporter

CELL_SECONDS = 600


def execute(source: Path, folder: Path) -> tuple[Path, Path]:
    """The executed notebook with its widgets' state, and the self-contained page of it, both in ``folder``.

    The kernel works in ``folder``, so that what the notebook writes lands there too.
    """
    folder.mkdir(parents=True, exist_ok=True)
    notebook = nbformat.read(source, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    NotebookClient(notebook, timeout=CELL_SECONDS, store_widget_state=True, resources=resources).execute()
    executed, page = folder / source.name, folder / f"{source.stem}.html"
    nbformat.write(notebook, executed)
    html, _ = get_exporter("landscape")().from_notebook_node(notebook)
    page.write_text(html, encoding="utf-8")
    return executed, page


def printed(notebook: Path) -> str:
    """All that the notebook's cells printed."""
    cells = nbformat.read(notebook, as_version=4).cells
    outputs = [output for cell in cells for output in cell.get("outputs", [])]
    return "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")


def main() -> None:
    """Execute, then say what came out and where it is."""
    executed, page = execute(Path(sys.argv[1]), Path(sys.argv[2]))
    print(printed(executed).rstrip())
    print(f"\nnotebook  {executed}\npage      {page}")


if __name__ == "__main__":
    main()
