"""Where the C interface is: its header, its libraries, and what CMake and pkg-config need to find them."""

from __future__ import annotations

from pathlib import Path


def c_interface() -> dict[str, Path]:
    """Return the folders of the C interface, as they were installed beside the native module.

    Returns
    -------
    dict of str to Path
        ``include`` (tilewise.h), ``lib`` (libtilewise.so, libtilewise.a, libtilewise_onnxruntime.so), ``cmake`` (for
        ``tilewise_DIR``) and ``pkgconfig`` (for ``PKG_CONFIG_PATH``).

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


def onnx_runtime_library() -> str:
    """Return the path of the library by which ONNX Runtime runs Tilewise programs.

    Returns
    -------
    str
        What ``onnxruntime.SessionOptions.register_custom_ops_library`` takes. It needs ONNX Runtime 1.16 or later.

    Raises
    ------
    FileNotFoundError
        If the native part was built without it.

    Examples
    --------
    >>> options = onnxruntime.SessionOptions()
    >>> options.register_custom_ops_library(tilewise.onnx_runtime_library())
    >>> session = onnxruntime.InferenceSession("net.onnx", options)
    """
    library = c_interface()["lib"] / "libtilewise_onnxruntime.so"
    if not library.is_file():
        raise FileNotFoundError(f"there is no {library}: the native part was built without it")
    return str(library)
