"""Every view is one module that a browser takes: no imports left, no name taken twice, nothing from elsewhere."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from labkit.widgets import bundle
from labkit.widgets.bundle import module
from labkit.widgets.view import style_of

NODE = shutil.which("node")
FOLDER = Path(bundle.__file__).parent
VIEWS = sorted(path.stem for path in FOLDER.glob("*.js") if "export default" in path.read_text(encoding="utf-8"))


def test_there_are_views() -> None:
    assert {"attention", "cover"} <= set(VIEWS)


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_one_module_with_both_hosts_and_its_styles(name: str) -> None:
    text = module(f"{name}.js")
    assert not re.search(r"^\s*import\b", text, re.MULTILINE)
    assert len(re.findall(r"^export default", text, re.MULTILINE)) == 1
    assert len(re.findall(r"^export (?:const|function) inGradio", text, re.MULTILINE)) == 1
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert f".lk-{name}" in style_of(name)


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.skipif(NODE is None, reason="Node.js is not installed; the browser tests load the same modules")
def test_no_name_is_taken_twice(name: str, tmp_path: Path) -> None:
    file = tmp_path / f"{name}.mjs"
    file.write_text(module(f"{name}.js"), encoding="utf-8")
    checked = subprocess.run([NODE, "--check", file], capture_output=True, text=True, timeout=60, check=False)
    assert checked.returncode == 0, checked.stderr
