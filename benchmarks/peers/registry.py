"""The peers by name. One more is one line here and a module of `runner.Peer`'s form."""

from __future__ import annotations

import importlib
from typing import cast

from peers.runner import Peer

OURS = "tilewise"
LEARNED = " learned"
"""Ends the names of our variants with learned transforms."""
PEERS = {
    OURS: "peers.ours",
    "openvino": "peers.openvino",
    "onnxruntime": "peers.ort",
    "litert": "peers.litert",
    "ncnn": "peers.ncnn",
    "torch": "peers.torch_peer",
    "onednn": "peers.onednn",
}


def peer(name: str) -> Peer:
    """Import a peer's module, not yet its library."""
    return cast("Peer", importlib.import_module(PEERS[name]))
