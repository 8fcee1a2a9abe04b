"""Every example in the docstrings, the README and docs/ runs and prints what it says."""

import doctest
import importlib
import pkgutil
import re
from pathlib import Path

import pytest

import wengert

ROOT = Path(__file__).resolve().parent.parent
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
MODULES = ["wengert", *(module.name for module in pkgutil.walk_packages(wengert.__path__, "wengert."))]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_docstring_examples(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert doctest.testmod(importlib.import_module(name), optionflags=OPTIONS).failed == 0


class Blocks(doctest.DocTestParser):
    """Markdown's closing fence ends an example's output, as a blank line does."""

    def parse(self, string, name="<string>"):
        return super().parse(string.replace("\n```", "\n\n"), name)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_page_examples(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = {"module_relative": False, "optionflags": OPTIONS, "encoding": "utf-8"}
    assert doctest.testfile(str(page), parser=Blocks(), **options).failed == 0


@pytest.mark.parametrize(
    "page",
    [*PAGES, ROOT / "examples/README.md", ROOT / "benchmarks/README.md"],
    ids=lambda page: page.relative_to(ROOT).as_posix(),
)
def test_links_lead_somewhere(page):
    """Files of the project that a page names, pictures too; and functions named beside a file are in it."""
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+)", re.sub(r"`[^`\n]*`", "", text)):  # not in code
        assert "://" in target or (page.parent / target).exists(), target
    for name, path in re.findall(r"`(\w+)`(?:, `\w+`)* in \[`[^`]*`\]\(([^)]+)\)", text):
        assert re.search(rf"\b{name}\b", (page.parent / path).read_text(encoding="utf-8")), (
            f"{name} in {path}"
        )
