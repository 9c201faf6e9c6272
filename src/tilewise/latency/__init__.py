"""Latency: what each layer takes on this machine, measured and kept in tables."""

from __future__ import annotations

from tilewise.latency.shapes import LayerShape, layer_shapes

__all__ = ["LayerShape", "layer_shapes"]
