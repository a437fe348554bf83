"""With NBTOOLKIT_NO_SKIP=1 a skip is a failure, except where it may be: without a CUDA device."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SKIPPING = {
    "test_inside.py": "import pytest\n\ndef test_it():\n    pytest.skip('nothing here')\n",
    "test_file.py": "import pytest\n\npytest.importorskip('no_such_module')\n\ndef test_it():\n    pass\n",
    "test_cuda.py": "import pytest\n\n@pytest.mark.cuda\ndef test_it():\n    pytest.skip('no device')\n",
}


@pytest.mark.parametrize(
    ("no_skip", "outcome"), [("", "3 skipped"), ("1", "1 failed, 1 skipped, 1 error")], ids=["allowed", "refused"]
)
def test_skips(root: Path, tmp_path: Path, no_skip: str, outcome: str) -> None:
    shutil.copy(root / "tests/conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = cuda\n")
    for name, source in SKIPPING.items():
        (tmp_path / name).write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "--continue-on-collection-errors", str(tmp_path)]
    environment = os.environ | {"NBTOOLKIT_NO_SKIP": no_skip}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1].startswith(outcome), done.stdout
