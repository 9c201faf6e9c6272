"""The super-network: shared weights, one or two paths, gates."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import tilewise as tw
from tilewise import zoo
from tilewise.engine.lossless import worth_measuring
from tilewise.winas import WA_Q, SearchConfig
from tilewise.winas.architecture import label
from tilewise.winas.paths import Paths
from tilewise.winas.supernet import Choice, SuperNet


def labels(net: SuperNet, name: str) -> list[list[str]]:
    return [[label(spec) for spec in ways] for ways in net.ways[name]]


FOUR = ("direct", "F2", "F4", "F6")


def small_net(**settings: object) -> SuperNet:
    net = SuperNet(zoo.small_cnn(), SearchConfig(**{"algorithms": FOUR, **settings}))  # type: ignore[arg-type]
    tw.calibrate(net.model, [torch.randn(4, 1, 32, 32)])
    net.model.train()
    return net


def test_candidates_share_one_weight_and_one_bias() -> None:
    conv = nn.Conv2d(8, 8, 3, padding=1)
    choice = Choice(conv, SearchConfig(algorithms=FOUR, transforms="learned").specs())
    assert {id(layer.weight) for layer in choice.candidates} == {id(conv.weight)}
    assert {id(layer.bias) for layer in choice.candidates} == {id(conv.bias)}
    matrices = [name for name, _ in choice.named_parameters() if name.endswith(("AT", "G", "BT"))]
    assert len(matrices) == 3 * 3


def test_layers_that_fast_algorithms_do_not_serve_have_direct_candidates_only() -> None:
    net = SuperNet(zoo.resnet20(), SearchConfig())
    assert net.ways.keys() - net.choices == {"conv1", "layer2.0.conv1", "layer3.0.conv1"}
    assert labels(net, "conv1") == [["direct int8"]]
    assert labels(net, "layer1.0.conv1") == [["direct int8"], ["F2 int8"], ["F4 int8"]]  # F6 only if asked for


def test_several_widths_are_choices_everywhere() -> None:
    net = SuperNet(zoo.resnet20(), SearchConfig(algorithms=("direct", "F4"), widths=WA_Q))
    assert net.ways.keys() == net.choices.keys()
    assert labels(net, "conv1") == [["direct int8"], ["direct int10"], ["direct fp32"]]
    assert len(net.choices["layer1.0.conv1"].candidates) == 6


def test_exact_is_a_way_to_compute_direct_int8_and_no_branch_of_its_own() -> None:
    net = SuperNet(zoo.resnet20(), SearchConfig(algorithms=("direct", "exact", "F4"), widths=WA_Q))
    assert labels(net, "layer1.0.conv1")[:3] == [["direct int8", "exact int8"], ["F4 int8"], ["direct int10"]]
    assert net.ways["layer1.0.conv1"][0] == [tw.Direct(), tw.Exact("F4")]
    assert len(net.choices["layer1.0.conv1"].candidates) == 6
    assert [len(ways) for ways in net.ways["conv1"]] == [1, 1, 1]  # three input channels
    assert [len(ways) for ways in net.ways["layer2.0.conv1"]] == [1, 1, 1]  # stride 2
    net = SuperNet(
        nn.Sequential(nn.Conv2d(8, 8, 5), nn.Conv2d(8, 8, 3)),
        SearchConfig(algorithms=("direct", "exact", "F4-barabasz")),  # which serves 3x3 only
    )
    assert net.choices.keys() == {"1"}
    assert net.ways["0"] == [[tw.Direct(), *worth_measuring(5)]]
    assert {type(spec) for spec in worth_measuring(5)} == {tw.Exact, tw.Residue}
    assert net.ways["1"] == [[tw.Direct(), tw.Exact("F4")], [tw.Winograd("F4-barabasz")]]


def test_without_any_choice_there_is_nothing_to_search() -> None:
    with pytest.raises(ValueError, match=r"no layer has a choice among direct at \(8,\) bits"):
        SuperNet(zoo.small_cnn(), SearchConfig(algorithms=("direct",)))


def test_the_original_stays_what_it_is() -> None:
    model = zoo.small_cnn()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    SuperNet(model, SearchConfig())
    assert all(type(conv) is nn.Conv2d for conv in model.convs)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_calibration_shows_every_candidate_the_data() -> None:
    net = small_net()
    for choice in net.choices.values():
        assert all(bool(layer.get_submodule("input_range").ready) for layer in choice.candidates)
        assert all(bool(layer.get_submodule("v_range").ready) for layer in list(choice.candidates)[1:])


def test_gates_give_the_active_path_and_the_change_of_the_other() -> None:
    net = small_net()
    choice = net.choices["convs.2"]
    x = torch.randn(2, 16, 16, 16)
    outputs = [layer.eval()(x) for layer in choice.candidates]
    choice.paths, choice.gates = (1, 3), torch.tensor([0.0, 1.0], requires_grad=True)
    y = choice(x)
    assert torch.equal(y, outputs[3])
    slope = torch.randn_like(y)
    (gradient,) = torch.autograd.grad((y * slope).sum(), choice.gates)
    torch.testing.assert_close(gradient, torch.stack([(slope * outputs[i]).sum() for i in (1, 3)]))


def run_counting(net: SuperNet) -> tuple[dict[str, int], int]:
    """Run the super-network; give how many candidates of each choice ran, and the bytes kept for the way back."""
    ran = dict.fromkeys(net.choices, 0)
    hooks = []
    for name, choice in net.choices.items():

        def note(*_: object, name: str = name) -> None:
            ran[name] += 1

        hooks += [layer.register_forward_hook(note) for layer in choice.candidates]
    kept: dict[int, int] = {}

    def keep(t: torch.Tensor) -> torch.Tensor:
        kept[t.data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda t: t):
        y = net.model(torch.randn(4, 1, 32, 32))
    y.sum().backward()
    for hook in hooks:
        hook.remove()
    return ran, sum(kept.values())


def test_memory_is_that_of_two_paths_however_many_candidates_there_are() -> None:
    kept = {}
    for names in (("direct", "F4"), ("direct", "F2", "F4", "F6", "SFC6")):
        net = small_net(algorithms=names)
        paths, generator = Paths(net.choices, 0.1, "cpu"), torch.Generator().manual_seed(0)
        paths.sample_one(generator)
        assert set(run_counting(net)[0].values()) == {1}
        paths.sample_two(generator)
        for choice in net.choices.values():
            choice.paths = (0, names.index("F4"))
        ran, kept[names] = run_counting(net)
        assert set(ran.values()) == {2}
    few, many = kept.values()
    assert few == many


def test_a_gradient_of_the_two_leaves_the_others_probabilities() -> None:
    net = small_net()
    paths, generator = Paths(net.choices, 0.5, "cpu"), torch.Generator().manual_seed(0)
    nothing = 0 * paths.squares()
    for _ in range(3):
        before = {name: paths.probabilities(name) for name in paths.alphas}
        gates = paths.sample_two(generator)
        paths.step({name: torch.tensor([1.0, 0.0]) for name in gates}, nothing)
        nothing = 0 * paths.squares()
        for name, choice in net.choices.items():
            after, (worse, better) = paths.probabilities(name), choice.paths
            assert after[worse] < before[name][worse]
            assert after[better] > before[name][better]
            others = [i for i in range(4) if i not in choice.paths]
            torch.testing.assert_close(after[others], before[name][others], rtol=1e-5, atol=0)


def test_paths_are_drawn_by_their_probabilities() -> None:
    net = small_net()
    paths, generator = Paths(net.choices, 0.1, "cpu"), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for alpha in paths.alphas.values():
            alpha.copy_(torch.tensor([0.7, 0.2, 0.1, 0.0]).clamp_min(1e-9).log())
    drawn = []
    for _ in range(200):
        paths.sample_one(generator)
        drawn += [choice.paths[0] for choice in net.choices.values()]
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / len(drawn)
    torch.testing.assert_close(shares, torch.tensor([0.7, 0.2, 0.1, 0.0]), atol=0.05, rtol=0)
    for _ in range(20):
        paths.sample_two(generator)
        assert all(len(set(choice.paths)) == 2 for choice in net.choices.values())
