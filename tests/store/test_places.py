"""A path or a URL: the same words for both."""

import builtins
from pathlib import Path
from typing import Any

import pytest

from nbtoolkit.errors import StoreError
from nbtoolkit.store.places import Place
from tests.store.objects import objects


@pytest.fixture(params=["local", "file://", "objects://"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    with objects():
        yield {"local": str(tmp_path), "file://": tmp_path.as_uri(), "objects://": "objects://bucket/a"}[request.param]


def test_text_is_appended_read_from_a_byte_on_and_removed(folder: str) -> None:
    place = Place(f"{folder}/b/run.zarr").beside(".commands")
    assert (place.exists(), place.size(), place.read_text(), place.read_text(3)) == (False, 0, "", "")
    place.append_text("one ä\n")
    place.append_text("two\n")
    assert place.exists()
    assert (place.size(), place.read_text(), place.read_text(7)) == (11, "one ä\ntwo\n", "two\n")
    assert place.read_text(11) == place.read_text(50) == ""
    place.remove()
    place.remove()
    assert not place.exists()


@pytest.mark.parametrize(
    ("where", "name", "stem", "beside", "numbered"),
    [
        ("s3://b/run.zarr/", "run.zarr", "run", "s3://b/run.acks", "s3://b/run-2.zarr"),
        ("/data/run-0.1.zarr", "run-0.1.zarr", "run-0.1", "/data/run-0.1.acks", "/data/run-0.1-2.zarr"),
        ("/data/run.1", "run.1", "run", "/data/run.1.acks", "/data/run-2.1"),
        ("memory://run", "run", "run", "memory://run.acks", "memory://run-2"),
    ],
)
def test_names_beside_and_numbered(where: str, name: str, stem: str, beside: str, numbered: str) -> None:
    place = Place(where)
    assert (place.name, place.stem) == (name, stem)
    assert str(place.beside(".acks")) == beside
    assert str(place.numbered(2)) == numbered


def test_paths_are_absolute_and_urls_as_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Place("run.zarr").target == tmp_path / "run.zarr"
    assert Place(Path("run.zarr")) == Place(Place("run.zarr"))
    assert Place("s3://b/r").target == "s3://b/r"
    assert Place((tmp_path / "a b").as_uri()).target == tmp_path / "a b"


def test_a_protocol_that_nobody_knows_is_said_in_one_line() -> None:
    with pytest.raises(StoreError, match=r"nosuch://b/r cannot be opened: Protocol not known: nosuch; a local path"):
        Place("nosuch://b/r").exists()


def test_without_fsspec_the_pip_command_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("fsspec"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(StoreError, match=r"fsspec is needed: pip install 'nbtoolkit-landscape\[remote\]'") as caught:
        Place("s3://b/r").exists()
    assert "\n" not in str(caught.value)


def test_without_the_package_of_a_protocol_it_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from fsspec.registry import known_implementations

    missing = {"class": "no_such_package.Odd", "err": "Install odd-fs for odd"}
    monkeypatch.setitem(known_implementations, "odd", missing)
    with pytest.raises(StoreError, match=r"odd://b/r cannot be opened: Install odd-fs for odd\.$"):
        Place("odd://b/r").exists()
