"""scikit-learn's digits: 1,797 small scans that come with the library and need no download."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from tilewise.data.catalogue import FACTS, Split

TEST_COUNT = 500


def read_digits(split: Split) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read one split; 8 x 8 pixels of 17 grey levels are stretched to 0..255 and bilinearly to 32 x 32.

    Returns
    -------
    images : uint8 array of shape (1297, 1, 32, 32) for train, (500, 1, 32, 32) for test
        White on black.
    labels : int64 array of shape (1297,) or (500,)
        In [0, 9].

    Notes
    -----
    The set has no split of its own. Here the images are put in order of their label (within a label as
    published), and the 500 at positions ``floor((i + 1/2) * 1797 / 500)`` are the test set. So no chance is
    involved, and each class gives its share to within one image, evenly over the order of publication.
    """
    from sklearn.datasets import load_digits

    source = load_digits()
    labels = source.target.astype(np.int64)
    by_label = np.argsort(labels, kind="stable")
    test = np.zeros(len(labels), dtype=bool)
    test[by_label[(2 * np.arange(TEST_COUNT) + 1) * len(labels) // (2 * TEST_COUNT)]] = True
    chosen = test if split == "test" else ~test

    grey = torch.from_numpy(source.images[chosen]).float()[:, None] * (255 / 16)
    large = functional.interpolate(grey, size=FACTS["digits"].shape[1:], mode="bilinear", align_corners=False)
    return large.round().to(torch.uint8).numpy(), labels[chosen]
