"""CIFAR-10's test images, normalised as a network's file says."""

import pathlib

import numpy as np

RECORD = 1 + 3 * 32 * 32


def read_test(folder):
    """Labels [N] and pixels [N, 3, 32, 32] (bytes) of a folder in binary format, wherever in it the file is."""
    path = next(pathlib.Path(folder).rglob("test_batch.bin"))
    records = np.fromfile(path, np.uint8).reshape(-1, RECORD)
    return records[:, 0].astype(np.int64), records[:, 1:].reshape(-1, 3, 32, 32)


def normalise(pixels, mean, std):
    """(p / 255 - mean) / std for each channel, rounded to 32 bits once."""
    mean, std = (np.array(values, np.float64).reshape(1, 3, 1, 1) for values in (mean, std))
    return ((pixels / 255.0 - mean) / std).astype(np.float32)


def numbers(text):
    """'0.1,0.2,0.3' as floats: the form in which files keep mean and deviation."""
    return [float(number) for number in text.split(",")]
