"""Ten mixers in one frame: train them over seeds, and put what they are into one table.

python scripts/rivals.py train             what is missing of 10 mixers x 3 seeds (hours; needs LABKIT_DATA)
python scripts/rivals.py train scan 1      one of them
python scripts/rivals.py table             measure all, write data/weights/rivals.json and docs/rivals.md; ship seed 0
python scripts/rivals.py table --check     write nothing; exit code 1 when docs/rivals.md is not made of the json
"""

from __future__ import annotations

import json
import shutil
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RUNS, SHIPPED = ROOT / "runs/rivals", ROOT / "data/weights"
STORED, PAGE = SHIPPED / "rivals.json", ROOT / "docs/rivals.md"
SEEDS = (0, 1, 2)
STAGES = ("stages.0.1", "stages.1.2")
"""The last block on 16 x 16 cells, and the last one on 8 x 8."""

HEAD = """# Ten mixers in one frame

Written by `python scripts/rivals.py table` from `data/weights/rivals.json`; do not edit it.

[The frame](../labkit/models/rivals.py) is the same for all, and so is
[the recipe](../labkit/training/recipes.py): {epochs} epochs on {train:,} pictures of 64 pixels in {classes} classes,
each mixer from {seeds} seeds. Top-1 is that of {val:,} pictures not seen; ± is half the distance from the worst seed to
the best. Few epochs and one rate for all: this is who learns fastest in a small frame on little data, not who is best.

| mixer | parameters | MACs | speed | top-1 | reach, 16 x 16 | NMI, 16 x 16 | reach, 8 x 8 | field, 16 x 16 | 8 x 8 |
| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |
"""
FOOT = """
- **Speed**: pictures a second against the frame without a mixer, one thread, 32 at a time, taking turns in one process.
  MACs leave out Fourier transforms and the scan's recurrence: see [cost](instruments.md).
- **Reach and NMI** of the last block on each grid, without its skip connection, the mean of {photos} photos and of the
  seeds. Reach: 0 = each place is made of itself, 1 = of all alike. NMI: 1 = of itself, 0 = of all alike.
- **Field**: the side in pixels, of 64, of the square around the middle unit that holds nine tenths of what moves it,
  over the mean of the photos' heat; [the lowest seed to the highest].
- The weights of seed 0 ship: `labkit models mix-`. Make all again with `python scripts/rivals.py train`, then `table`.
"""


def main(words: list[str]) -> int:
    match words:
        case ["train"]:
            from labkit.models.rivals import MIXERS

            for seed in SEEDS:
                for mixer in MIXERS:
                    train(mixer, seed)
        case ["train", mixer, seed]:
            train(mixer, int(seed))
        case ["table"]:
            found = measured()
            STORED.write_text(json.dumps(found, indent=2) + "\n", encoding="utf-8")
            PAGE.write_text(page(found), encoding="utf-8")
            print(f"{STORED.relative_to(ROOT)} and {PAGE.relative_to(ROOT)} written")
        case ["table", "--check"]:
            if PAGE.read_text(encoding="utf-8") != page(json.loads(STORED.read_text(encoding="utf-8"))):
                print("docs/rivals.md is out of step; run `python scripts/rivals.py table`")
                return 1
        case _:
            print(__doc__)
            return 2
    return 0


def checkpoint(mixer: str, seed: int) -> Path:
    return RUNS / f"seed{seed}/mix-{mixer}.safetensors"


def train(mixer: str, seed: int) -> None:
    """One checkpoint, where it is not there yet."""
    file = checkpoint(mixer, seed)
    if not file.exists():
        state = file.with_suffix(".pt")
        words = ["train", f"mix-{mixer}", "--seed", str(seed), "--out", str(file), "--state", str(state)]
        subprocess.run([Path(sys.executable).with_name("labkit"), *words], check=True)


def measured() -> dict[str, Any]:
    """Every number of the table, seed by seed; the checkpoints of seed 0 are copied to where they ship."""
    import torch

    from labkit.data.images import open_image, photo_names
    from labkit.models.rivals import MIXERS
    from labkit.training import cards

    torch.set_num_threads(1)
    names = photo_names()
    rows = {}
    for mixer in MIXERS:
        for suffix in (".safetensors", ".json"):
            file = checkpoint(mixer, 0).with_suffix(suffix)
            shutil.copyfile(file, SHIPPED / file.name)
        opened = [cards.restore(checkpoint(mixer, seed)) for seed in SEEDS]
        images = pictures(names, open_image)
        seen = [looked(model, images) for model, _ in opened]
        rows[mixer] = {
            **counted(opened[0][0]),
            "top1": [card["top1"] for _, card in opened],
            **{key: [one[key] for one in seen] for key in seen[0]},
        }
        print(mixer, rows[mixer], flush=True)
    card = opened[0][1]
    for mixer, ratio in speeds({mixer: cards.restore(checkpoint(mixer, 0))[0] for mixer in MIXERS}).items():
        rows[mixer]["speed"] = ratio
    about = {"epochs": card["epochs"], "photos": len(names), "seeds": list(SEEDS), **card["data"]}
    return {"about": about, "mixers": rows}


def pictures(names: tuple[str, ...], opened: Any) -> Any:
    """All photos as the models take them, `b 3 64 64`."""
    import torch

    from labkit.pretrained import load

    transform = load("lab/mix-identity").transform
    return torch.stack([transform(opened(name)) for name in names])


def counted(model: Any) -> dict[str, int]:
    from labkit.models.rivals import PIXELS
    from labkit.probes.cost import cost

    found = cost(model, (PIXELS, PIXELS))
    return {"parameters": found.parameters, "macs": found.macs}


def looked(model: Any, images: Any) -> dict[str, float]:
    """Mixing and effective field of the last block on each grid."""
    from labkit.probes.mixing import mixing_maps
    from labkit.probes.mixing_measures import measure_mixing
    from labkit.probes.receptive_field import effective_fields, measure_field

    found: dict[str, float] = {}
    maps = mixing_maps(model, images, layers=STAGES, identity=False)
    fields = effective_fields(model, images, layers=STAGES, how="abs")
    for grid, one, field in zip(("16", "8"), maps, fields, strict=True):
        measures = measure_mixing(one)
        square = measure_field(field.heat.mean(dim=0), centre=field.centre, parts=(0.9,))
        found[f"reach{grid}"] = round(measures.reach.mean().item(), 4)
        found[f"nmi{grid}"] = round(measures.nmi.mean().item(), 4)
        found[f"field{grid}"] = square.side.item()
    return found


def speeds(models: dict[str, Any], *, rounds: int = 9) -> dict[str, float]:
    """Pictures a second against the frame without a mixer: the median of rounds in which all take turns."""
    import torch

    from labkit.probes.speed import speed

    images = torch.randn(32, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    times = {mixer: [] for mixer in models}
    for _ in range(rounds):
        for mixer, model in models.items():
            times[mixer].append(speed(model, images, repeats=1, warm_up=1).seconds)
    floor = times["identity"]
    return {
        mixer: round(statistics.median(a / b for a, b in zip(floor, mine, strict=True)), 3)
        for mixer, mine in times.items()
    }


def page(found: dict[str, Any]) -> str:
    """The text of docs/rivals.md."""
    about = found["about"]
    said = {**about, "seeds": len(about["seeds"])}
    return HEAD.format(**said) + "".join(map(line, found["mixers"].items())) + FOOT.format(**said)


def line(row: tuple[str, dict[str, Any]]) -> str:
    mixer, one = row
    mean = {key: statistics.fmean(values) for key, values in one.items() if isinstance(values, list)}
    half = (max(one["top1"]) - min(one["top1"])) / 2
    fields = [f"{mean[key]:.0f} [{min(one[key])}–{max(one[key])}]" for key in ("field16", "field8")]
    cells = (
        f"[{mixer}](../labkit/models/rivals.py)",
        f"{one['parameters']:,}",
        f"{one['macs'] / 1e6:.1f} M",
        f"{one['speed']:.2f}",
        f"**{mean['top1']:.1%}** ± {half:.1%}",
        f"{mean['reach16']:.2f}",
        f"{mean['nmi16']:.2f}",
        f"{mean['reach8']:.2f}",
        *fields,
    )
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
