"""Image files in folders."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = (".png", ".jpg", ".bmp")


def picture_files(root: Path, folder: str, inside: str, why: str) -> list[Path]:
    """List the image files of ``root/inside/folder`` or, failing that, of ``root/folder``, by name.

    Parameters
    ----------
    root : Path
        What --data-root names.
    folder, inside : str
        Such as ``"train"`` in ``"CamVid"``.
    why : str
        What the files are, for the error.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no image in it; the message says what belongs where.
    """
    places = (root / inside / folder, root / folder)
    for place in places:
        if place.is_dir():
            files = sorted(path for path in place.iterdir() if path.suffix.lower() in SUFFIXES)
            if files:
                return files
    kinds = ", ".join(f"*{suffix}" for suffix in SUFFIXES)
    raise FileNotFoundError(
        f"neither {places[0]} nor {places[1]} is a folder with images. Give --data-root DIR (in Python: root=DIR) "
        f"with {why} ({kinds}) in DIR/{inside}/{folder}"
    )


def read_picture(path: Path, *, colour: bool) -> npt.NDArray[np.uint8]:
    """Decode one file.

    Parameters
    ----------
    path : Path
        Any format that Pillow reads.
    colour : bool
        Convert to RGB; else the file has to hold one number for each pixel, which is left as it is.

    Returns
    -------
    uint8 array of shape (H, W, 3) or (H, W)

    Raises
    ------
    RuntimeError
        If Pillow is not installed.
    ValueError
        If the file is damaged, or of another kind.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise RuntimeError("image files need Pillow: pip install 'tilewise[train]'") from error
    if not path.is_file():  # a pipe would wait for ever
        raise ValueError(f"{path} is no file of an image")
    try:
        with Image.open(path) as image:
            if not colour and image.mode not in ("L", "P"):
                raise ValueError(f"its pixels are {image.mode}; they must be single bytes, as of a label map")  # noqa: TRY301
            return np.array(image.convert("RGB") if colour else image, np.uint8)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ValueError(f"{path} is not a readable image: {error}") from error
