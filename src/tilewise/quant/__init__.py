"""Number formats, quantizers and layer specs; :mod:`tilewise.quant.fake` holds the torch part.

This package itself does not import torch, so that the engine can read specs without it.
"""

from __future__ import annotations

from tilewise.quant.exact import Exact, Residue
from tilewise.quant.quantizer import FLOAT_BITS, QUANTIZERS, Quantizer
from tilewise.quant.spec import Direct, QuantizerName, Scales, Spec, Transforms, Winograd, spec_from_dict

__all__ = [
    "FLOAT_BITS", "QUANTIZERS", "Direct", "Exact", "Quantizer", "QuantizerName", "Residue", "Scales", "Spec",
    "Transforms", "Winograd", "spec_from_dict",
]  # fmt: skip
