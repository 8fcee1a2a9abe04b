"""Every example runs and ends in its picture."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
EXAMPLES = sorted((ROOT / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_example(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", [path.name])
    runpy.run_path(str(path), run_name="__main__")
    pictures = list(tmp_path.iterdir())
    assert [picture.suffix for picture in pictures] == [".png"]
    assert pictures[0].stat().st_size > 10_000


def test_the_list_of_examples_is_whole():
    page = (ROOT / "examples/README.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"\]\((\w+)\.py\)", page)) == [path.stem for path in EXAMPLES]
    for picture in re.findall(r"\.\./(docs/pictures/\w+\.png)", page):
        assert (ROOT / picture).is_file()
