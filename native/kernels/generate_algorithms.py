"""Write the algorithms that the C++ code knows by name: those unrolled at compile time, and those its tests run.

python native/kernels/generate_algorithms.py
"""

from __future__ import annotations

from pathlib import Path

import tilewise as tw
from tilewise.algebra.program import UNROLLED, Program, program
from tilewise.algebra.wraparound import wraparound
from tilewise.quant.quantizer import MULTIPLIER_BITS, fraction_bits

NATIVE = Path(__file__).resolve().parents[1]
LOSSLESS = [
    ("F2", 3),
    ("F4", 3),
    ("F4-textbook", 3),
    ("SFC4", 3),
    ("SFC6", 3),
    ("SFC6", 5),
    ("SFC6(7)", 5),
    ("SFC6(5)", 5),
    ("SFC6", 7),
]
TESTED = [
    *UNROLLED, ("F4-textbook", 3, 1), ("SFC4", 3, 1), ("F6", 5, 1), ("F2-textbook", 7, 1), ("SFC6", 7, 1),
    ("F4", 7, 1), ("F6", 3, 2), ("F2", 5, 2), ("SFC6", 7, 2),
]  # fmt: skip

UNROLLED_HEADER = """\
// Written by native/kernels/generate_algorithms.py; a test compares. The named algorithms as straight-line programs
// (tilewise/algebra/program.py): get(i) gives input i, put(i, v) takes output i.
#pragma once

#include <type_traits>

namespace tilewise::TILEWISE_SET {

// clang-format off
"""
TESTS_HEADER = """\
// Written by native/kernels/generate_algorithms.py; a test compares. Algorithms for the tests of the kernels: unrolled
// ones, others, and ones whose V leaves 20 bits (wide).
#pragma once

#include <cstdint>
#include <vector>

#include "operations/wrapping/arithmetic.h"

namespace tilewise::testing {

struct BilinearCase {
  const char* name;
  std::int64_t m, r, n, stride;
  bool wide;
  std::vector<float> bt, at;
};

// clang-format off
inline const BilinearCase kAlgorithms[] = {
"""
WRAPPING_CASES = """\
struct WrappingCase {
  const char* name;
  wrapping::Sizes sizes;
  std::vector<std::int32_t> at, g, bt;
};

inline const WrappingCase kWrappingCases[] = {
"""


def matrices(a: tw.Bilinear) -> tuple[list[list[int]], list[list[int]]]:
    """Return the integer B^T and A^T of a named algorithm."""
    bt, at = ([[int(x) for x in row] for row in matrix] for matrix in (a.BT, a.AT))
    return bt, at


def flat(rows: list[list[int]]) -> str:
    """Return a matrix as the initializer of a vector."""
    return "{" + ", ".join(str(x) for row in rows for x in row) + "}"


def body(p: Program) -> str:
    """Return the statements of a program."""
    rows = {step: row for row, step in enumerate(p.outputs)}
    used = {number for step in p.steps for _, number in step}
    lines = ["const V " + ", ".join(f"v{i} = get({i})" for i in range(p.inputs) if i in used) + ";"]
    for k, terms in enumerate(p.steps):
        (first, number), *rest = terms
        text = {1: f"v{number}", -1: f"-v{number}"}.get(first, f"scaled<{first}>(v{number})")
        for c, other in rest:
            text = {1: f"{text} + v{other}", -1: f"{text} - v{other}"}.get(c, f"plus<{c}>({text}, v{other})")
        place = p.inputs + k
        needed = place in used or k not in rows
        if needed:
            lines.append(f"const V v{place} = {text};")
        if k in rows:
            lines.append(f"put({rows[k]}, {f'v{place}' if needed else text});")
    return "".join(f"    {line}\n" for line in lines)


def unrolled() -> str:
    """Return kernels/algorithms.h."""
    text, names = UNROLLED_HEADER, []
    for name, r, stride in UNROLLED:
        a = tw.algorithm(name, r, stride)
        bt, at = matrices(a)
        n, t, m = len(bt), len(bt[0]), len(at)
        label = name.replace("(", "_").rstrip(")")
        names.append(f"{label}x{r}" if stride == 1 else f"{label}x{r}s{stride}")
        short = max(a.growth.input * 128, a.growth.non_negative_input * 255) <= 32767
        text += (
            f"struct {names[-1]} {{\n"
            f"  static constexpr int m = {m}, n = {n}, t = {t};\n"
            f"  static constexpr bool kShort = {str(short).lower()};  // V of bytes fits 16 bits\n"
            f"  static constexpr short bt[] = {flat(bt)};\n"
            f"  static constexpr short at[] = {flat(at)};\n"
        )
        for stage, matrix in (("input", bt), ("output", at)):
            text += (
                "  template <typename V, typename Get, typename Put>\n"
                f"  [[gnu::always_inline]] static void {stage}(const Get& get, const Put& put) {{\n"
                f"{body(program(matrix))}"
                "  }\n"
            )
        text += "};\n"
    calls = "\n".join(f"  call(std::type_identity<{name}>{{}});" for name in names)
    return text + (
        "// clang-format on\n\n"
        "template <class Call>\nvoid for_each_named(const Call& call) {\n" + calls + "\n}\n\n"
        "}  // namespace tilewise::TILEWISE_SET\n"
    )


def tests() -> str:
    """Return tests/kernel_algorithms.h."""
    text = TESTS_HEADER
    for name, r, stride in TESTED:
        a = tw.algorithm(name, r, stride)
        bt, at = matrices(a)
        wide = fraction_bits(int(max(a.growth.input * 128, a.growth.non_negative_input * 256))) > MULTIPLIER_BITS
        text += f'    {{"{name}({r}/{stride})", {len(at)}, {r}, {len(bt)}, {stride}, {str(wide).lower()},\n'
        text += f"     {flat(bt)},\n     {flat(at)}}},\n"
    text += "};\n\n" + WRAPPING_CASES
    for name, r in LOSSLESS:
        at, g, bt = wraparound(tw.algorithm(name, r), -128, 127).parts
        text += f'    {{"{name}({r})", {{{len(at)}, {r}, {len(bt)}}},\n'
        text += f"     {flat(at)},\n     {flat(g)},\n     {flat(bt)}}},\n"
    return text + "};\n// clang-format on\n\n}  // namespace tilewise::testing\n"


FILES = {NATIVE / "kernels" / "algorithms.h": unrolled, NATIVE / "tests" / "kernel_algorithms.h": tests}

if __name__ == "__main__":
    for path, source in FILES.items():
        path.write_text(source())
