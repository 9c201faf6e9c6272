from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import tilewise as tw
from tilewise.conversion import skips_of
from tilewise.engine.compiler import Simulation
from tilewise.nn import Conv2d, Quantize, QuantizedConv, WinogradConv2d


class Net(nn.Module):
    """Every kind of convolution that a fast algorithm can not serve, and some that it can; one is used twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.shared = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.again = self.shared
        self.blocks = nn.Sequential(nn.Conv2d(8, 8, 5, padding=2), nn.ReLU(), nn.Conv2d(8, 8, 3, stride=2, padding=1))
        self.point = nn.Conv2d(8, 8, 1)
        self.depth = nn.Conv2d(8, 8, 3, padding=1, groups=8)
        self.wide = nn.Conv2d(8, 8, 3, padding=8, dilation=8)
        self.flat = nn.Conv2d(8, 8, (1, 3))

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.shared(self.stem(x)).relu())
        return self.flat(self.wide(self.depth(self.point(self.blocks(x)))))


def test_report_says_what_stays_direct_and_why() -> None:
    model = tw.convert(Net(), {"*": tw.Winograd("F4", bits=10)})
    reports = {r.name: r for r in tw.describe(model)}
    reasons = {name: r.reason for name, r in reports.items() if r.algorithm == "direct"}
    assert reasons == {
        "stem": "it has fewer than 4 input channels",
        "blocks.2": "its stride is (2, 2): with fewer than 96 channels F4 of 2+1 taps would be slower",
        "point": "its kernel is 1x1",
        "depth": "it has 8 groups of fewer than 8 channels",
        "wide": "its dilation is (8, 8): beyond 4 it would be slower",
        "flat": "its kernel 1x3 is not square",
    }
    assert all(r.bits == 10 for r in reports.values())
    assert reports["blocks.2"].shape == "8 -> 8, 3x3, stride 2"
    assert reports["shared"].algorithm == "F4"
    assert "direct because its stride" in repr(model)


@pytest.mark.parametrize(
    ("channels", "algorithm", "reason"),
    [
        ((96, 96), "F4", ""),
        ((95, 128), "F4", "with fewer than 96 channels F4 of 2+1 taps would be slower"),
        ((128, 256), "F4", "with 2654208 > 2000000 weights F4 of 2+1 taps would be slower"),
        ((128, 128), "SFC6", "with 4734976 > 2000000 weights SFC6(7, 3) of 2+1 taps would be slower"),
        ((128, 128), "F4-textbook", "unknown algorithm 'F4-textbook' for 3x3 kernels of stride 2; allowed: direct, "),
    ],
)
def test_stride_2_is_decomposed_where_it_pays(channels: tuple[int, int], algorithm: str, reason: str) -> None:
    net = nn.Sequential(nn.Conv2d(*channels, 3, stride=2, padding=1))
    (report,) = tw.describe(tw.convert(net, {"*": tw.Winograd(algorithm)}))
    assert report.algorithm == ("direct" if reason else "F4 of 2+1 taps")
    assert reason in report.reason


def test_weights_carry_over_bit_for_bit_and_the_source_is_untouched() -> None:
    net = Net()
    before = {k: v.clone() for k, v in net.state_dict().items()}
    model = tw.convert(net, {"*": tw.Winograd("F4", transforms="learned")})
    after = model.state_dict()
    for name, value in before.items():
        assert (after[name] == value).all()
        assert (net.state_dict()[name] == value).all()
    assert type(net.shared) is nn.Conv2d
    with torch.no_grad():
        next(model.parameters()).add_(1)
    assert (net.stem.weight == before["stem.weight"]).all()


def test_a_layer_used_twice_stays_one_layer() -> None:
    model = tw.convert(Net(), {"*": tw.Winograd("F4")})
    assert model.shared is model.again
    assert isinstance(model.shared, WinogradConv2d)


def test_first_matching_pattern_decides_and_unmatched_layers_stay() -> None:
    specs = {"blocks.0": tw.Winograd("F2"), "blocks.*": tw.Direct(bits=4), "shared": tw.Winograd("SFC6")}
    model = tw.convert(Net(), specs)
    assert model.blocks[0].algorithm.name == "F2"
    assert model.blocks[2].spec == tw.Direct(bits=4)
    assert type(model.point) is nn.Conv2d


def test_a_bare_layer_is_a_model_too() -> None:
    assert isinstance(tw.convert(nn.Conv2d(4, 4, 3), {"*": tw.Winograd("F4")}), WinogradConv2d)


def test_converting_again_keeps_the_input_range_of_the_same_width() -> None:
    net = tw.convert(Net(), {"*": tw.Direct()}).train()
    net(torch.randn(2, 3, 16, 16))
    again = tw.convert(net, {"*": tw.Winograd("F4")})
    assert (again.shared.input_range.absmax == net.shared.input_range.absmax).all()
    other = tw.convert(net, {"*": tw.Winograd("F4", bits=6)})
    assert not other.shared.input_range.ready
    assert again.training


def test_converted_model_computes_the_same_in_float() -> None:
    net = Net().double()
    x = torch.randn(2, 3, 17, 19, dtype=torch.float64)
    for name in ("F2", "F4", "F6", "SFC6"):
        torch.testing.assert_close(tw.convert(net, {"*": tw.Winograd(name, bits=32)})(x), net(x))


def test_bad_input() -> None:
    with pytest.raises(ValueError, match=r"pattern 'layer\*' matches no convolution; the model has: stem, shared"):
        tw.convert(Net(), {"layer*": tw.Winograd("F4")})
    with pytest.raises(TypeError, match="is str; allowed: Direct, Winograd"):
        tw.convert(Net(), {"*": "F4"})  # type: ignore[dict-item]
    net = Net()
    with torch.no_grad():
        net.point.weight[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weights of point contain NaN"):
        tw.convert(net, {"*": tw.Direct()})


def test_kernel_sizes_without_an_algorithm_stay_direct() -> None:
    model = tw.convert(nn.Sequential(nn.Conv2d(4, 4, 4)), {"*": tw.Winograd("F4")})
    assert isinstance(model[0], Conv2d)
    assert model[0].fallback is not None
    assert "r is 4" in model[0].fallback.reason
    own = tw.toom_cook(3, 4, [0, 1, -1, 2, -2])
    served = tw.convert(nn.Sequential(nn.Conv2d(4, 4, 4)).double(), {"*": tw.Winograd(own, bits=32)})
    assert isinstance(served[0], WinogradConv2d)


class Skips(nn.Module):
    """A stem, a block with a skip connection, and a tensor that two convolutions read."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.block = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1))
        self.left, self.right = nn.Conv2d(8, 4, 3, padding=1), nn.Conv2d(8, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x).relu()
        x = (self.block(x) + x).relu()
        y = self.left(x) + self.right(x)
        return self.head(y.view(y.size(0), y.shape[1], -1).mean(2))


def quantizers(model: nn.Module) -> list[Quantize]:
    return [m for m in model.modules() if isinstance(m, Quantize)]


def skipping(spec: tw.Winograd | tw.Direct | None = None) -> nn.Module:
    model = tw.convert(Skips(), {"*": spec or tw.Winograd("F4")}, skips="quantized")
    return tw.calibrate(model, [torch.randn(4, 3, 8, 8)])


def test_quantized_skips_stand_where_a_convolution_and_others_read() -> None:
    model = skipping()
    assert len(quantizers(model)) == 2
    first, second = quantizers(model)
    assert model.get_submodule("block.0").input_range is first.range
    assert model.left.input_range is model.right.input_range is second.range
    assert not model.stem.input_is_quantized
    assert not model.get_submodule("block.2").input_is_quantized
    assert skips_of(model) == "quantized"
    assert skips_of(Skips()) == "float"
    assert [r.name for r in tw.describe(model)] == ["stem", "block.0", "block.2", "left", "right"]


def test_all_readers_read_the_same_numbers() -> None:
    model = skipping()
    seen: dict[str, Tensor] = {}
    for name in ("left", "right"):
        model.get_submodule(name).register_forward_pre_hook(lambda _, x, name=name: seen.update({name: x[0]}))
    model(torch.randn(2, 3, 8, 8))
    step = quantizers(model)[1].range.grid()[0]
    assert (seen["left"] == seen["right"]).all()
    assert (torch.round(seen["left"] / step) * step == seen["left"]).all()


class Listed(nn.Module):
    """As YOLO's blocks: a list of parts, to which more is put."""

    def __init__(self, *, sizes: bool = False) -> None:
        super().__init__()
        self.sizes = sizes
        self.first, self.inner = nn.Conv2d(3, 8, 1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Conv2d(12, 5, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        maps = list(x.split((4, 4), 1) if self.sizes else torch.chunk(x, 2, dim=1))
        maps.append(self.inner(maps[-1]) + maps[-1])
        y: Tensor = self.last(torch.cat(maps, 1))
        return y


@pytest.mark.parametrize("sizes", [False, True])
def test_lists_of_parts_can_have_quantized_skips(sizes: bool) -> None:
    x = torch.randn(2, 3, 6, 7)
    model = Listed(sizes=sizes).eval()
    network = tw.calibrate(tw.convert(model, {"*": tw.Direct()}, skips="quantized"), [x])
    assert skips_of(network) == "quantized"
    assert (network(x) - model(x)).abs().max() < 0.1
    assert torch.equal(torch.as_tensor(tw.compile(network, x)(x.numpy())), Simulation(network, x)(x))
    with pytest.raises(ValueError, match="can not trace"):
        tw.convert(Unlisted(), {"*": tw.Direct()}, skips="quantized")


class Unlisted(nn.Module):
    """Parts whose number depends on the image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 1)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat(list(self.conv(x).split(2, 1)), 1)


def test_quantized_skips_train_and_their_ranges_move_once_per_batch() -> None:
    model = skipping().train()
    before = [int(q.range.batches) for q in quantizers(model)]
    x = torch.randn(4, 3, 8, 8)
    model(x).square().sum().backward()
    assert [int(q.range.batches) for q in quantizers(model)] == [n + 1 for n in before]
    assert model.stem.weight.grad.abs().sum() > 0
    float_skips = tw.convert(model, {})
    assert (float_skips.eval()(x) - model.eval()(x)).abs().max() < 0.1


def test_quantized_skips_survive_copies_and_files(tmp_path: Path) -> None:
    model = skipping()
    x = torch.randn(2, 3, 8, 8)
    expected = model(x)
    twin = copy.deepcopy(model)
    assert (twin(x) == expected).all()
    assert twin.left.input_range is quantizers(twin)[1].range is not quantizers(model)[1].range
    tw.save_weights(model, tmp_path / "m.safetensors")
    loaded = tw.load_weights(Skips(), tmp_path / "m.safetensors").eval()
    assert (loaded(x) == expected).all()
    assert loaded.left.input_range is loaded.right.input_range is quantizers(loaded)[1].range
    assert tw.describe(loaded) == tw.describe(model)


def test_a_training_run_with_quantized_skips_is_resumed_and_loaded(tmp_path: Path) -> None:
    x, y = torch.randn(16, 3, 8, 8), torch.randint(0, 2, (16,))
    batches = [(x[:8], y[:8]), (x[8:], y[8:])]

    def fit(folder: str, *, resume: bool = False, killed: bool = False) -> nn.Module:
        torch.manual_seed(0)
        model = tw.convert(Skips(), {"*": tw.Winograd("F4")}, skips="quantized")
        if killed:  # when the first epoch has been written
            model.train = lambda mode=True: kill(model, mode, tmp_path / folder)  # type: ignore[method-assign]
        config = tw.TrainConfig(epochs=2, out=tmp_path / folder, resume=resume)
        return tw.fit(model, batches, batches, config)

    def kill(model: nn.Module, mode: bool, folder: Path) -> nn.Module:
        if mode and (folder / "last.safetensors").exists():
            raise KeyboardInterrupt
        return type(model).train(model, mode)

    whole = fit("whole")
    with pytest.raises(KeyboardInterrupt):
        fit("parts", killed=True)
    parts = fit("parts", resume=True)
    assert all((value == whole.state_dict()[name]).all() for name, value in parts.state_dict().items())
    for name in ("last", "best"):
        loaded = tw.load_weights(Skips(), tmp_path / "parts" / f"{name}.safetensors").eval()
        assert skips_of(loaded) == "quantized"
        assert name == "best" or (loaded(x) == parts(x)).all()


def test_converting_again_changes_skips_as_asked() -> None:
    model = skipping(tw.Direct())
    x = torch.randn(2, 3, 8, 8)
    again = tw.convert(model, {"*": tw.Direct()}, skips="quantized")
    assert len(quantizers(again)) == 2
    assert (again(x) == model(x)).all()
    back = tw.convert(again, {"block*": tw.Winograd("F2")})
    assert not quantizers(back)
    assert skips_of(back) == "float"
    assert not any(m.input_is_quantized for m in back.modules() if isinstance(m, QuantizedConv))
    assert back.left.input_range is not back.right.input_range
    assert back.left.input_range.absmax == model.left.input_range.absmax
    assert len(quantizers(model)) == 2  # the source is as it was
    assert (tw.convert(tw.convert(Skips(), {"*": tw.Direct()}), {}, skips="float")).train().training


def test_quantized_skips_of_a_model_in_either_mode() -> None:
    assert tw.convert(Skips().eval(), {"*": tw.Direct()}, skips="quantized").training is False
    model = tw.convert(Skips().train(), {"*": tw.Direct()}, skips="quantized")
    assert all(m.training for m in model.modules())


@pytest.mark.parametrize("spec", [tw.Direct(bits=32), tw.Direct(quantizer="paper")], ids=str)
def test_what_the_engine_can_not_store_gets_no_quantizer(spec: tw.Direct) -> None:
    assert not quantizers(tw.convert(Skips(), {"*": spec}, skips="quantized"))


def test_the_widest_reader_decides() -> None:
    specs = {"left": tw.Direct(bits=4), "right": tw.Direct(bits=11), "*": tw.Direct()}
    model = tw.calibrate(tw.convert(Skips(), specs, skips="quantized"), [torch.randn(4, 3, 8, 8)])
    assert [q.bits for q in quantizers(model)] == [8, 11]
    assert model.right.input_is_quantized
    assert not model.left.input_is_quantized
    assert model.left.input_range.ready


def test_a_bare_layer_has_no_skips() -> None:
    model = tw.convert(nn.Conv2d(4, 4, 3), {"*": tw.Direct()}, skips="quantized")
    assert isinstance(model, Conv2d)


def test_bad_skips() -> None:
    class Branches(Skips):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) if x.sum() > 0 else x

    with pytest.raises(
        ValueError, match=r"skips is 'quantized', but torch\.fx can not trace .*; allowed for it: float"
    ):
        tw.convert(Branches(), {"*": tw.Direct()}, skips="quantized")
    with pytest.raises(ValueError, match="skips is 'none'; allowed: float, quantized"):
        tw.convert(Skips(), {"*": tw.Direct()}, skips="none")  # type: ignore[arg-type]
