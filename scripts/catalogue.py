"""Measure experiments over seeds, and write docs/CATALOGUE.md from what was measured.

python scripts/catalogue.py                          write docs/CATALOGUE.md anew; measure nothing
python scripts/catalogue.py metaformer steps=1000    measure one paper over three seeds first, with these knobs
python scripts/catalogue.py --check                  write nothing; exit code 1 when the page is out of step
"""

from __future__ import annotations

import json
import statistics
import sys
from pathlib import Path
from typing import Any

from labkit.paper import Exhibit, catalogue, exhibit

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/CATALOGUE.md"
SEEDS = (0, 1, 2)
HEAD = """# The papers that hang in labkit

Written by `python scripts/catalogue.py` from the exhibits and from what their experiments measured; do not edit it.
*Held* says whether the claim held in all our runs (yes), in part or in some of them (partly), or in none (no); it leads
to the numbers. These are small models, taught for seconds: they show a mechanism, not an accuracy on ImageNet.

| no. | paper | year | room and file | sizes | claim | held in our runs |
| ---: | --- | --- | --- | --- | --- | --- |
"""
WORDS = {"held": "yes", "partly": "partly", "not": "no"}


def measure(one: Exhibit, knobs: dict[str, str]) -> dict[str, Any]:
    """What the experiment finds over the seeds: every number's mean and range, and one verdict for all."""
    from labkit.experiments import experiment_of, run

    experiment = experiment_of(one.id)
    runs = [run(experiment, {**knobs, "seed": seed}).as_dict(one.id) for seed in SEEDS]
    verdicts = [found["verdict"] for found in runs]
    numbers = {}
    for name, first in runs[0]["numbers"].items():
        values = [found["numbers"][name]["value"] for found in runs]
        numbers[name] = {
            "mean": float(f"{statistics.fmean(values):.6g}"),
            "low": float(f"{min(values):.6g}"),
            "high": float(f"{max(values):.6g}"),
            "unit": first["unit"],
        }
    return {
        "command": " ".join(["python scripts/catalogue.py", one.id, *(f"{k}={v}" for k, v in knobs.items())]),
        "seeds": list(SEEDS),
        "verdict": verdicts[0] if len(set(verdicts)) == 1 else "partly",
        "verdicts": verdicts,
        "because": [found["because"] for found in runs],
        "numbers": numbers,
        "seconds": [round(found["seconds"], 1) for found in runs],
    }


def page() -> str:
    """The text of docs/CATALOGUE.md: the table, and for each paper what was measured."""
    measured = [one for one in catalogue() if one.measured]
    return HEAD + "".join(map(line, catalogue())) + "\n# What was measured\n" + "".join(map(section, measured))


def line(one: Exhibit) -> str:
    """One row of the table."""
    paper = one.paper
    title = f"[{paper.title}](https://arxiv.org/abs/{paper.arxiv})" if paper.arxiv else paper.title
    file = f"{one.room}: [`{paper.id}`](../labkit/{one.file})"
    sizes = ", ".join(f"{name} ({size.parameters / 1e6:.1f} M)" for name, size in one.sizes.items()) or "–"
    found = one.measured
    held = f"[**{WORDS[found['verdict']]}**](#{paper.number}-{paper.id})" if found else "not measured yet"
    cells = (str(paper.number), title, str(paper.year), file, sizes, paper.claim, held)
    return f"| {' | '.join(cells)} |\n"


def section(one: Exhibit) -> str:
    """One paper's verdict, the sentence of each seed, and the numbers with their range."""
    found = one.measured
    verdicts = zip(found["seeds"], found["verdicts"], found["because"], strict=True)
    said = "\n".join(f"- Seed {seed}, {WORDS[verdict]}: {because}" for seed, verdict, because in verdicts)
    rows = "\n".join(
        f"| {name} | {short(x['mean'])} | {short(x['low'])} | {short(x['high'])} | {x['unit']} |"
        for name, x in found["numbers"].items()
    )
    return f"""
## {one.paper.number} {one.id}

{one.paper.claim} Held: **{WORDS[found["verdict"]]}**.

{said}

| | mean | lowest | highest | unit |
| --- | ---: | ---: | ---: | --- |
{rows}

`{found["command"]}`: {max(found["seconds"]):.0f} s a run, at most.
"""


def short(value: float) -> str:
    """Three digits that count; thousands with commas."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def main(words: list[str]) -> int:
    if words and words != ["--check"]:
        one = exhibit(words[0])
        found = measure(one, dict(word.split("=", 1) for word in words[1:]))
        text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
        (ROOT / "labkit/experiments" / f"{one.id}.json").write_text(text, encoding="utf-8")
        print(f"{one.id}: {found['verdict']} {found['verdicts']}")
    if PAGE.exists() and PAGE.read_text(encoding="utf-8") == page():
        return 0
    if "--check" in words:
        print("docs/CATALOGUE.md is out of step; run `python scripts/catalogue.py`")
        return 1
    PAGE.write_text(page(), encoding="utf-8")
    print("docs/CATALOGUE.md written")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
