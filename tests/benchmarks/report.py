"""Where a benchmark leaves its numbers."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch


def write(path: Path, results: Mapping[str, Any]) -> None:
    """The numbers and the version of torch as JSON; says where."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"torch": torch.__version__, **results}, indent=1))
    print(f"\nwritten to {path}")
