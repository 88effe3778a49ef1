"""The catalogue is read from the source alone, says what is wrong by name, and its exhibits keep one contract."""

from __future__ import annotations

import importlib.util
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from labkit import paper
from labkit.paper import BadExhibit, UnknownPaper, catalogue, exhibit, label, read, search

ROOT = Path(__file__).resolve().parents[1]
IDS = [one.id for one in catalogue()]
EVERY = pytest.mark.parametrize("one", catalogue(), ids=IDS)
SIZES = pytest.mark.parametrize(
    ("one", "size"), [pytest.param(one, name, id=f"{one.id}-{name}") for one in catalogue() for name in one.sizes]
)

GOOD = '''"""It is a sentence.

Paper    One et al., 2020
Adds     a thing
Reads    y = x          b n c
           + 1
Costs    nothing
Departs  nowhere
"""
PAPER = Paper(number=1, id="thing", title="T", year=2020, arxiv="", claim="C")
SIZES = {"s": Size({"dims": (1, 2)}, 10, 1e9)}
'''


# Reading


def test_an_exhibit_is_read_from_its_source():
    found = read(GOOD, "models/backbones/thing.py")
    assert (found.id, found.room, found.paper.year) == ("thing", "models/backbones", 2020)
    assert found.label.sentence == "It is a sentence."
    assert found.label.reads == "y = x          b n c\n  + 1", "an equation keeps its lines"
    assert found.sizes["s"].build == {"dims": (1, 2)}
    assert found.verdict == "unmeasured"


def test_a_module_without_a_paper_is_no_exhibit():
    assert read("PAPERS = 3", "models/x.py") is None
    assert {"vit", "resnet"}.isdisjoint(IDS)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("Costs    nothing\n", ""), "thing.py: the label on the wall lacks Costs"),
        (("Reads    y = x          b n c\n           + 1", "Reads"), "lacks Reads"),
        (("It is a sentence.", ""), "lacks its sentence"),
        (('id="thing"', 'id="other"'), "PAPER.id is 'other', but an exhibit has the name of its file"),
        (("2020, arxiv", "now(), arxiv"), "literals only"),
        (("number=1, ", ""), "number"),
        (("1e9)", "1e9, speed=3)"), "speed"),
    ],
)
def test_what_is_wrong_is_said_by_name(change, expected):
    with pytest.raises(BadExhibit) as error:
        read(GOOD.replace(*change), "models/backbones/thing.py")
    assert expected in str(error.value)


def test_two_exhibits_of_one_number_are_refused(tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    for name in ("thing", "other"):
        (tmp_path / f"models/{name}.py").write_text(GOOD.replace('"thing"', f'"{name}"'))
    monkeypatch.setattr(paper, "HERE", tmp_path)
    with pytest.raises(BadExhibit, match=r"thing\.py and models/other\.py both have the number 1"):
        catalogue.__wrapped__()


def test_the_catalogue_is_there_before_torch():
    code = (
        "import sys; from labkit.paper import catalogue; found = catalogue(); "
        "print(len(found), {'torch', 'numpy', 'matplotlib'} & set(sys.modules) or 'light')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split() == [str(len(IDS)), "light"]


def test_papers_are_found_by_id_number_and_words():
    assert exhibit("29") is exhibit("metaformer")
    assert [one.id for one in search("ATTENTION 2022 large kernel")] == ["van"]
    assert search("") == catalogue()
    assert search("zebra") == ()
    with pytest.raises(UnknownPaper, match="did you mean focalnet"):
        exhibit("focalnte")


def test_numbers_go_up_and_are_those_of_the_ninety_two():
    numbers = [one.paper.number for one in catalogue()]
    assert numbers == sorted(set(numbers))
    assert set(numbers) <= set(range(1, 93))


def test_the_label_of_nothing_lacks_everything():
    with pytest.raises(BadExhibit, match="lacks Paper, Adds, Reads, Costs, Departs"):
        label("A sentence.", "x.py")


# The page


def test_the_page_is_made_of_what_was_measured():
    spec = importlib.util.spec_from_file_location("catalogue_page", ROOT / "scripts/catalogue.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    assert script.PAGE.read_text(encoding="utf-8") == script.page(), "run `python scripts/catalogue.py`"


@EVERY
def test_what_was_measured_names_its_command_and_its_seeds(one):
    found = one.measured
    assert found is not None, f"run `python scripts/catalogue.py {one.id}`"
    assert found["command"].startswith(f"python scripts/catalogue.py {one.id}")
    assert len(set(found["seeds"])) >= 3
    assert len(found["because"]) == len(found["verdicts"]) == len(found["seeds"])
    assert found["verdict"] == (found["verdicts"][0] if len(set(found["verdicts"])) == 1 else "partly")
    assert all(one["low"] <= one["mean"] <= one["high"] for one in found["numbers"].values())
    assert max(found["seconds"]) < 90, "an experiment answers while one waits"
    assert json.dumps(found, allow_nan=False)


# The contract of an exhibit


@SIZES
def test_parameters_of_every_published_size_are_exact(one, size):
    with torch.device("meta"):
        model = one.build(size)
    assert sum(parameter.numel() for parameter in model.parameters()) == one.sizes[size].parameters


@SIZES
@pytest.mark.slow
def test_multiplications_of_every_published_size_are_within_one_percent(one, size):
    wanted = one.sizes[size]
    with torch.device("meta"):
        model, image = one.build(size).eval(), torch.empty(1, 3, wanted.pixels, wanted.pixels)
        with FlopCounterMode(display=False) as counter:
            model(image)
    assert counter.get_total_flops() / 2 == pytest.approx(wanted.macs, rel=0.01)


@EVERY
def test_the_smallest_is_odd_oblong_and_quick(one):
    model, x = one.load().tiny()
    assert x.shape[-2] != x.shape[-1], "a swap of rows and columns must show"
    assert x.shape[-2] % 2 or x.shape[-1] % 2
    assert sum(p.numel() for p in model.parameters()) < 100_000


@EVERY
def test_every_parameter_gets_a_gradient(one):
    model, x = one.load().tiny()
    out = model.train()(x)
    (out * torch.randn_like(out)).sum().backward()
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()] == []


@EVERY
def test_samples_do_not_leak_and_the_same_seed_gives_the_same_output(one):
    torch.manual_seed(5)
    model, x = one.load().tiny()
    torch.manual_seed(5)
    again, y = one.load().tiny()
    assert torch.equal(model.eval()(x), again.eval()(y))
    changed = x.clone()
    changed[1] = torch.randn_like(x[1])
    torch.testing.assert_close(model(changed)[0], model(x)[0])
    assert not torch.allclose(model(changed)[1], model(x)[1])


@EVERY
def test_other_pictures_work_or_are_refused_by_name(one):
    model, x = one.load().tiny()
    for size in ((x.shape[-1], x.shape[-2]), (x.shape[-2] + 3, x.shape[-1] + 7)):
        try:
            answer = model.eval()(torch.randn(1, 3, *size))
        except ValueError as error:
            answer = str(error)
        if isinstance(answer, str):
            assert f"{size[0]} x {size[1]}" in answer, "the refusal names what came"
        else:
            assert answer.isfinite().all()


@EVERY
def test_weights_go_out_and_come_back(one):
    model, x = one.load().tiny()
    other, _ = one.load().tiny()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other.eval()(x), model.eval()(x))


@EVERY
@pytest.mark.slow
def test_it_exports_or_its_label_says_why_not(one):
    model, x = one.load().tiny()
    if "torch.export" in one.label.departs:
        with pytest.raises(Exception, match=r"."):
            torch.export.export(model.eval(), (x,))
        return
    exported = torch.export.export(model.eval(), (x,)).module()
    torch.testing.assert_close(exported(x), model(x))


GRADCHECKED = {"ScanInBlocks": "tests/models/test_scan.py"}


def test_backward_passes_written_by_hand_are_checked_in_float64():
    written = {
        name
        for file in (ROOT / "labkit").rglob("*.py")
        for name in re.findall(r"class (\w+)\(.*autograd\.Function\)", file.read_text("utf-8"))
    }
    assert written == set(GRADCHECKED), "a gradcheck for each"
    assert all("gradcheck(" in (ROOT / file).read_text("utf-8") for file in GRADCHECKED.values())


@EVERY
def test_its_function_has_its_name_and_a_class_count(one):
    build = getattr(one.load(), one.id)
    if one.sizes:
        with torch.device("meta"):
            model = build(**(next(iter(one.sizes.values())).build | {"classes": 7}))
        assert [part for part in model.modules() if isinstance(part, nn.Linear)][-1].out_features == 7
