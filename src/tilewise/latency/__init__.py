"""Latency: what each layer takes on this machine, measured and kept in tables."""

from __future__ import annotations

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
