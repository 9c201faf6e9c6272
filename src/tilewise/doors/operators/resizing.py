"""Maps of another size."""

from __future__ import annotations

from typing import Any

import torch.nn.functional as F
from torch import fx

from tilewise.doors.building import Builder, Handler, Unsupported, shape_of
from tilewise.doors.reading import OnnxNode

MAP = 4
"""Axes of images."""


def _resize(b: Builder, node: OnnxNode) -> fx.Node:
    x = b.input(node, 0)
    rank, is_old = len(shape_of(x)), node.kind == "Upsample" or node.opset == 10
    factors = node.get("scales")
    if factors is None:
        found = b.constant(node, 1 if is_old else 2)
        factors = None if found is None or found.size == 0 else [float(f) for f in found.reshape(-1)]
    sizes = None if is_old else b.ints(node, 3)
    axes = [axis % rank for axis in node.get("axes", range(rank))]
    given = dict(zip(axes, sizes or factors or [], strict=False))
    kept = [i for i in (0, 1) if i in given and not _keeps(x, i, given[i], is_size=bool(sizes))]
    if rank != MAP or kept or not {2, 3} & set(given):
        raise Unsupported(f"of a tensor of {rank} axes over the axes {axes}; allowed: height and width of (N, C, H, W)")
    if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise Unsupported(f"has keep_aspect_ratio_policy {node.get('keep_aspect_ratio_policy')!r}; allowed: stretch")
    mode, options = _mode(node, _factors(x, given, is_size=bool(sizes)), is_old=is_old)
    if sizes:
        options["size"] = [given.get(axis, b.size(x, axis)) for axis in (2, 3)]
    else:
        options["scale_factor"] = [given.get(axis, 1.0) for axis in (2, 3)]
    return b.call(F.interpolate, x, mode=mode, **options)


def _factors(x: fx.Node, given: dict[int, Any], *, is_size: bool) -> list[float]:
    """Return by how much height and width grow, where the network is tried."""
    numbers = {axis: float(v.meta["val"] if isinstance(v, fx.Node) else v) for axis, v in given.items()}
    extents = shape_of(x)
    if is_size:
        numbers = {axis: size / extents[axis] for axis, size in numbers.items()}
    return [numbers.get(axis, 1.0) for axis in (2, 3)]


def _keeps(x: fx.Node, axis: int, value: Any, *, is_size: bool) -> bool:
    """Whether images or channels stay as many as they are."""
    if not is_size:
        return bool(value == 1)
    return isinstance(value, fx.Node) or int(value) == shape_of(x)[axis]


def _mode(node: OnnxNode, factors: list[float], *, is_old: bool) -> tuple[str, dict[str, Any]]:
    """Return torch's name for a way to interpolate, and its options."""
    mode = node.get("mode", "nearest")
    where = "asymmetric" if is_old else node.get("coordinate_transformation_mode", "half_pixel")
    if mode == "nearest":
        rounding = "floor" if is_old else node.get("nearest_mode", "round_prefer_floor")
        centred = where in ("half_pixel", "pytorch_half_pixel")
        by_whole = all(factor >= 1 and factor == int(factor) for factor in factors)
        if (where, rounding) == ("asymmetric", "floor") or (centred and by_whole and rounding.startswith("round")):
            return "nearest", {}
        if (where, rounding) == ("half_pixel", "round_prefer_ceil"):
            return "nearest-exact", {}
        allowed = "asymmetric with floor, half_pixel with round_prefer_ceil, by whole factors with any rounding"
        raise Unsupported(f"has mode nearest, {where}, {rounding}; allowed: {allowed}")
    names = {"linear": "bilinear", "bilinear": "bilinear", "cubic": "bicubic"}
    if mode not in names or where not in ("half_pixel", "pytorch_half_pixel", "align_corners"):
        allowed = "nearest, linear and cubic with half_pixel, pytorch_half_pixel or align_corners"
        raise Unsupported(f"has mode {mode}, {where}; allowed: {allowed}")
    if mode == "cubic" and node.get("cubic_coeff_a", -0.75) != -0.75:
        raise Unsupported(f"has cubic_coeff_a {node.get('cubic_coeff_a')}; allowed: -0.75")
    options: dict[str, Any] = {"align_corners": where == "align_corners"}
    if node.get("antialias", 0):
        options["antialias"] = True
    return names[mode], options


HANDLERS: dict[str, Handler] = {"Resize": _resize, "Upsample": _resize}
