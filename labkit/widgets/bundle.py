"""Several small JavaScript files, one module: a host (JupyterLab, Gradio) takes exactly one."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path

HERE = Path(__file__).parent
_IMPORT = re.compile(r'^import \{[^}]*\} from "\./([a-z_]+\.js)";\n', re.MULTILINE)


@cache
def module(name: str) -> str:
    """The text of `name`, with the files it imports (`import { … } from "./file.js";`) set before it, each once."""
    texts: dict[str, str] = {}

    def gather(file: str) -> None:
        if file in texts:
            return
        text = (HERE / file).read_text(encoding="utf-8")
        for needed in _IMPORT.findall(text):
            gather(needed)
        texts[file] = _IMPORT.sub("", text)

    gather(name)
    return "\n".join(texts.values())


@cache
def styles(name: str) -> str:
    """The text of a style sheet."""
    return (HERE / name).read_text(encoding="utf-8")
