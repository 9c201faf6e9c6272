"""What goes into a compiled network and comes out of it: several of either, by name; layouts, bytes, integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import tilewise as tw
from tilewise.engine.compiler import Simulation
from tilewise.engine.engine import Input
from tilewise.nn import Quantize

X = torch.randn(3, 3, 8, 6, generator=torch.Generator().manual_seed(0))
SMALL = X[:, :, ::2, ::2].contiguous()
NORMALIZATION = tw.Normalization(mean=(100.0, 110.5, 120.0), deviation=(50.0, 60.0, 70.25))


class Layers(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.down, self.quantize = nn.Conv2d(8, 4, 3, stride=2, padding=1), Quantize()


class Two(Layers):
    def forward(self, image: Tensor, small: Tensor) -> Tensor:
        y = F.relu(self.first(small))
        return self.second(F.relu(self.first(image)) + F.interpolate(y, size=image.shape[2:], mode="bilinear"))


class Results(Layers):
    def __init__(self, give: Callable[[Any, Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.give = give

    def forward(self, x: Tensor) -> Any:
        return self.give(self, x, F.relu(self.first(x)))


class Called(nn.Module):
    """Calls a network with more than the one image that calibration gives."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Any:
        return self.net(x, x[:, :, ::2, ::2]) if isinstance(self.net, Two) else self.net(x)


def calibrated(net: nn.Module) -> nn.Module:
    model = tw.convert(net.eval(), {"*": tw.Winograd("F4")})
    tw.calibrate(Called(model), [X])
    return model


def same(found: Any, expected: Any) -> None:
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


@pytest.fixture(scope="module")
def two() -> nn.Module:
    """Of two inputs."""
    torch.manual_seed(0)
    return calibrated(Two())


@pytest.fixture(scope="module")
def on_a_grid() -> nn.Module:
    """Of two results, a map and a flat one, both on a grid."""
    torch.manual_seed(0)
    return calibrated(Results(lambda n, _, y: {"map": n.quantize(n.second(y)), "flat": n.quantize(y).flatten(1)}))


@pytest.fixture(scope="module")
def engine(on_a_grid: nn.Module) -> tw.Engine:
    """Of normalized images."""
    return tw.compile(on_a_grid, X, normalization=NORMALIZATION)


class TestInputs:
    def test_by_position_and_by_name(self, two: nn.Module) -> None:
        expected = Simulation(two, (X, SMALL))(X, SMALL)
        for example in ((X[:1], SMALL[:1]), [X, SMALL], {"image": X, "small": SMALL}, {"small": SMALL, "image": X}):
            engine = tw.compile(two, example)
            assert {entry.name for entry in engine.inputs} == {"image", "small"}
            same(engine({"small": SMALL, "image": X}), expected)
            same(engine({"image": X.numpy(), "small": SMALL.numpy()}), expected)
        assert engine.inputs[0] == Input(name="small", channels=3, size=(0, 0), multiple=(1, 1))
        same(engine(SMALL, X), expected)  # in the order of the example
        same(tw.compile(two, (X, SMALL))(X, SMALL), expected)

    def test_sizes_of_their_own(self, two: nn.Module, interpret: Any) -> None:
        engine = tw.compile(two, (X, SMALL), batch=2)
        for size, smaller in (((8, 6), (3, 5)), ((13, 9), (1, 1)), ((4, 4), (11, 7))):
            x, small = torch.randn(3, 3, *size), torch.randn(3, 3, *smaller)
            expected = Simulation(two, (x, small))(x, small)
            same(engine(x, small), expected)
            same(interpret(engine.program)(x.numpy(), small.numpy()), expected)
            assert engine.prepare(x.shape, small.shape) == {"output": (3, 8, *size)}

    def test_each_in_its_own_type(self, two: nn.Module) -> None:
        engine = tw.compile(two, (X, SMALL), normalization={"image": NORMALIZATION})
        pixels = torch.randint(0, 256, X.shape, dtype=torch.uint8)
        expected = engine(pixels.float(), SMALL)
        same(engine(pixels, SMALL), expected)
        assert isinstance(engine(pixels.numpy(), SMALL), np.ndarray)  # as the first one
        same(engine({"image": pixels, "small": SMALL.numpy()}), expected)

    @pytest.mark.parametrize(
        ("call", "error", "message"),
        [
            ((), ValueError, "there are 0 inputs; allowed: image, small"),
            ((X,), ValueError, "there are 1 inputs; allowed: image, small"),
            ((X, SMALL, X), ValueError, "there are 3 inputs; allowed: image, small"),
            (({"image": X},), ValueError, "the inputs are image; allowed: image, small"),
            (({"image": X, "small": X, "more": X},), ValueError, "the inputs are image, small, more; allowed: im"),
            ((X, SMALL[:2]), ValueError, "small: has 2 images, must have 3 as image"),
            ((X, SMALL[:, :2]), ValueError, r"small has shape \(3, 2, 4, 3\); allowed: \(N, 3, H, W\)"),
            ((X, SMALL.double()), TypeError, "small is float64; allowed: float32, uint8"),
            ((X, None), TypeError, "small is NoneType; allowed: a numpy array or a torch Tensor"),
            ((X, SMALL * float("nan")), ValueError, "small contains NaN or infinity"),
        ],
    )
    def test_refused(self, two: nn.Module, call: Any, error: type[Exception], message: str) -> None:
        engine = tw.compile(two, (X, SMALL))
        with pytest.raises(error, match=message):
            engine(*call)

    def test_names_of_other_kinds(self) -> None:
        class Many(Layers):
            def forward(self, *images: Tensor) -> Tensor:
                return self.first(images[0]) + self.first(images[1])

        class Default(Layers):
            def forward(self, input: Tensor, more: Tensor | None = None) -> Tensor:  # noqa: A002 - as users do
                return self.first(input if more is None else more)

        many = tw.compile(Many().eval(), (X, X))
        assert [entry.size for entry in many.inputs] == [(0, 0)] * 2
        assert many(X[:, :, :5], X[:, :, :5]).shape == (3, 8, 5, 6)
        assert [entry.name for entry in tw.compile(Default().eval(), X).inputs] == ["input"]


RESULTS: dict[str, tuple[Callable[[Any, Tensor, Tensor], Any], dict[str, Callable[[Any], Tensor]]]] = {
    "tuple": (
        lambda n, _, y: (n.second(y), n.down(y)),
        {"output_0": lambda r: r[0], "output_1": lambda r: r[1]},
    ),
    "list": (
        lambda n, _, y: [n.down(y).mean((2, 3)), n.second(y)],
        {"output_0": lambda r: r[0], "output_1": lambda r: r[1]},
    ),
    "dict": (
        lambda n, _, y: {"logits": n.second(y).flatten(1), "map": y},
        {"logits": lambda r: r["logits"], "map": lambda r: r["map"]},
    ),
    "nested": (
        lambda n, _, y: {"a": n.second(y), "b": [n.down(y), {"c": y.mean((2, 3))}]},
        {"a": lambda r: r["a"], "b_0": lambda r: r["b"][0], "b_1_c": lambda r: r["b"][1]["c"]},
    ),
    "one in a tuple": (lambda n, _, y: (n.second(y),), {"output": lambda r: r[0]}),
    "one twice": (lambda n, _, y: (n.second(y),) * 2, {"output_0": lambda r: r[0], "output_1": lambda r: r[1]}),
    "an input too": (
        lambda n, x, y: {"x": x, "y": n.second(y)},
        {"x": lambda r: r["x"], "y": lambda r: r["y"]},
    ),
    "between": (
        lambda n, _, y: (y, F.max_pool2d(y, 2), n.second(y) + y),
        {f"output_{i}": lambda r, i=i: r[i] for i in range(3)},
    ),
}  # fmt: skip


class TestResults:
    @pytest.mark.parametrize("kind", RESULTS)
    def test_by_name(self, kind: str, interpret: Any) -> None:
        give, parts = RESULTS[kind]
        model = calibrated(Results(give))
        engine = tw.compile(model, X[:1])
        assert [output.name for output in engine.outputs] == list(parts)
        for x in (X, torch.randn(2, 3, 11, 5)):
            found, expected, itself = engine(x), Simulation(model, x)(x), model(x)
            if len(parts) == 1:
                found, expected = {"output": found}, {"output": expected}
            theirs = interpret(engine.program)(x.numpy())
            theirs = theirs if isinstance(theirs, dict) else {"output": theirs}
            shapes = engine.prepare(x.shape)
            assert list(found) == list(expected) == list(theirs) == list(shapes) == list(parts)
            for name, part in parts.items():
                same(found[name], expected[name])
                same(theirs[name], expected[name])
                assert found[name].shape == part(itself).shape == shapes[name]
                torch.testing.assert_close(found[name], part(itself), rtol=0.05, atol=0.05)

    def test_a_network_of_nothing(self) -> None:
        engine = tw.compile(nn.Sequential(), X)
        same(engine(X), X)
        pixels = torch.randint(0, 256, X.shape, dtype=torch.uint8)
        same(engine(pixels), pixels.float())


class TestDoors:
    """Layouts, bytes, normalization, integers: of a network whose result lies on a grid."""

    def test_bytes_are_the_numbers_0_to_255_normalized(self, on_a_grid: nn.Module, engine: tw.Engine) -> None:
        every = torch.arange(256, dtype=torch.uint8).repeat(3)[torch.randperm(768)].reshape(1, 3, 16, 16)
        mean, deviation = (torch.tensor(v).view(3, 1, 1) for v in (NORMALIZATION.mean, NORMALIZATION.deviation))
        normalized = (every.float() - mean) / deviation
        expected = Simulation(on_a_grid, normalized)(normalized)
        for images in (every, every.float(), every.numpy(), every.float().numpy()):
            for name, y in engine(images).items():
                same(y, expected[name])
        plain = tw.compile(on_a_grid, X)
        for name, y in plain(normalized).items():
            same(y, expected[name])

    def test_channels_last(self, engine: tw.Engine) -> None:
        for images in (X * 60 + 100, torch.randint(0, 256, X.shape, dtype=torch.uint8)):
            expected = engine(images)
            last = images.permute(0, 2, 3, 1).contiguous()
            found = engine(last, layout="NHWC")
            same(found["map"].permute(0, 3, 1, 2), expected["map"])
            same(found["flat"], expected["flat"])  # has no channels to put last
            same(engine(last.numpy(), layout="NHWC")["map"], found["map"])
            same(engine(images.permute(0, 2, 3, 1), layout="NHWC")["map"], found["map"])  # not dense

    @pytest.mark.parametrize("layout", ["NCHW", "NHWC"])
    def test_integers_and_their_grid(self, engine: tw.Engine, layout: Any) -> None:
        images = X * 60 + 100
        images = images if layout == "NCHW" else images.permute(0, 2, 3, 1)
        stored, real = engine(images, layout=layout, integers=True), engine(images, layout=layout)
        zero_points = []
        for output in engine.outputs:
            assert output.stored == "uint8"
            assert stored[output.name].dtype == torch.uint8
            steps = stored[output.name].float() - output.zero_point
            same(steps * np.float32(output.step), real[output.name])
            assert len(steps.unique()) > 20
            zero_points.append(output.zero_point)
        assert all(0 < zero < 128 for zero in zero_points)  # lopsided

    def test_integers_of_16_bits_and_without_a_sign(self) -> None:
        for quantize, relu, stored, zero in ((Quantize(12), False, "int16", 0), (Quantize(), True, "uint8", 0)):
            net = Results(lambda n, _, y: n.quantize(F.relu(n.second(y)) if n.relu else n.second(y)))
            net.quantize, net.relu = quantize, relu  # type: ignore[assignment]
            engine = tw.compile(calibrated(net), X)
            (output,) = engine.outputs
            assert (output.stored, output.zero_point, output.flat, output.channels) == (stored, zero, False, 8)
            found = engine(X, integers=True)
            assert str(found.dtype) == f"torch.{stored}"
            same(found.float() * np.float32(output.step), engine(X))

    def test_floats_have_no_integers(self) -> None:
        engine = tw.compile(calibrated(Results(lambda n, _, y: {"grid": n.quantize(y), "float": n.second(y)})), X)
        assert [(o.name, o.stored) for o in engine.outputs] == [("grid", "uint8"), ("float", "float32")]
        with pytest.raises(ValueError, match="the result 'float' is stored as float32; it has no integers"):
            engine(X, integers=True)

    def test_a_file_keeps_all_of_it(self, engine: tw.Engine, tmp_path: Path) -> None:
        engine.save(tmp_path / "m.tilewise")
        loaded = tw.load(tmp_path / "m.tilewise")
        assert (loaded.inputs, loaded.outputs) == (engine.inputs, engine.outputs)
        pixels = torch.randint(0, 256, (2, 5, 7, 3), dtype=torch.uint8)
        for name, y in loaded(pixels, layout="NHWC", integers=True).items():
            same(y, engine(pixels, layout="NHWC", integers=True)[name])

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"layout": "CHW"}, "layout is 'CHW'; allowed: NCHW, NHWC"),
            ({"layout": "NHWC"}, r"x has shape \(3, 3, 8, 6\); allowed: \(N, H, W, 3\)"),
        ],
    )
    def test_refused(self, engine: tw.Engine, options: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            engine(X, **options)

    @pytest.mark.parametrize(
        ("mean", "deviation", "message"),
        [
            ((1, 2), (1,), r"mean is \(1, 2\) and deviation \(1,\); allowed: one number each a channel"),
            ((), (), "allowed: one number each a channel"),
            ((1, 2), (1, 0), r"mean is \(1, 2\) and deviation \(1, 0\); allowed: finite, no deviation of 0"),
            ((float("nan"),), (1,), "allowed: finite"),
            ((1,), (float("inf"),), "allowed: finite"),
            ((1,), (1e-60,), "allowed: finite, no deviation of 0"),
            (("a",), (1,), "could not convert string to float"),
        ],
    )
    def test_normalizations_that_are_none(self, mean: Any, deviation: Any, message: str) -> None:
        with pytest.raises(ValueError, match=message):
            tw.Normalization(mean=mean, deviation=deviation)

    def test_normalizations_that_do_not_fit(self, on_a_grid: nn.Module) -> None:
        two = tw.Normalization(mean=(1, 2), deviation=(1, 2))
        with pytest.raises(ValueError, match="normalization of 'x' has 2 channels; allowed: 3"):
            tw.compile(on_a_grid, X, normalization=two)
        with pytest.raises(ValueError, match="normalization names the input 'y'; allowed: x"):
            tw.compile(on_a_grid, X, normalization={"y": NORMALIZATION})
        with pytest.raises(ValueError, match="normalization is one for the inputs image, small; allowed: a dict by"):
            tw.compile(Two().eval(), (X, SMALL), normalization=NORMALIZATION)


NAMES = "image", "condition", "sequence"


class Conditioned(nn.Module):
    """An image whose channels are weighed by what a vector says, and a sequence that is added to its rows."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.gate, self.along = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(5, 8), nn.Conv1d(2, 8, 3, padding=1)

    def forward(self, image: Tensor, condition: Tensor, sequence: Tensor) -> Tensor:
        y = self.body(image) * self.gate(condition).sigmoid()[:, :, None, None]
        return y + self.along(sequence)[:, :, None]


def test_vectors_and_sequences_as_inputs() -> None:
    torch.manual_seed(0)
    example = X, torch.randn(3, 5), torch.randn(3, 2, 6)
    model = tw.calibrate(tw.convert(Conditioned().eval(), {"*": tw.Direct()}), [dict(zip(NAMES, example, strict=True))])
    engine = tw.compile(model, example)
    expected = Simulation(model, example)(*example)
    assert torch.equal(engine(*example), expected)
    wide = torch.randn(1, 3, 4, 9), torch.randn(1, 5), torch.randn(1, 2, 9)
    images = wide[0], wide[1][:, :, None, None], wide[2][:, :, None]
    assert torch.equal(engine(*wide), engine(*images))
    with pytest.raises(ValueError, match=r"condition has shape \(1, 4\); allowed: \(N, 5, 1, 1\)"):
        engine(wide[0], torch.zeros(1, 4), wide[2])
    with pytest.raises(ValueError, match=r"image has shape \(3, 8\); allowed: \(N, 3, H, W\)"):
        engine(X[0, :, :, 0], *wide[1:])
