"""Latency: what each layer takes on this machine, measured and kept in tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tilewise.common.lazy import loader

if TYPE_CHECKING:
    from tilewise.latency.candidates import CANDIDATES, Candidate
    from tilewise.latency.jobs import layer_program
    from tilewise.latency.machine import Machine
    from tilewise.latency.networks import measure
    from tilewise.latency.records import Convolution, Operation, Record
    from tilewise.latency.remote import RemoteRunner, connect
    from tilewise.latency.shapes import LayerShape, layer_shapes
    from tilewise.latency.table import LatencyTable

__all__ = [
    "CANDIDATES",
    "Candidate",
    "Convolution",
    "LatencyTable",
    "LayerShape",
    "Machine",
    "Operation",
    "Record",
    "RemoteRunner",
    "connect",
    "layer_program",
    "layer_shapes",
    "measure",
]

__getattr__ = loader(
    __name__,
    {
        "CANDIDATES": "candidates",
        "Candidate": "candidates",
        "layer_program": "jobs",
        "Machine": "machine",
        "measure": "networks",
        "Convolution": "records",
        "Operation": "records",
        "Record": "records",
        "RemoteRunner": "remote",
        "connect": "remote",
        "LayerShape": "shapes",
        "layer_shapes": "shapes",
        "LatencyTable": "table",
    },
)
