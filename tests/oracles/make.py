"""Pictures of every dialect and arrays of every type, made by Pillow and NumPy, each beside what they read in it.

    python tests/oracles/make.py FOLDER
    ORACLES=FOLDER cargo test -p models --test oracles -- --nocapture

`NAME.EXT` is the file; `NAME.EXT.expected` holds 32 x 32 x 3 bytes of a picture, or the numbers of an array in little-endian
f32. A picture of another size is averaged here in exact integers (every pixel repeated 32 times, then the mean of squares,
half up): the rule of models/src/data/picture.rs, computed another way. `NAME.EXT.tolerance` says how far a byte may be off,
and how far all of them on average: decoders of JPEG round their transforms differently. A file without `.expected` must be refused.
"""

import io
import itertools
import pathlib
import sys

import numpy as np
from PIL import Image, ImageOps

RNG = np.random.default_rng(1)
# How far a byte of a JPEG may be off, and all of them on average.
JPEG = (4, 1.0)


def smooth(height, width):
    """A picture with edges and gradients, as photographs have, and a little noise."""
    y, x = np.mgrid[0:height, 0:width].astype(float)
    planes = [120 + 100 * np.sin(x / (5 + c) + c) * np.cos(y / (7 - c)) for c in range(3)]
    noise = RNG.normal(0, 4, (height, width, 3))
    return np.clip(np.stack(planes, 2) + noise, 0, 255).astype(np.uint8)


def shrunk(rgb):
    """The square in the middle, averaged down to 32 x 32."""
    height, width, _ = rgb.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    square = rgb[top : top + side, left : left + side].astype(np.int64)
    if side == 32:
        return square.astype(np.uint8)
    large = square.repeat(32, 0).repeat(32, 1)
    sums = large.reshape(32, side, 32, side, 3).sum((1, 3))
    return ((2 * sums + side * side) // (2 * side * side)).astype(np.uint8)


def rgb_of(data):
    """What Pillow reads: the orientation honoured, transparency dropped, samples of 16 bits by their upper half."""
    picture = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    if picture.mode.startswith("I"):
        grey = (np.asarray(picture).astype(np.int64) >> 8).astype(np.uint8)
        return np.stack([grey] * 3, 2)
    if picture.mode in ("RGBA", "LA", "PA"):
        bands = picture.convert("RGBA").split()[:3]
        return np.stack([np.asarray(band) for band in bands], 2)
    return np.asarray(picture.convert("RGB"))


class Folder:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        self.count = 0

    def put(self, name, data, expected=None, tolerance=None):
        (self.path / name).write_bytes(data)
        if expected is not None:
            (self.path / (name + ".expected")).write_bytes(expected.tobytes())
        if tolerance is not None:
            (self.path / (name + ".tolerance")).write_text("%d %g" % tolerance)
        self.count += 1

    def picture(self, name, picture, tolerance=None, **options):
        buffer = io.BytesIO()
        picture.save(buffer, **options)
        data = buffer.getvalue()
        self.put(name, data, shrunk(rgb_of(data)), tolerance)


def pictures(folder):
    sides = [(32, 32), (33, 32), (50, 47), (31, 90), (100, 64), (7, 9), (1, 1)]
    for (h, w), mode in itertools.product(sides, ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]):
        colour = smooth(h, w)
        if mode == "I;16":
            picture = Image.fromarray((colour[:, :, 0].astype(np.uint16) << 8) | RNG.integers(0, 256, (h, w), np.uint16))
        elif mode == "P":
            picture = Image.fromarray(colour).quantize(RNG.integers(2, 256))
        else:
            picture = Image.fromarray(colour).convert(mode)
        for level in [0, 9]:
            folder.picture(f"{h}x{w}-{mode.replace(';', '')}-{level}.png", picture, format="PNG", compress_level=level)
    for bits in [1, 2, 4]:
        picture = Image.fromarray(smooth(40, 40)).quantize(2**bits)
        folder.picture(f"palette-{bits}.png", picture, format="PNG", bits=bits)
    picture = Image.fromarray(smooth(40, 40)).quantize(16)
    folder.picture("palette-transparent.png", picture, format="PNG", transparency=3)
    for (h, w), quality, sampling, progressive in itertools.product(
        sides[:5], [30, 75, 95], ["4:4:4", "4:2:2", "4:2:0"], [False, True]
    ):
        name = f"{h}x{w}-q{quality}-{sampling.replace(':', '')}{'-progressive' if progressive else ''}.jpg"
        picture = Image.fromarray(smooth(h, w))
        folder.picture(name, picture, JPEG, format="JPEG", quality=quality, subsampling=sampling, progressive=progressive)
    for mode in ["L", "CMYK"]:
        picture = Image.fromarray(smooth(40, 48)).convert(mode)
        folder.picture(f"{mode}.jpg", picture, JPEG, format="JPEG", quality=90)
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"format": "JPEG", "quality": 95, "subsampling": "4:4:4", "exif": exif}
        folder.picture(f"orientation-{orientation}.jpg", Image.fromarray(smooth(60, 44)), JPEG, **options)
    folder.picture("restarts.jpg", Image.fromarray(smooth(64, 64)), JPEG, format="JPEG", subsampling="4:4:4", restart_marker_blocks=2)
    for (h, w), mode in itertools.product(sides, ["1", "L", "RGB"]):
        kind = {"1": "pbm", "L": "pgm", "RGB": "ppm"}[mode]
        picture = Image.fromarray(smooth(h, w)).convert(mode)
        folder.picture(f"{h}x{w}.{kind}", picture, format="PPM")
        # The same in text, with a comment, white space of several kinds, and a CR LF.
        samples = np.asarray(picture).reshape(h, -1)
        if mode == "1":
            number, head = b"P1", b""
            samples = 1 - samples.astype(int)
        else:
            number, head = {"L": b"P2", "RGB": b"P3"}[mode], b"255\r\n"
        text = b"\t".join(str(int(v)).encode() for v in samples.ravel())
        data = number + b"\n# a comment\n%d  %d\n" % (w, h) + head + text + b"\n"
        folder.put(f"{h}x{w}-text.{kind}", data, shrunk(rgb_of(data)))


def arrays(folder):
    types = ["f2", "f4", "f8", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8"]
    for name, order, shape, version in itertools.product(types, "<>", [(7,), (3, 5), (2, 3, 4), (1,)], [(1, 0), (2, 0), (3, 0)]):
        dtype = np.dtype(order + name)
        values = RNG.normal(0, 50, shape) if dtype.kind == "f" else RNG.integers(0, 120, shape)
        array = values.astype(dtype)
        buffer = io.BytesIO()
        np.lib.format.write_array(buffer, array, version=version)
        size = "x".join(map(str, shape))
        folder.put(f"{'big' if order == '>' else 'little'}-{name}-{size}-v{version[0]}.npy", buffer.getvalue(), array.ravel().astype("<f4"))
    buffer = io.BytesIO()
    np.save(buffer, np.array([True, False]))
    folder.put("bool.npy", buffer.getvalue(), np.array([1, 0], "<f4"))
    # As the file has them: Fortran's order is not turned round, since only the numbers count.
    array = np.asfortranarray(RNG.normal(0, 1, (4, 6)).astype("<f4"))
    buffer = io.BytesIO()
    np.save(buffer, array)
    folder.put("fortran.npy", buffer.getvalue(), array.ravel("F"))
    for name, array in [
        ("complex", np.array([1 + 2j])),
        ("text", np.array(["a", "b"])),
        ("record", np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f4")])),
        ("object", np.array([{"a": 1}, None], dtype=object)),
        ("datetime", np.array(["2026-11-29"], dtype="datetime64[D]")),
        ("empty", np.zeros((0, 3), "f4")),
        ("nan", np.array([1.0, np.nan], "f4")),
        ("infinity", np.array([np.inf], "f8")),
        ("beyond-f32", np.array([1e300])),
    ]:
        buffer = io.BytesIO()
        np.save(buffer, array, allow_pickle=True)
        folder.put(f"refused-{name}.npy", buffer.getvalue())


def main():
    folder = Folder(sys.argv[1])
    pictures(folder)
    arrays(folder)
    print(f"{folder.count} files by Pillow {Image.__version__} and NumPy {np.__version__} in {folder.path}")


main()
