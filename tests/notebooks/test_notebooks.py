"""Every notebook: its two files say the same, it carries no outputs, and it runs from top to bottom."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.browser.harness import find_chromium

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))

_spec = importlib.util.spec_from_file_location("pairs", ROOT / "scripts/notebooks.py")
pairs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(pairs)


def by_name(path: Path) -> str:
    return path.stem


def test_there_are_notebooks_and_each_has_its_source():
    assert SOURCES
    assert [path.stem for path in SOURCES] == [path.stem for path in NOTEBOOKS]


@pytest.mark.parametrize("source", SOURCES, ids=by_name)
def test_the_pair_is_in_step(source):
    assert source.with_suffix(".ipynb").read_text() == pairs.made_from(source), "run `make notebooks`"


def test_a_pair_out_of_step_is_found(tmp_path):
    source = tmp_path / "99_x.py"
    source.write_text("# %% [markdown]\n# # Title\n\n# %%\n1 + 1\n")
    made = json.loads(pairs.made_from(source))
    assert [cell["cell_type"] for cell in made["cells"]] == ["markdown", "code"]
    source.write_text(source.read_text().replace("1 + 1", "1 + 2"))
    assert json.loads(pairs.made_from(source)) != made


@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_no_outputs_and_a_kernel_that_opens_without_asking(path):
    notebook = json.loads(path.read_text())
    assert notebook["metadata"]["kernelspec"]["name"] == "python3"
    assert "jupytext" not in notebook["metadata"], "a paired notebook opens or not by the times of its files"
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert path.stat().st_size < 100_000


@pytest.mark.notebook
@pytest.mark.parametrize("path", NOTEBOOKS, ids=by_name)
def test_it_runs_from_top_to_bottom(path, tmp_path):
    if path.stem != "01_attention" and find_chromium() is not None:
        pytest.skip("tests/browser/test_lessons.py runs it, in JupyterLab")
    # A process of its own, as for a visitor: our guards and our event loops do not reach in.
    run = [sys.executable, "-m", "jupyter", "nbconvert", "--to", "notebook", "--execute"]
    run += [f"--output-dir={tmp_path}", "--ExecutePreprocessor.timeout=300", str(path)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    notebook = json.loads((tmp_path / path.name).read_text())
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] for cell in code)
    shown = [kind for cell in code for output in cell["outputs"] for kind in output.get("data", {})]
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert "image/png" in shown
    texts = [output for cell in code for output in cell["outputs"] if output.get("name") == "stderr"]
    assert not texts, "a lesson does not start with warnings"
