"""Other ipykernels than the one installed, unpacked where a kernel's PYTHONPATH finds them."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

BUILD = Path(__file__).resolve().parent.parent / "build"
OTHER = ("6.31.0",)


def unpacked(version: str) -> Path:
    """A folder with that ipykernel; fetched once, and kept."""
    folder = BUILD / f"ipykernel-{version}"
    if not folder.exists():
        wheels = BUILD / "wheels"
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "-q", f"ipykernel=={version}", "--no-deps", "-d", str(wheels)],
            check=True,
        )
        part = folder.with_suffix(f".{os.getpid()}")
        with zipfile.ZipFile(next(wheels.glob(f"ipykernel-{version}-*.whl"))) as wheel:
            wheel.extractall(part)
        part.rename(folder)
    return folder


def pythonpath(version: str) -> dict[str, str]:
    """The environment of a kernel with that ipykernel; ``installed`` is the one that there is."""
    if version == "installed":
        return dict(os.environ)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(unpacked(version)), os.environ.get("PYTHONPATH", "")])}
