"""What `pip install` leaves behind: the metadata, the files and their size."""

import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

import wengert

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def installed():
    """The installed distribution of the package that is under test."""
    try:
        found = distribution("wengert")
    except PackageNotFoundError:
        pytest.skip("wengert runs from its source tree without having been installed")
    origin = json.loads(found.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False)
    if editable or found.locate_file("wengert") != Path(wengert.__file__).parent:
        pytest.skip("an editable install has the files of the source tree")
    return found


def test_the_version_is_the_same_everywhere(installed):
    assert installed.version == wengert.__version__
    assert f"## [{wengert.__version__}]" in (ROOT / "CHANGELOG.md").read_text()
    written = [path.name for path in (ROOT / "src").rglob("*.py") if '__version__ = "' in path.read_text()]
    assert written == ["_version.py"]


def test_numpy_is_the_only_dependency(installed):
    required = [text for text in installed.requires if "extra ==" not in text]
    assert [re.match(r"[\w-]+", text).group() for text in required] == ["numpy"]


def test_the_extras_are_those_that_error_messages_name(installed):
    extras = set(installed.metadata.get_all("Provides-Extra"))
    assert extras == {"cli", "plot", "io", "sklearn", "mpi", "demo", "test", "bench", "dev"}


def test_the_wheel_holds_the_package_and_no_sources_of_the_extension(installed):
    files = {Path(file).as_posix() for file in installed.files}
    assert {"wengert/__init__.py", "wengert/py.typed", "wengert/_core.pyi"} <= files
    assert any(re.fullmatch(r"wengert/_core\..*\.(so|pyd)", name) for name in files)
    assert any(name.endswith("licenses/LICENSE") for name in files)
    assert not [name for name in files if name.endswith((".c", ".h", ".inc", ".def", ".pyx", ".pxi", ".pxd"))]
    assert not [name for name in files if name.split("/")[0] in {"tests", "benchmarks", "docs", "examples"}]


def test_the_command_is_installed(installed):
    commands = installed.entry_points.select(group="console_scripts")
    assert {command.name: command.value for command in commands} == {"wengert": "wengert.cli:main"}


def test_the_installed_size_stays_small(installed):
    # Byte code is written by pip or by the interpreter, not by the wheel.
    sizes = [file.locate().stat().st_size for file in installed.files if file.suffix != ".pyc"]
    assert sum(sizes) <= 5_000_000
