"""Write notebooks/NN_name.ipynb from NN_name.py: the same cells, no outputs, ids that stay the same.

python scripts/notebooks.py            write what differs
python scripts/notebooks.py --check    write nothing; exit code 1 when a pair is out of step
"""

from __future__ import annotations

import sys
from pathlib import Path

import jupytext
import nbformat

ROOT = Path(__file__).resolve().parents[1]


def made_from(source: Path) -> str:
    """The text of the .ipynb that belongs to a percent script."""
    notebook = jupytext.read(source, fmt="py:percent")
    # Only what opens the right kernel without asking; no versions of whoever saved it last.
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    # And no jupytext pairing: JupyterLab would refuse to open the file when git wrote its .py a second earlier.
    notebook.metadata = nbformat.from_dict({"kernelspec": kernel, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
        cell.metadata = nbformat.from_dict({})
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    nbformat.validate(notebook)
    return nbformat.writes(notebook) + "\n"


def main() -> int:
    behind = []
    for source in sorted((ROOT / "notebooks").glob("[0-9][0-9]_*.py")):
        target, text = source.with_suffix(".ipynb"), made_from(source)
        if not target.exists() or target.read_text() != text:
            behind.append(target.relative_to(ROOT))
            if "--check" not in sys.argv:
                target.write_text(text)
    for target in behind:
        print(f"{target} {'is out of step with its .py; run `make notebooks`' if '--check' in sys.argv else 'written'}")
    return 1 if behind and "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
