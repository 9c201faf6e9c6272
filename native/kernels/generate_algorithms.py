"""Write the algorithms that the C++ code knows by name: those unrolled at compile time, and those its tests run.

python native/kernels/generate_algorithms.py
"""

from __future__ import annotations

from pathlib import Path

import tilewise as tw
from tilewise.quant.quantizer import MULTIPLIER_BITS, fraction_bits

NATIVE = Path(__file__).resolve().parents[1]
# Every other algorithm, and every learned one, runs through the list of its matrix entries.
UNROLLED = [("F2", 3), ("F4", 3), ("F6", 3), ("SFC6", 3), ("F2", 5), ("SFC6", 5)]
TESTED = [*UNROLLED, ("F4-textbook", 3), ("SFC4", 3), ("F4", 5), ("F6", 5), ("F2", 7), ("SFC6", 7)]

BODIES = """\
// Written by native/kernels/generate_algorithms.py; a test compares. The named algorithms that are unrolled.
#pragma once

#include <type_traits>

namespace tilewise::TILEWISE_SET {

// clang-format off
"""
TESTS = """\
// Written by native/kernels/generate_algorithms.py; a test compares. Algorithms for the tests of the kernels: unrolled
// ones, others, and ones whose V leaves 20 bits (wide).
#pragma once

#include <cstdint>
#include <vector>

namespace tilewise::testing {

struct BilinearCase {
  const char* name;
  std::int64_t m, r, n;
  bool wide;
  std::vector<float> bt, at;
};

// clang-format off
inline const BilinearCase kAlgorithms[] = {
"""


def matrices(name: str, r: int) -> tuple[list[list[int]], list[list[int]]]:
    """Give the integer B^T and A^T of a named algorithm."""
    a = tw.algorithm(name, r)
    bt, at = ([[int(x) for x in row] for row in matrix] for matrix in (a.BT, a.AT))
    return bt, at


def nested(rows: list[list[int]]) -> str:
    """Give a matrix as the initializer of a struct with a two-dimensional array."""
    return "{{" + ", ".join("{" + ", ".join(map(str, row)) + "}" for row in rows) + "}}"


def flat(rows: list[list[int]]) -> str:
    """Give a matrix as the initializer of a vector."""
    return "{" + ", ".join(str(x) for row in rows for x in row) + "}"


def bodies() -> str:
    """Give bodies/algorithms.h."""
    text, names = BODIES, []
    for name, r in UNROLLED:
        bt, at = matrices(name, r)
        n, t, m = len(bt), len(bt[0]), len(at)
        names.append(f"{name}x{r}")
        sizes = f"{m}, {n}, {t}, Matrix<{n}, {t}>{nested(bt)}, Matrix<{m}, {n}>{nested(at)}"
        text += f"using {names[-1]} = Fixed<{sizes}>;\n"
    calls = "\n".join(f"  call(std::type_identity<{name}>{{}});" for name in names)
    return text + (
        "// clang-format on\n\n"
        "template <class Call>\nvoid for_each_fixed(const Call& call) {\n" + calls + "\n}\n\n"
        "}  // namespace tilewise::TILEWISE_SET\n"
    )


def tests() -> str:
    """Give tests/kernel_algorithms.h."""
    text = TESTS
    for name, r in TESTED:
        bt, at = matrices(name, r)
        growth = tw.algorithm(name, r).growth
        wide = fraction_bits(int(max(growth.input * 128, growth.non_negative_input * 256))) > MULTIPLIER_BITS
        text += f'    {{"{name}({r})", {len(at)}, {r}, {len(bt)}, {str(wide).lower()},\n'
        text += f"     {flat(bt)},\n     {flat(at)}}},\n"
    return text + "};\n// clang-format on\n\n}  // namespace tilewise::testing\n"


FILES = {NATIVE / "kernels" / "bodies" / "algorithms.h": bodies, NATIVE / "tests" / "kernel_algorithms.h": tests}

if __name__ == "__main__":
    for path, source in FILES.items():
        path.write_text(source())
