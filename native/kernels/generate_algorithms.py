"""Write the algorithms that the C++ code knows by name: those unrolled at compile time, and those its tests run.

python native/kernels/generate_algorithms.py
"""

from __future__ import annotations

from pathlib import Path

import tilewise as tw
from tilewise.algebra import Algorithm, Planar
from tilewise.algebra.bilinear import Matrix
from tilewise.algebra.program import PLANAR, UNROLLED, Program, Term, program
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
    ("SFC6-planar", 3),
    ("SFC6-planar(7)", 3),
    ("SFC4-planar", 3),
]
TESTED = [
    *UNROLLED, ("F4-textbook", 3, 1), ("SFC4", 3, 1), ("F6", 5, 1), ("F2-textbook", 7, 1), ("SFC6", 7, 1),
    ("F4", 7, 1), ("F6", 3, 2), ("F2", 5, 2), ("SFC6", 7, 2), ("SFC6-planar", 3, 1), ("SFC6-planar(7)", 3, 1),
    ("SFC4-planar", 3, 1),
]  # fmt: skip

UNROLLED_HEADER = """\
// Written by native/kernels/generate_algorithms.py; a test compares. The named algorithms as straight-line programs
// (tilewise/algebra/program.py): get(i) gives input i, put(i, v) takes output i. Of planar ones input and output are
// those of rows and columns; between them and the products, into and back mix numbers (tilewise/algebra/planar.py).
// into makes those numbers that are sums, source says which of all numbers is V of a tap.
#pragma once

#include <type_traits>

namespace tilewise::TILEWISE_SET {

// clang-format off
"""
TESTS_HEADER = """\
// Written by native/kernels/generate_algorithms.py; a test compares. Algorithms for the tests of the kernels: unrolled
// ones, others, and ones whose V leaves 20 bits (wide).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "operations/wrapping/arithmetic.h"

namespace tilewise::testing {

// A matrix from constant data: an initializer list of a vector would be code, number by number.
template <typename T, std::size_t N>
std::vector<T> matrix(const T (&numbers)[N]) {
  return std::vector<T>(numbers, numbers + N);
}

struct BilinearCase {
  const char* name;
  std::int64_t m, r, n, stride;
  bool wide, planar;
  std::vector<float> bt, at;
  std::int64_t taps() const { return planar ? n : n * n; }
};

// clang-format off
"""
WRAPPING_CASES = """\
struct WrappingCase {
  const char* name;
  wrapping::Sizes sizes;
  std::vector<std::int32_t> at, g, bt;
};

"""


def integers(matrix: Matrix) -> list[list[int]]:
    """Return a matrix of integers."""
    return [[int(x) for x in row] for row in matrix]


def flat(rows: list[list[int]]) -> str:
    """Return a matrix as the initializer of a vector."""
    return "{" + ", ".join(str(x) for row in rows for x in row) + "}"


def body(p: Program) -> str:
    """Return the statements of a program."""
    rows = {step: row for row, step in enumerate(p.outputs)}
    used = {number for step in p.steps for _, number in step}
    lines = ["const V " + ", ".join(f"v{i} = get({i})" for i in range(p.inputs) if i in used) + ";"]
    for k, terms in enumerate(p.steps):
        place = p.inputs + k
        needed = place in used or k not in rows
        if needed:
            lines.append(f"const V v{place} = {sum_of(terms)};")
        if k in rows:
            lines.append(f"put({rows[k]}, {f'v{place}' if needed else sum_of(terms)});")
    return "".join(f"    {line}\n" for line in lines)


def lazy_body(p: Program, rows: dict[int, int]) -> str:
    """Return the statements of a program for some of its outputs, whose places are given, in their order.

    Each value is made just before it is needed: there are more than registers.
    """
    lines: list[str] = []
    made: set[int] = set()

    def make(number: int) -> None:
        if number in made:
            return
        made.add(number)
        if number < p.inputs:
            lines.append(f"const V v{number} = get({number});")
            return
        terms = p.steps[number - p.inputs]
        for _, other in terms:
            make(other)
        lines.append(f"const V v{number} = {sum_of(terms)};")

    for row, place in rows.items():
        make(p.inputs + p.outputs[row])
        lines.append(f"put({place}, v{p.inputs + p.outputs[row]});")
    return "".join(f"    {line}\n" for line in lines)


def sum_of(terms: tuple[Term, ...]) -> str:
    """Return a step as an expression."""
    (first, number), *rest = terms
    text = {1: f"v{number}", -1: f"-v{number}"}.get(first, f"scaled<{first}>(v{number})")
    for c, other in rest:
        text = {1: f"{text} + v{other}", -1: f"{text} - v{other}"}.get(c, f"plus<{c}>({text}, v{other})")
    return text


def unrolled() -> str:
    """Return kernels/algorithms.h."""
    text, names = UNROLLED_HEADER, []
    for name, r, stride in UNROLLED:
        a = tw.algorithm(name, r, stride)
        bt, at = integers(a.BT), integers(a.AT)
        names.append(label(name, r, stride))
        text += (
            f"struct {names[-1]} {{\n"
            f"  static constexpr int m = {len(at)}, n = {len(bt)}, t = {len(bt[0])};\n"
            f"  static constexpr bool kShort = {is_short(a)};  // V of bytes fits 16 bits\n"
            f"  static constexpr short bt[] = {flat(bt)};\n"
            f"  static constexpr short at[] = {flat(at)};\n"
            f"{function('input', body(program(bt)))}{function('output', body(program(at)))}}};\n"
        )
    planar = [label(name, r) for name, r in PLANAR]
    text += "".join(unrolled_planar(name, r) for name, r in PLANAR)
    return text + (
        f"// clang-format on\n\n{each('named', names)}{each('planar', planar)}}}  // namespace tilewise::TILEWISE_SET\n"
    )


def unrolled_planar(name: str, r: int) -> str:
    """Return a planar algorithm of kernels/algorithms.h."""
    a = tw.algorithm(name, r)
    assert isinstance(a, Planar)
    assert a.factors is not None
    parts = {field: program(integers(getattr(a.factors, field))) for field in ("bt", "into", "back", "at")}
    n, into = len(a.factors.bt), parts["into"]
    assert len(a.factors.at[0]) == n, "arrays of kernels are for one number of parts"
    plain = {row: into.steps[step] for row, step in enumerate(into.outputs)}
    source = {
        row: terms[0][1] for row, terms in plain.items() if terms[1:] == () and terms[0][0] == 1 and terms[0][1] < n * n
    }
    sums: dict[int, int] = {}  # of rows that are alike only the first
    for row in plain:
        if row not in source:
            first = next(other for other in sums | {row: 0} if a.factors.into[other] == a.factors.into[row])
            source[row] = sums[first] if first != row else sums.setdefault(row, n * n + len(sums))
    places = [str(source[row]) for row in plain]
    return (
        f"struct {label(name, r)} {{\n"
        f'  static constexpr const char* name = "{a.name}";\n'
        f"  static constexpr int m = {a.m}, n = {n}, t = {a.tile}, taps = {a.taps}, kMade = {len(sums)};\n"
        f"  static constexpr bool kShort = {is_short(a)};  // V of bytes fits 16 bits\n"
        f"  static constexpr unsigned char source[] = {{{', '.join(places)}}};\n"
        f"{function('input', body(parts['bt']))}{function('into', lazy_body(into, sums))}"
        f"{function('back', lazy_body(parts['back'], {row: row for row in range(n * n)}))}"
        f"{function('output', body(parts['at']))}}};\n"
    )


def label(name: str, r: int, stride: int = 1) -> str:
    """Return an algorithm's name in C++."""
    text = name.replace("-", "_").replace("(", "_").rstrip(")")
    return f"{text}x{r}" if stride == 1 else f"{text}x{r}s{stride}"


def is_short(a: Algorithm) -> str:
    """Return whether V of bytes fits 16 bits."""
    return str(max(a.growth.input * 128, a.growth.non_negative_input * 255) <= 32767).lower()


def function(name: str, statements: str) -> str:
    """Return a program as a member function."""
    return (
        "  template <typename V, typename Get, typename Put>\n"
        f"  [[gnu::always_inline]] static void {name}(const Get& get, const Put& put) {{\n{statements}  }}\n"
    )


def each(which: str, names: list[str]) -> str:
    """Return the function that calls another one for all algorithms."""
    calls = "\n".join(f"  call(std::type_identity<{name}>{{}});" for name in names)
    return f"template <class Call>\nvoid for_each_{which}(const Call& call) {{\n{calls}\n}}\n\n"


def tests() -> str:
    """Return tests/kernel_algorithms.h."""
    data, cases = "", ""
    for number, (name, r, stride) in enumerate(TESTED):
        a = tw.algorithm(name, r, stride)
        bt, at, planar = integers(a.BT), integers(a.AT), str(isinstance(a, Planar)).lower()
        wide = fraction_bits(int(max(a.growth.input * 128, a.growth.non_negative_input * 256))) > MULTIPLIER_BITS
        data += constant("float", f"kBt{number}", bt) + constant("float", f"kAt{number}", at)
        cases += f'    {{"{name}({r}/{stride})", {a.m}, {r}, {len(bt)}, {stride}, {str(wide).lower()}, {planar},\n'
        cases += f"     matrix(kBt{number}), matrix(kAt{number})}},\n"
    text = f"{TESTS_HEADER}{data}\ninline const BilinearCase kAlgorithms[] = {{\n{cases}}};\n\n{WRAPPING_CASES}"
    data, cases = "", ""
    for number, (name, r) in enumerate(LOSSLESS):
        parts = wraparound(a := tw.algorithm(name, r), -128, 127).parts
        planar = ", true" if isinstance(a, Planar) else ""
        names = [f"kWrapping{part}{number}" for part in ("At", "G", "Bt")]
        data += "".join(constant("std::int32_t", n, part) for n, part in zip(names, parts, strict=True))
        cases += f'    {{"{name}({r})", {{{a.m}, {r}, {len(parts[2])}{planar}}},\n'
        cases += f"     {', '.join(f'matrix({n})' for n in names)}}},\n"
    text += f"{data}\ninline const WrappingCase kWrappingCases[] = {{\n{cases}"
    return text + "};\n// clang-format on\n\n}  // namespace tilewise::testing\n"


def constant(kind: str, name: str, rows: list[list[int]]) -> str:
    """Return a matrix as constant data."""
    return f"inline constexpr {kind} {name}[] = {flat(rows)};\n"


FILES = {NATIVE / "kernels" / "algorithms.h": unrolled, NATIVE / "tests" / "kernel_algorithms.h": tests}

if __name__ == "__main__":
    for path, source in FILES.items():
        path.write_text(source())
