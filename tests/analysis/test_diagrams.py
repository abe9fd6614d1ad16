"""Figures 1 to 3 show the networks as they are: shapes, layers, and which loss reaches what."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pandas as pd
import pytest
import torch
import torch.nn.functional as F

from kdlib.errors import InvalidCorpus
from kdlib.models import network as networks
from kdsuite.analysis import scheme
from kdsuite.analysis.figures import save
from kdsuite.analysis.figures.diagrams import SETTINGS, Drawing, draw
from kdsuite.settings import load
from tests.conftest import small

SVG = "{http://www.w3.org/2000/svg}"
NONSEQ = [
    ("classification", "encoder", "1 − α"),
    ("classification", "head", "1"),
    ("distillation", "encoder", "α"),
]
EM = [*NONSEQ, ("classification", "aggregator", "1")]
AGG = [*NONSEQ, ("classification", "aggregator", "1 − α"), ("distillation", "aggregator", "α")]
# name and setting of a drawing, and its dashed arrows
EXPECTED = {
    ("figure1", "nonseq"): NONSEQ,
    ("figure1", "em"): EM,
    ("figure1", "agg"): AGG,
    ("figure2", "nonseq"): NONSEQ,
    ("figure3", "em"): EM + AGG,
}


@pytest.fixture(scope="module")
def drawings() -> dict[tuple[str, str], Drawing]:
    """Return Figures 1 to 3 by name and setting, Figure 1 in every setting."""
    return {
        (name, setting): draw(name, small(backbone="vgg", setting=setting))
        for name, setting in EXPECTED
    }


@pytest.fixture
def measured(tmp_path):
    """Return a function to settings whose faces are five measurements, with or without time."""

    def settings(timed: bool, **options):
        path = tmp_path / "faces.csv"
        head, row = "recording,a,b,c,d,e", "take,1,2,3,4,5"
        path.write_text(f"{head},time\n{row},0\n" if timed else f"{head}\n{row}\n")
        return small(corpus={"features": str(path)}, **options)

    return settings


def texts(drawing: Drawing) -> list[str]:
    """Return the words of each text, the white space between them made single."""
    elements = ElementTree.fromstring(drawing.svg).iter(f"{SVG}text")
    return [" ".join("".join(element.itertext()).split()) for element in elements]


def arrows(drawing: Drawing) -> list[tuple[str, ...]]:
    """Return loss, component and factor of each arrow of a gradient, sorted."""
    elements = ElementTree.fromstring(drawing.svg).iterfind(f".//{SVG}g[@data-loss]")
    keys = ("data-loss", "data-component", "data-factor")
    return sorted(tuple(element.get(key) for key in keys) for element in elements)


# gradients


@pytest.mark.parametrize("name", EXPECTED, ids="-".join)
def test_the_arrows_are_those_of_the_papers_table_of_gradients(drawings, name):
    assert arrows(drawings[name]) == sorted(EXPECTED[name])


def test_each_arrow_shows_its_factor(drawings):
    shown = [text for text in texts(drawings["figure1", "agg"]) if text.startswith("×")]
    assert sorted(shown) == sorted(["× (1 − α)", "× (1 − α)", "× 1", "× α", "× α"])


@pytest.mark.parametrize("setting", ["nonseq", "em", "agg"])
def test_the_factors_are_those_of_gradients_computed_apart(setting):
    torch.manual_seed(1)
    model = {"embedding": 16, "width": 0.1}
    settings = small(backbone="vgg", setting=setting, alpha=0.7, model=model)
    network = networks.build_student(settings, 3).double().eval()
    labels, segments = torch.tensor([0, 2]), [2] if settings.sequential else []
    x = torch.randn(2, *segments, 1, 16, 16, dtype=torch.float64)
    plain, scaled = network(x), network(x, 0.3)
    target = torch.randn_like(plain.distilled)
    losses = {
        "classification": F.cross_entropy(plain.logits, labels),
        "distillation": F.mse_loss(plain.distilled, target),
    }
    whole = F.cross_entropy(scaled.logits, labels) + 0.7 * F.mse_loss(scaled.distilled, target)
    factors, values = scheme.read(settings, setting).factors, {"α": 0.7, "1 − α": 0.3, "1": 1.0}
    for name in factors["classification"]:
        part = getattr(network, name)
        learned = gradient(whole, part)
        expected = sum(
            values[factors[loss][name]] * gradient(value, part)
            for loss, value in losses.items()
            if name in factors[loss]
        )
        torch.testing.assert_close(learned, expected)
        assert learned.abs().max() > 0


def gradient(loss: torch.Tensor, part: torch.nn.Module) -> torch.Tensor:
    """Return the gradient of all weights of a part, ``(weights,)``."""
    weights = list(part.parameters())
    gradients = torch.autograd.grad(loss, weights, retain_graph=True, materialize_grads=True)
    return torch.cat([each.flatten() for each in gradients])


# shapes, layers and weights


def test_shapes_and_weights_are_those_of_the_networks():
    settings = small(backbone="vgg", setting="em")
    student, teacher = scheme.student(settings), scheme.teacher(settings)
    network = networks.build_student(settings, scheme.CLASSES)
    assert student.inputs == (2, 1, 16, 20)  # 0.4 s in steps of 20 ms
    assert [part.shape for part in student.components] == [(2, 8), (8,), (7,)]
    counts = [
        sum(each.numel() for each in part.parameters())
        for part in network.children()
        if part is not network.front_end
    ]
    assert [part.weights for part in student.components] == counts
    assert student.components[1].layers == "2 BiLSTM, attention"
    assert teacher.inputs == (4, 3, 32, 32)  # 0.8 s of every fifth frame
    assert teacher.components[0].layers == "13 conv, 2 FC"  # VGG16's convolutions


def test_an_se_resnet_says_se():
    """Eleven blocks of the thin ResNet-34, sixteen of ResNet-34; a shortcut may be a convolution."""
    excited, plain = (load(dataset="ravdess", backbone=name) for name in ("seresnet", "resnet"))
    expected = {scheme.student: "38 conv, 11 SE, 2 FC", scheme.teacher: "36 conv, 16 SE, 2 FC"}
    for read, layers in expected.items():
        assert read(excited).components[0].layers == layers
        assert read(plain).components[0].layers == re.sub(r", \d+ SE", "", layers)


@pytest.mark.parametrize("name", SETTINGS)
def test_every_figure_of_an_se_resnet_says_se(name):
    drawing = draw(name, small(backbone="seresnet"))
    encoders = drawing.data[drawing.data.name == "encoder"]
    assert len(encoders) >= 2 and encoders.layers.str.contains(r"\d+ SE\b").all()
    of_student = encoders[encoders.network == "student"].layers
    assert set(of_student) <= set(texts(drawing))


def test_the_target_is_what_the_setting_says(measured):
    of_settings = {each: scheme.source(small(setting=each)) for each in ("nonseq", "em", "agg")}
    assert of_settings == {"nonseq": "peak", "em": "segment", "agg": "recording"}
    assert scheme.source(measured(timed=True, setting="em")) == "segment"
    assert scheme.source(measured(timed=False, setting="em")) == "same"
    assert scheme.source(measured(timed=False)) == "recording"


def test_a_teacher_of_measurements_is_drawn_without_frames(measured):
    assert "5 face measurements" in texts(draw("figure2", measured(timed=False)))
    drawing = draw("figure3", measured(timed=True))
    assert {"4 rows of 5 measurements", "measurements"} <= set(texts(drawing))
    assert "#face" not in drawing.svg.split("</defs>")[1]
    assert "#face" in draw("figure2", small()).svg.split("</defs>")[1]


def test_a_missing_table_of_measurements_is_an_error_of_the_corpus(tmp_path):
    with pytest.raises(InvalidCorpus):
        draw("figure1", small(corpus={"features": str(tmp_path / "none.csv")}))


# the files


def test_a_figure_is_saved_with_its_data_and_as_the_same_bytes(drawings, tmp_path):
    drawing = drawings["figure3", "em"]
    svg, data = save(drawing, tmp_path / "figure3")
    assert (svg.name, data.name) == ("figure3.svg", "figure3.csv")
    assert svg.read_text(encoding="utf-8") == draw("figure3", small(backbone="vgg")).svg
    rows = pd.read_csv(data, keep_default_na=False)
    assert len(rows) == 2 * 2 * 3 and set(rows.distilled) == {"encoder", "aggregator"}
    student = rows[(rows.distilled == "aggregator") & (rows.network == "student")]
    assert list(student["distillation gradient"]) == ["α", "α", ""]
    assert list(student["shape"]) == ["2 × 8", "8", "7"]


def test_a_figure_asks_for_nothing_outside_of_itself_and_has_a_name(drawings):
    for (name, _), drawing in drawings.items():
        root = ElementTree.fromstring(drawing.svg)
        assert root.find(f"{SVG}title").text.startswith(f"Figure {name[-1]}. ")
        assert root.find(f"{SVG}desc").text.startswith("Diagram")
        links = re.findall(r'(?:href=|url\()"?([^")]+)', drawing.svg)
        assert links and all(link.startswith("#") for link in links)
        assert drawing.svg.count("http") == 1 and "<script" not in drawing.svg  # the namespace


LAYOUT = """() => {
  const box = (element) => {
    const {left, top, right, bottom} = element.getBoundingClientRect();
    return [left + 1, top + 1, right - 1, bottom - 1];
  };
  const points = (path) => Array.from({length: 200}, (_, number) => {
    const point = path.getPointAtLength(path.getTotalLength() * number / 199);
    const {x, y} = point.matrixTransform(path.getScreenCTM());
    return [x, y];
  });
  const all = (selector, read) => [...document.querySelectorAll(selector)].map(read);
  return {
    texts: all('text', (text) => [text.textContent.trim(), box(text)]),
    boxes: all('.box, .circle', box),
    points: all('.arrow', points).flat(),
    sheet: box(document.querySelector('svg')),
  };
}"""


def overlap(a: list[float], b: list[float]) -> bool:
    return a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3]


def inside(a: list[float], b: list[float]) -> bool:
    return b[0] < a[0] and b[1] < a[1] and a[2] < b[2] and a[3] < b[3]


def check_layout(page, drawing: Drawing) -> None:
    """Check that no text lies on another, on an arrow, on an outline, or outside."""
    page.set_content(f"<body style='margin: 0'>{drawing.svg}</body>")
    layout = page.evaluate(LAYOUT)
    places = layout["texts"]
    assert len(places) > 20 and len(layout["boxes"]) >= 11
    assert [(a[0], b[0]) for a, b in combinations(places, 2) if overlap(a[1], b[1])] == []
    for text, place in places:
        assert inside(place, layout["sheet"]), text
        assert not any(inside([x, y, x, y], place) for x, y in layout["points"]), text
        crossed = [box for box in layout["boxes"] if overlap(place, box)]
        assert all(inside(place, box) for box in crossed), text


def test_no_text_lies_on_another_or_on_an_arrow_or_leaves_its_box(drawings, browser, measured):
    page = browser.new_page()
    for drawing in drawings.values():
        check_layout(page, drawing)
    full = load(dataset="ravdess", backbone="seresnet")
    for name in SETTINGS:
        check_layout(page, draw(name, full))
        check_layout(page, draw(name, measured(timed=True, backbone="resnet")))
        check_layout(page, draw(name, measured(timed=False, setting="em")))
    page.close()
