"""Make a trained model's convolutions Winograd-aware, by layer-name patterns; quantize its skip connections."""

from __future__ import annotations

import copy
import operator
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Any, Literal, TypeAlias, get_args

import torch
import torch.nn.functional as F
from torch import fx, nn

from tilewise.common.modules import replace_modules
from tilewise.nn import (
    Conv1d,
    Conv2d,
    Fallback,
    FoldedNorm,
    Linear,
    LosslessConv2d,
    Quantize,
    QuantizedConv,
    Surrounded,
    Transposed,
    WinogradConv2d,
    convolutions,
    has_hooks,
    is_plain,
    keep_hooks,
    order_norms,
    plain_copy,
    plain_norms,
    surround,
    unsuitable,
    unwrapped,
)
from tilewise.quant import FLOAT_BITS, Direct, Spec, Winograd

Skips: TypeAlias = Literal["float", "quantized"]
COUNTS = ("chunks", "split_size", "split_size_or_sections")
"""What torch calls the number of parts, or their sizes."""
SKIPS = "quantized_skips"
"""The submodule of a converted model that holds its :class:`tilewise.nn.Quantize` modules."""
LARGE = 2**20
"""Weights from which a linear layer is quantized with the convolutions: reading them is what such a layer takes."""
FEW = 8
"""Channels below which a convolution along one axis is a gate's rather than a network's."""
BYTE_BITS = 8
"""Widest numbers of a quantized linear layer that no pattern of its own asked for."""


def convert(model: nn.Module, specs: Mapping[str, Spec], *, skips: Skips = "float") -> nn.Module:
    """Copy a model with its convolutions replaced as the specs say.

    Layers are matched by dotted name with shell patterns (``*``, ``?``, ``[...]``); the first pattern that matches a
    layer decides. Layers that none matches stay as they are. What a fast algorithm can not serve (stride above 2,
    1x1), or would make slower (few channels, in all or in a group), becomes direct at the same bit width;
    :func:`describe` says which and why. Weights carry over bit for bit. Converted models can be converted again, for
    example to adapt an int8 direct network to int8 F4.

    At 32 bits the copy computes what the model computes. Hooks stay. Weight norm, spectral norm, pruning and other
    parametrizations are carried out once. A subclass of ``torch.nn.Conv2d`` keeps its own code around the convolution
    (padding, activations); weights that the code computes are computed once. A subclass whose code is not one
    convolution stays as it is.

    A transposed convolution becomes a convolution of stride 1, ``pieces`` by name, and a pixel shuffle
    (:class:`tilewise.nn.Transposed`), one along one axis a convolution of images of one row, ``row`` by name
    (:class:`tilewise.nn.Conv1d`); with float specs they stay as they are. Linear layers become direct ones at the same
    width where a pattern matches no convolution, and so is meant for them; patterns that match convolutions too take
    in, at up to 8 bits, those of :data:`LARGE` weights and more. The others stay float, as papers have it; so do
    convolutions along one axis of fewer than :data:`FEW` channels, which gates have.

    Parameters
    ----------
    model : torch.nn.Module
        Any model; it is not changed. ``DataParallel`` and ``torch.compile`` are taken off.
    specs : mapping of str to Direct, Winograd, Exact or Residue
        For example ``{"layer*": Winograd("F4"), "*": Direct(bits=8)}``.
    skips : {"float", "quantized"}
        What else reads a tensor that a quantized convolution reads, such as a skip connection: ``"float"`` reads it
        unquantized, ``"quantized"`` the very integers that the convolution reads, so that the engine keeps it in
        these only. The latter traces the model with torch.fx, which has to be possible, and gives a ``GraphModule``.

    Returns
    -------
    torch.nn.Module
        The converted copy, on the same device, in the same training mode.

    Raises
    ------
    ValueError
        If a pattern matches no layer, a weight is not finite or of half precision, a lossless layer's moduli do not
        suffice for its weights, the model can not be traced, or it is a TorchScript program.
    TypeError
        If a spec is none of these.
    """
    if skips not in get_args(Skips):
        raise ValueError(f"skips is {skips!r}; allowed: {', '.join(get_args(Skips))}")
    model = unwrapped(model)
    _check(_layers(model), specs)
    converted = _with_float_skips(plain_copy(model))
    layers = _layers(converted)
    replacement: dict[nn.Module, nn.Module] = {}
    broad = {
        pattern for pattern in specs if any(_matches(pattern, n, m) for n, m in layers.items() if not _is_beside(m))
    }
    for name, layer in layers.items():
        found = (s for p, s in specs.items() if _matches(p, name, layer) and _is_meant(s, layer, broad=p in broad))
        spec = next(found, None)
        if spec is not None and (made := _converted(name, layer, spec)) is not None:
            replacement[layer] = made
    converted = replace_modules(converted, replacement)
    return converted if skips == "float" else _with_quantized_skips(converted)


PARTS = {nn.ConvTranspose2d: "pieces", nn.Conv1d: "row"}
"""What is converted by way of a convolution, and what that is called within what takes its place."""
OTHERS = (*PARTS, nn.Linear)
"""What is converted beside convolutions and their subclasses."""


def _layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return what a spec may be meant for, by name."""
    convs = convolutions(model)
    return {name: convs.get(name, m) for name, m in model.named_modules() if name in convs or type(m) in OTHERS}


def _is_beside(layer: nn.Module) -> bool:
    """Whether a layer is what networks have beside their convolutions: a linear one, or one of a channel's gate."""
    return isinstance(layer, nn.Linear | Linear) or (isinstance(layer, nn.Conv1d) and layer.in_channels < FEW)


def _matches(pattern: str, name: str, layer: nn.Module) -> bool:
    """Whether a pattern matches a layer; one that is converted by way of a convolution is matched by either name."""
    names = [name]
    if type(layer) in PARTS:
        names.append(f"{name}.{PARTS[type(layer)]}".removeprefix("."))
    outer, _, last = name.rpartition(".")
    if last in PARTS.values():
        names.append(outer)
    return any(fnmatchcase(n, pattern) for n in names)


def _is_meant(spec: Spec, layer: nn.Module, *, broad: bool) -> bool:
    """Whether a spec is for a layer that its pattern matches; ``broad``: the pattern matches convolutions too."""
    if type(layer) in PARTS and isinstance(spec, Direct) and spec.bits == FLOAT_BITS:
        return False
    if not isinstance(layer, nn.Linear):
        return not (broad and isinstance(layer, nn.Conv1d) and _is_beside(layer))
    large = layer.weight.numel() >= LARGE and spec.bits <= BYTE_BITS
    return spec.bits < FLOAT_BITS and not spec.rules.quantizes_all_stages and (large or not broad)


def _check(layers: Mapping[str, nn.Module], specs: Mapping[str, object]) -> None:
    for pattern, spec in specs.items():
        if not isinstance(spec, Spec):
            allowed = ", ".join(kind.__name__ for kind in get_args(Spec))
            raise TypeError(f"spec for {pattern!r} is {type(spec).__name__}; allowed: {allowed}")
        if not any(_matches(pattern, name, layer) for name, layer in layers.items()):
            known = ", ".join(layers) or "none at all"
            raise ValueError(f"pattern {pattern!r} matches no convolution; the model has: {known}")
    for name, layer in layers.items():
        weight: Any = layer.weight
        if isinstance(weight, nn.parameter.UninitializedParameter):
            raise ValueError(f"weights of {name} have no values yet; call the model on images once")  # noqa: TRY004
        if weight.dtype not in (torch.float32, torch.float64):
            raise ValueError(f"weights of {name} are {weight.dtype}; allowed: float32, by model.float()")
        if not torch.isfinite(weight).all():
            raise ValueError(f"weights of {name} contain NaN or infinity; convert a model with finite weights")


def _converted(name: str, layer: nn.Module, spec: Spec) -> nn.Module | None:
    """Return what takes the place of a layer; None if its class does more than can be told apart from a convolution."""
    made: nn.Module
    if isinstance(layer, nn.ConvTranspose2d):
        made = Transposed.from_conv(layer)
        made.pieces = _checked(name, _layer(made.pieces, spec))
    elif isinstance(layer, nn.Conv1d):
        made = Conv1d.from_conv(layer)
        made.row = _checked(name, _layer(made.row, spec))
    elif isinstance(layer, nn.Linear):
        fallback = None if isinstance(spec, Direct) else Fallback(spec, "it is linear")
        made = Linear.from_linear(layer, Direct(bits=spec.bits, quantizer=spec.quantizer), fallback)
    else:
        assert isinstance(layer, nn.Conv2d)
        if not isinstance(layer, QuantizedConv) and not is_plain(layer):
            whole = surround(layer)
            if whole is not None:
                whole.layer = _checked(name, _layer(whole.layer, spec))
            return whole
        made = _checked(name, _layer(layer, spec))
    keep_hooks(made, layer)
    return made


def _layer(conv: nn.Conv2d, spec: Spec) -> QuantizedConv:
    direct = Linear if isinstance(conv, Linear) else Conv2d
    if isinstance(spec, Direct):
        return direct.from_conv(conv, spec)
    if reason := "it is linear" if isinstance(conv, Linear) else unsuitable(conv, spec):
        return direct.from_conv(conv, Direct(bits=spec.bits, quantizer=spec.quantizer), Fallback(spec, reason))
    return (WinogradConv2d if isinstance(spec, Winograd) else LosslessConv2d).from_conv(conv, spec)


def _checked(name: str, layer: QuantizedConv) -> QuantizedConv:
    """Refuse moduli that do not suffice for a layer, by its name, as soon as its input range is known."""
    if isinstance(layer, LosslessConv2d) and layer.get_range("input_range").ready:
        try:
            layer.choice()
        except ValueError as error:
            raise ValueError(f"layer {name!r}: {error}") from error
    return layer


def specs_of(model: nn.Module) -> dict[str, Spec]:
    """Return the specs by layer name, as they were asked for, that rebuild a converted model from the plain one."""
    layers = {name: m for name, m in convolutions(model).items() if isinstance(m, QuantizedConv)}
    return {name: m.fallback.asked if m.fallback else m.spec for name, m in layers.items()}


def skips_of(model: nn.Module) -> Skips:
    """Tell what the skip connections of a model are, as :func:`convert` was asked."""
    return "quantized" if hasattr(model, SKIPS) else "float"


def _with_float_skips(model: nn.Module) -> nn.Module:
    """Take out, in place, what :func:`_with_quantized_skips` put in."""
    if skips_of(model) == "float":
        return model
    assert isinstance(model, fx.GraphModule)
    for node in list(model.graph.nodes):
        if node.op == "call_module" and node.target.startswith(f"{SKIPS}."):
            node.replace_all_uses_with(node.args[0])
            model.graph.erase_node(node)
    delattr(model, SKIPS)
    for module in model.modules():
        if isinstance(module, QuantizedConv):
            module.norm = ()
            if module.input_is_quantized:
                module.input_range = copy.deepcopy(module.input_range)
                module.input_is_quantized = False
    plain_norms(model)
    model.recompile()
    return model


def _with_quantized_skips(model: nn.Module) -> nn.Module:
    """Put one Quantize in front of all readers of every tensor that a quantized convolution and others read."""
    if isinstance(model, QuantizedConv):
        return model
    try:
        graph = _graph_of(model)
    except Exception as error:  # the model's own code runs, on stand-ins for tensors
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ValueError(
            f"skips is 'quantized', but torch.fx can not trace the model: {reason}; allowed for it: float"
        ) from error
    traced = fx.GraphModule(model, graph, type(model).__name__)
    keep_hooks(traced, model)
    setattr(traced, SKIPS, nn.ModuleList())
    given = {name for name, module in traced.named_modules() if isinstance(module, Quantize)}
    called = [conv for node in graph.nodes if (conv := _quantized_conv(traced, node)) is not None]
    # A convolution that is called twice has one range for all that it reads: it quantizes its input itself.
    reused = {node for node in graph.nodes if called.count(_quantized_conv(traced, node)) > 1}  # type: ignore[arg-type]
    for node in list(graph.nodes):
        readers = [user for user in node.users if not _asks_for_shape(user) and user not in reused]
        convs = [m for user in readers if (m := _quantized_conv(traced, user)) is not None]
        if convs and len(readers) > 1 and not (node.op == "call_module" and node.target in given):
            _quantize_for(traced, node, readers, convs)
    _fold_norms(traced)
    if any(_quantized_conv(traced, node) for node in graph.nodes):
        order_norms(traced)
    traced.recompile()
    return traced if model.training else traced.eval()  # containers are new, and start in training mode


def _quantize_for(model: fx.GraphModule, value: fx.Node, readers: list[fx.Node], convs: list[QuantizedConv]) -> None:
    """Insert one Quantize between a value and its readers. Convolutions of its width share its range."""
    modules = model.get_submodule(SKIPS)
    assert isinstance(modules, nn.ModuleList)
    bits = max(conv.spec.bits for conv in convs)
    sharing = [conv for conv in convs if conv.spec.bits == bits]
    shared = next((c for c in sharing if c.get_range("input_range").ready), sharing[0]).get_range("input_range")
    quantize = Quantize(bits)
    quantize.range = shared
    for conv in sharing:
        conv.input_range = shared
        conv.input_is_quantized = True
    name = f"{SKIPS}.{len(modules)}"
    modules.append(quantize.train(model.training))
    with model.graph.inserting_after(value):
        quantized = model.graph.call_module(name, (value,))
    for reader in readers:
        reader.replace_input_with(value, quantized)


def _fold_norms(model: fx.GraphModule) -> None:
    """Let every quantized convolution take in, in evaluation, a batch norm that alone reads it, as the engine does."""
    calls = [node for node in model.graph.nodes if node.op == "call_module"]
    targets = [node.target for node in calls]
    for node in calls:
        conv, readers = _quantized_conv(model, node), list(node.users)
        while conv is not None and conv.phases and len(readers) == 1 and _moves_pixels(readers[0]):
            readers = list(readers[0].users)
        if conv is None or len(readers) != 1 or readers[0].op != "call_module":
            continue
        norm = model.get_submodule(str(readers[0].target))
        used_once = targets.count(node.target) == targets.count(readers[0].target) == 1
        if type(norm) is nn.BatchNorm2d and norm.running_mean is not None and used_once:
            FoldedNorm.attach(norm, conv)
            assert isinstance(norm, FoldedNorm)
            conv.norm = (norm,)


def _moves_pixels(node: fx.Node) -> bool:
    """Whether a node is what a transposed convolution does after its convolution."""
    return node.op == "call_function" and node.target in (F.pixel_shuffle, operator.getitem)


def _quantized_conv(model: nn.Module, node: fx.Node) -> QuantizedConv | None:
    """Return the quantized convolution that a node calls, if it does, and no hook comes between."""
    module = model.get_submodule(str(node.target)) if node.op == "call_module" else None
    if not isinstance(module, QuantizedConv) or has_hooks(module):
        return None
    return module if module.spec.bits < FLOAT_BITS and module.policy.is_contract else None


def _asks_for_shape(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in ("size", "dim")
    return node.op == "call_function" and node.target is getattr


def _graph_of(model: nn.Module) -> fx.Graph:
    """Trace a model; one that is a graph of layers already keeps it, and what its nodes are said to be."""
    tracer = _Tracer()
    if isinstance(model, fx.GraphModule):
        called = [str(node.target) for node in model.graph.nodes if node.op == "call_module"]
        if all(tracer.is_leaf_module(model.get_submodule(name), name) for name in called):
            return model.graph
    return tracer.trace(model)


class _Tracer(fx.Tracer):
    """Looks into everything but torch's own layers and the quantized ones."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        leaf: bool = super().is_leaf_module(m, module_qualified_name)
        return leaf or isinstance(m, nn.Conv2d | Quantize | Surrounded)

    def create_proxy(self, *args: Any, **kwargs: Any) -> Any:
        """Give parts as a tuple, so that ``list(x.chunk(2, 1))`` works; their number is known without their sizes."""
        made: Any = super().create_proxy(*args, **kwargs)
        count = _number_of_parts(made.node)
        return made if count is None else tuple(made[i] for i in range(count))


def _number_of_parts(node: fx.Node) -> int | None:
    """Return how many tensors a node gives, where its arguments say so."""
    if node.target not in ("chunk", "split", torch.chunk, torch.split):
        return None
    asked = node.args[1] if len(node.args) > 1 else next((node.kwargs[n] for n in COUNTS if n in node.kwargs), None)
    if isinstance(asked, list | tuple):
        return len(asked)
    return asked if node.target in ("chunk", torch.chunk) and isinstance(asked, int) else None
