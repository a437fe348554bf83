"""Runs a cell in the notebook's namespace, as if its magic were not there."""

import ast
import contextlib
from collections.abc import Iterator
from typing import Any

from IPython.core.interactiveshell import InteractiveShell


def cell(shell: InteractiveShell, source: str) -> Any:
    """Execute ``source`` as the body of a cell; the value of its last expression, if it ends in one.

    Line numbers count the magic's own line, so a traceback points at the cell as it is seen.
    """
    __tracebackhide__ = True
    transformed = "\n" + shell.transform_cell(source)
    name = shell.compile.cache(transformed, shell.execution_count, raw_code=source)
    tree = shell.transform_ast(shell.compile.ast_parse(transformed, filename=name))
    last = tree.body.pop() if tree.body and isinstance(tree.body[-1], ast.Expr) and not _silenced(source) else None
    exec(shell.compile(tree, name, "exec"), shell.user_ns)
    if not isinstance(last, ast.Expr):
        return None
    return eval(shell.compile(ast.Expression(last.value), name, "eval"), shell.user_ns)  # type: ignore[arg-type]


def _silenced(source: str) -> bool:
    return source.rstrip().endswith(";")


class Hidden:
    """A block whose displays, and what clears them, do not reach the notebook: it has shown them before.

    Args:
        shell: of the notebook.
    """

    def __init__(self, shell: InteractiveShell) -> None:
        self._shell = shell

    def __enter__(self) -> None:
        """Hold back."""
        self._publisher = self._shell.display_pub
        self._own = {name: vars(self._publisher).get(name) for name in ("publish", "clear_output")}
        self._hide()

    def __exit__(self, *_: object) -> None:
        """Show again."""
        self._show()

    @contextlib.contextmanager
    def lifted(self) -> Iterator[None]:
        """A block within, whose displays do."""
        self._show()
        try:
            yield
        finally:
            self._hide()

    def _hide(self) -> None:
        for name in self._own:
            setattr(self._publisher, name, lambda *_, **__: None)

    def _show(self) -> None:
        for name, own in self._own.items():
            vars(self._publisher).pop(name, None)
            if own is not None:
                setattr(self._publisher, name, own)
