from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.calibration.doctor import COLLAPSED_DB, SAFE_DB, Diagnosis, verdict
from tilewise.report.doctor import doctor_table, plot_doctor
from tilewise.winas.architecture import load_specs

IMAGES = torch.rand(8, 3, 18, 18, generator=torch.Generator().manual_seed(0))


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(),
        nn.Conv2d(8, 6, 3, stride=2), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
    ).eval()  # fmt: skip


def diagnose(*algorithms: str, labels: bool = False) -> Diagnosis:
    batches: Any = [(IMAGES, torch.zeros(8, dtype=torch.int64))] if labels else [IMAGES[:5], IMAGES[5:]]
    return tw.doctor(network(), batches, algorithms=algorithms)


def test_it_tells_a_collapse_from_what_is_safe() -> None:
    found = {(f.layer, f.algorithm): f for f in diagnose("direct", "SFC6", "F6-textbook/tensor").findings}
    assert found["2", "direct"].verdict == found["2", "SFC6"].verdict == "safe"
    assert found["2", "F6-textbook/tensor"].verdict == "collapses"
    assert found["2", "F6-textbook/tensor"].output_db < COLLAPSED_DB
    assert found["2", "SFC6"].output_db > SAFE_DB
    assert found["2", "direct"].v_db is None
    assert {layer for layer, algorithm in found if algorithm == "SFC6"} == {"2"}  # others: 3 channels, stride 2


def test_recommended_specs_convert_and_load(tmp_path: Path) -> None:
    found = diagnose("direct", "F2", "SFC6", "F6-textbook/tensor")
    assert {name: spec.kind for name, spec in found.specs.items()} == {"0": "direct", "2": "winograd", "4": "direct"}
    (tmp_path / "a.json").write_text(json.dumps(found.to_dict()))
    assert load_specs(tmp_path / "a.json") == found.specs
    tw.convert(network(), found.specs)


def test_strided_layers_are_ranked_by_what_their_stride_takes() -> None:
    """At stride 1 SFC3 and F2 save as much as each other; at stride 2 F2 saves more."""
    torch.manual_seed(0)
    strided = nn.Conv2d(96, 96, 3, stride=2, padding=1)
    net = nn.Sequential(strided, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    found = tw.doctor(net, [torch.rand(2, 96, 8, 8)], algorithms=["SFC3", "F2"])
    assert [(f.algorithm, f.verdict) for f in found.findings] == [("SFC3", "safe"), ("F2", "safe")]
    assert found.specs == {"0": tw.Winograd("F2")}


def test_output_error_is_that_of_the_calibrated_layer() -> None:
    conv = network()[2]
    x = torch.rand(4, 8, 12, 12)
    layer = tw.calibrate(tw.convert(conv, {"*": tw.Winograd("F4")}), [x])
    with torch.no_grad():
        noise, signal = (layer(x) - conv(x)).square().sum(), conv(x).square().sum()
    found = tw.doctor(nn.Sequential(conv, nn.AdaptiveAvgPool2d(1), nn.Flatten()), [x], algorithms=["F4"]).findings[0]
    assert found.output_db == pytest.approx(float(10 * torch.log10(signal / noise)), abs=1e-3)


def test_labels_give_accuracy() -> None:
    found = diagnose("direct", labels=True)
    assert found.float_accuracy is not None
    assert all(f.accuracy is not None for f in found.findings)
    assert diagnose("direct").float_accuracy is None


def test_verdict_needs_both_signal_and_answers() -> None:
    assert verdict(40, 100) == "safe"
    assert verdict(40, 95) == "needs refinement"
    assert verdict(15, 100) == "needs refinement"
    assert verdict(40, 50) == verdict(2, 100) == "collapses"


def test_table_and_picture(tmp_path: Path) -> None:
    found = diagnose("direct", "F6-textbook/tensor")
    assert doctor_table(found).row_count == len(found.findings)
    plot_doctor(found, tmp_path / "a" / "doctor.png")
    assert (tmp_path / "a" / "doctor.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("batches", "options", "message"),
    [
        ([], {}, "no images"),
        ([torch.full((2, 3, 18, 18), float("nan"))], {}, "not finite"),
        ([IMAGES], {"bits": 32}, "bits is 32; allowed: 2 to 16"),
        ([IMAGES], {"algorithms": ["F9"]}, "unknown algorithm 'F9'"),
        ([IMAGES], {"algorithms": ["F4/channel"]}, "allowed after a slash: tensor"),
    ],
)
def test_bad_input(batches: list[Tensor], options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tw.doctor(network(), batches, **options)


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(ValueError, match="has no convolution to examine"):
        tw.doctor(nn.Linear(3, 2), [torch.rand(2, 3)])


def test_a_file_without_specs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match=r"a\.json holds no specs by layer"):
        load_specs(tmp_path / "a.json")
