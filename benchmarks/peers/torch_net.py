"""Between torch and `net.Net`: a zoo network becomes one, and one becomes a module; references and ranges."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from peers.net import INPUT, Net, Node, Sample, with_relu

_ALIASES = (nn.Dropout, nn.Identity, nn.AdaptiveAvgPool2d)  # the pooling to 7x7 of maps that are; from_torch checks


class NetModule(nn.Module):
    """A :class:`Net` in torch; its convolutions are modules of their nodes' names."""

    def __init__(self, net: Net) -> None:
        super().__init__()
        self.net = net
        for node in net.nodes:
            if node.weight is not None:
                setattr(self, node.name, _module(node))
        self.eval()

    def tensors(self, x: Tensor) -> dict[str, Tensor]:
        """Run, and give every tensor by name."""
        found = {INPUT: x}
        for node in self.net.nodes:
            y = self._run(node, [found[name] for name in node.inputs])
            found[node.name] = F.relu(y) if node.relu else y
        return found

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, ...)."""
        return self.tensors(x)[self.net.output]

    def _run(self, node: Node, inputs: list[Tensor]) -> Tensor:
        x = inputs[0]
        if node.op == "add":
            return x + inputs[1]
        if node.op == "max_pool":
            s = node.stride
            return x[:, :, ::s, ::s] if node.kernel == 1 else F.max_pool2d(x, node.kernel, s, node.padding)
        if node.op == "mean":
            return x.mean((2, 3))
        if node.op == "flatten":
            return x.flatten(1)
        if node.op == "pad_channels":
            return F.pad(x, (0, 0, 0, 0, node.padding, node.padding))
        y: Tensor = getattr(self, node.name)(x)
        return y


def _module(node: Node) -> nn.Module:
    weight, bias = node.parameters
    module: nn.Conv2d | nn.Linear
    if node.op == "conv":
        module = nn.Conv2d(weight.shape[1], len(weight), node.kernel, node.stride, node.padding)
    else:
        module = nn.Linear(weight.shape[1], len(weight))
    module.weight = nn.Parameter(torch.from_numpy(weight), requires_grad=False)
    assert module.bias is not None
    module.bias = nn.Parameter(torch.from_numpy(bias), requires_grad=False)
    return module


@torch.no_grad()
def from_torch(model: nn.Module, x: Tensor) -> Net:
    """Read a network with torch.fx, batch norms multiplied in.

    Raises
    ------
    ValueError
        If it has an operation without a counterpart in :class:`Net`, or the result computes something else.
    """
    traced = fx.symbolic_trace(model)
    nodes: dict[str, Node] = {}
    alias: dict[fx.Node, str] = {}
    for step in traced.graph.nodes:
        if step.op == "placeholder":
            alias[step] = INPUT
        elif step.op != "output":
            inputs = tuple(alias[arg] for arg in step.all_input_nodes)
            node = _node(traced, step, inputs, nodes)
            nodes[node.name] = node
            alias[step] = node.name
    net = Net(tuple(nodes.values()), tuple(x.shape[1:]))
    difference = (NetModule(net)(x) - model(x)).norm() / model(x).norm()
    if not difference < 1e-4:
        raise ValueError(f"the network read from {type(model).__name__} differs from it by {difference:.2g}")
    return net


def _target(traced: fx.GraphModule, step: fx.Node) -> Any:
    return traced.get_submodule(str(step.target)) if step.op == "call_module" else step.target


def _node(traced: fx.GraphModule, step: fx.Node, inputs: tuple[str, ...], nodes: dict[str, Node]) -> Node:
    """Return the operation of a step, or the earlier one that takes the step in."""
    target, name = _target(traced, step), str(step.target if step.op == "call_module" else step.name).replace(".", "_")
    if (before := nodes.get(inputs[0])) is not None:
        if isinstance(target, nn.BatchNorm2d):
            return _folded(before, target)
        if isinstance(target, nn.ReLU) or target is F.relu:
            return with_relu(before)
        if isinstance(target, _ALIASES):
            return before
    if isinstance(target, nn.Conv2d | nn.Linear):
        return _weighted(target, name, inputs)
    settings = _settings(target, step)
    if settings is None:
        raise ValueError(f"{step.name} ({target}) has no counterpart for the peers")
    return Node(name=name, inputs=inputs, **settings)


def _settings(target: Any, step: fx.Node) -> dict[str, Any] | None:
    """Return the operation without weights that a step is, and its numbers."""
    args: Any = step.args
    if isinstance(target, nn.MaxPool2d):
        return {"op": "max_pool", "kernel": target.kernel_size, "stride": target.stride, "padding": target.padding}
    if target is F.max_pool2d:
        return {"op": "max_pool", "kernel": args[1], "stride": args[1]}
    if target is operator.getitem:  # [:, :, ::s, ::s]
        return {"op": "max_pool", "stride": args[1][2].step}
    if target is F.pad:
        return {"op": "pad_channels", "padding": args[1][-1]}
    names = {operator.add: "add", "mean": "mean", "flatten": "flatten"}
    return {"op": names[target]} if target in names else None


def _weighted(module: nn.Conv2d | nn.Linear, name: str, inputs: tuple[str, ...]) -> Node:
    weight = module.weight.detach().numpy()
    bias = np.zeros(len(weight), np.float32) if module.bias is None else module.bias.detach().numpy()
    if isinstance(module, nn.Linear):
        return Node(op="linear", name=name, inputs=inputs, weight=weight, bias=bias)
    return Node(
        op="conv", name=name, inputs=inputs, weight=weight, bias=bias, kernel=module.kernel_size[0],
        stride=module.stride[0], padding=int(module.padding[0]),
    )  # fmt: skip


def _folded(node: Node, norm: nn.BatchNorm2d) -> Node:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    factor = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach().numpy()
    weight, bias = node.parameters
    shift = norm.bias.detach().numpy() - norm.running_mean.numpy() * factor
    return Node(
        op=node.op, name=node.name, inputs=node.inputs, weight=weight * factor.reshape(-1, 1, 1, 1),
        bias=bias * factor + shift, kernel=node.kernel, stride=node.stride, padding=node.padding,
    )  # fmt: skip


@torch.no_grad()
def sample(net: Net, x: Tensor) -> Sample:
    """Run the network in float32; keep its output and the range of every tensor."""
    tensors = NetModule(net).tensors(x)
    ranges = {name: (min(0.0, float(t.min())), max(0.0, float(t.max()))) for name, t in tensors.items()}
    for node in net.nodes:  # they only move numbers; peers demand the same grid on both sides
        if node.op in ("max_pool", "flatten", "pad_channels"):
            ranges[node.name] = ranges[node.inputs[0]]
    return Sample(net, x.numpy(), tensors[net.output].numpy(), ranges)
