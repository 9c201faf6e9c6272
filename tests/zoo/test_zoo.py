from __future__ import annotations

from pathlib import Path

import pytest
import torch

import tilewise as tw
from tilewise import zoo


@pytest.mark.parametrize(
    ("name", "shape", "parameters"),
    [
        ("inception", (2, 3, 32, 32), 1_390_746),
        ("lenet5", (2, 1, 28, 28), 61_706),
        ("mobilenet_v2", (2, 3, 64, 64), 2_236_682),
        ("resnet18", (2, 3, 32, 32), 11_156_778),
        ("resnet18_224", (2, 3, 64, 64), 11_181_642),
        ("resnet20", (2, 3, 32, 32), 269_722),
        ("resnet50", (2, 3, 64, 64), 23_528_522),
        ("resnext20", (2, 3, 32, 32), 3_876_170),
        ("small", (2, 1, 32, 32), 72_666),
        ("squeezenet", (2, 3, 32, 32), 730_570),
        ("vgg16", (2, 3, 32, 32), 134_301_514),
    ],
)
def test_shapes_and_sizes(name: str, shape: tuple[int, ...], parameters: int) -> None:
    model = zoo.build(name, channels=shape[1]).eval()
    assert model(torch.zeros(shape)).shape == (2, 10)
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "fixed"), [("edsr", 157_536), ("espcn", 20_128)])
def test_networks_that_enlarge(name: str, fixed: int, scale: int) -> None:
    model = zoo.build(name, scale=scale).eval()
    assert model(torch.zeros(2, 1, 5, 7)).shape == (2, 1, 5 * scale, 7 * scale)
    last = scale**2 * (32 * 9 + 1)
    assert sum(p.numel() for p in model.parameters()) == fixed + last
    assert zoo.build(name, channels=3, scale=scale)(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 5 * scale, 7 * scale)


def test_networks_that_make_images_of_any_size() -> None:
    compact, dncnn = zoo.build("compact").eval(), zoo.build("dncnn").eval()
    assert sum(p.numel() for p in compact.parameters()) == 621_424
    assert list(compact.state_dict())[-3:] == ["body.33.weight", "body.34.weight", "body.34.bias"]
    x = torch.rand(1, 1, 5, 7)
    with torch.no_grad():
        assert compact(torch.zeros(2, 3, 5, 7)).shape == (2, 3, 20, 28)
        assert zoo.build("compact", scale=2)(torch.zeros(1, 3, 5, 7)).shape == (1, 3, 10, 14)
        torch.testing.assert_close(dncnn(x), x - dncnn.layers(x))


@pytest.mark.parametrize("size", [(1, 1), (16, 32), (45, 60), (17, 31)])
def test_unet_takes_any_size(size: tuple[int, int]) -> None:
    model = zoo.build("unet", classes=11, width=0.25).eval()
    assert model(torch.zeros(2, 3, *size)).shape == (2, 11, *size)


def test_unet_is_a_unet() -> None:
    """Every pixel sees the whole neighbourhood of the lowest map, and its own pixel by the first skip connection."""
    model = zoo.build("unet", classes=2, width=0.25).eval()
    x = torch.randn(1, 3, 64, 64, requires_grad=True)
    model(x)[0, 0, 32, 32].backward()
    assert x.grad is not None
    seen = x.grad[0].abs().sum(0) > 0
    assert seen[32, 32]
    assert seen.float().mean() > 0.9


@pytest.mark.parametrize("name", zoo.MODELS)
def test_every_network_converts(name: str) -> None:
    channels = 1 if name in ("dncnn", "edsr", "espcn", "lenet5", "small") else 3
    model = tw.convert(zoo.build(name, channels=channels), {"*": tw.Winograd("F4")})
    tw.calibrate(model, [torch.randn(2, channels, 32, 32)])
    served = [r for r in tw.describe(model) if r.algorithm == "F4"]
    assert bool(served) != (name == "mobilenet_v2")  # which has nothing but 1x1, depthwise and strided layers
    if name == "resnet18":
        reasons = {r.reason for r in tw.describe(model)} - {""}
        assert reasons == {"its kernel is 1x1", "it has fewer than 4 input channels"}


def test_image_networks_have_the_usual_names() -> None:
    """So that weights trained elsewhere load; these are the last of each kind, all others follow the same lists."""
    with torch.device("meta"):
        mobile = zoo.mobilenet_v2().state_dict()
        assert tuple(mobile["features.1.conv.1.weight"].shape) == (16, 32, 1, 1)
        assert tuple(mobile["features.17.conv.1.0.weight"].shape) == (960, 1, 3, 3)
        assert tuple(mobile["classifier.1.weight"].shape) == (1000, 1280)
        assert len(zoo.resnet50().state_dict()) == 320
        resnet, vgg = zoo.resnet18_224().state_dict(), zoo.vgg16().state_dict()
    assert (len(resnet), len(vgg)) == (122, 32)
    expected = {
        "conv1.weight": (64, 3, 7, 7), "bn1.running_var": (64,), "layer1.1.conv2.weight": (64, 64, 3, 3),
        "layer4.0.downsample.0.weight": (512, 256, 1, 1), "layer4.0.downsample.1.bias": (512,),
        "layer4.1.bn2.num_batches_tracked": (), "fc.weight": (1000, 512),
    }  # fmt: skip
    assert {name: tuple(resnet[name].shape) for name in expected} == expected
    assert tuple(vgg["features.28.weight"].shape) == (512, 512, 3, 3)
    assert tuple(vgg["classifier.0.weight"].shape) == (4096, 512 * 7 * 7)
    assert tuple(vgg["classifier.6.bias"].shape) == (1000,)


def test_image_networks_take_their_size() -> None:
    model = zoo.resnet18_224().eval()
    with torch.no_grad():
        assert model.layer4(torch.zeros(1, 256, 14, 14)).shape == (1, 512, 7, 7)
        assert model(torch.zeros(1, 3, 224, 224)).shape == (1, 1000)


def test_resnet20_loads_a_checkpoint(tmp_path: Path) -> None:
    source = zoo.resnet20()
    torch.save({"state_dict": {f"module.{k}": v for k, v in source.state_dict().items()}}, tmp_path / "r.th")
    loaded = zoo.resnet20(tmp_path / "r.th")
    assert all((loaded.state_dict()[k] == v).all() for k, v in source.state_dict().items())


def test_bad_names_and_widths_are_refused() -> None:
    with pytest.raises(
        ValueError,
        match="unknown model 'vgg'; allowed: compact, dncnn, edsr, espcn, inception, lenet5, mobilenet_v2, resnet",
    ):
        zoo.build("vgg")
    with pytest.raises(ValueError, match="only edsr, resnet18, unet have a width"):
        zoo.build("resnet20", width=0.5)
    for wide in (zoo.resnet18, zoo.unet, zoo.edsr):
        with pytest.raises(ValueError, match="width is 0"):
            wide(width=0)  # type: ignore[operator]
    for scaled in (zoo.espcn, zoo.edsr):
        with pytest.raises(ValueError, match="scale is 5; allowed: 2, 3, 4"):
            scaled(scale=5)  # type: ignore[operator]
    with pytest.raises(ValueError, match="scale is 2, but unet does not enlarge images; only compact, edsr, espcn"):
        zoo.build("unet", scale=2)
