"""Where the C interface is: its header, its libraries, and what CMake and pkg-config need to find them."""

from __future__ import annotations

from pathlib import Path


def c_interface() -> dict[str, Path]:
    """Return the folders of the C interface, as they were installed beside the native module.

    Returns
    -------
    dict of str to Path
        ``include`` (tilewise.h), ``lib`` (libtilewise.so, libtilewise.a), ``cmake`` (for ``tilewise_DIR``) and
        ``pkgconfig`` (for ``PKG_CONFIG_PATH``).

    Raises
    ------
    FileNotFoundError
        If the native part was built without them.
    """
    from tilewise import _native

    package = Path(_native.__file__).parent
    lib = package / "lib"
    folders = {
        "include": package / "include", "lib": lib, "cmake": lib / "cmake" / "tilewise", "pkgconfig": lib / "pkgconfig",
    }  # fmt: skip
    for folder in folders.values():
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no {folder}: the native part was built with TILEWISE_LIBRARIES=OFF")
    return folders
