"""Runs a cell in the notebook's namespace, as if its magic were not there."""

import ast
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
