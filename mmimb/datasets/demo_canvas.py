"""The canvas of a demo scene: an image and its labels at twice the final size; numpy only."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

HEIGHT, WIDTH, SCALE = 128, 160, 2
VOID, BORDER = 255, 2
ROAD, BUILDING, SKY, VEGETATION, CAR, PERSON, SIGN, BICYCLE = range(8)

Array = npt.NDArray[Any]
RNG = np.random.Generator
BRIGHT = ((.75, .12, .12), (.15, .25, .65), (.8, .7, .15), (.85, .85, .85), (.15, .45, .25), (.8, .45, .1))


class Canvas:
    """An image ``(H, W, 3)`` in [0, 1] and its labels ``(H, W)`` at twice the final size, with noise fields to texture them."""

    def __init__(self, rng: RNG) -> None:
        height, width = HEIGHT * SCALE, WIDTH * SCALE
        self.rng = rng
        self.y, self.x = np.mgrid[0:height, 0:width].astype(np.float32)
        self.image = np.zeros((height, width, 3), np.float32)
        self.label = np.full((height, width), VOID, np.uint8)
        self.fields = {cell: _noise(rng, height, width, cell) for cell in (3, 8, 24, 64)}

    def noise(self, cell: int) -> Array:
        """Return a smooth field of mean 0 and deviation 1 whose blobs have ``cell`` pixels."""
        return np.roll(self.fields[cell], tuple(self.rng.integers(0, 320, 2)), (0, 1))

    def fill(self, mask: Array, colour: Array, label: int | None = None, texture: tuple[tuple[int, float], ...] = ()) -> None:
        """Paint ``colour`` plus ``(cell, strength)`` noise where ``mask``; no label keeps the labels below."""
        shade = sum((strength * self.noise(cell)[mask] for cell, strength in texture), np.zeros(1, np.float32))
        self.image[mask] = colour + np.asarray(shade)[:, None]
        if label is not None:
            self.label[mask] = label

    def border(self, mask: Array) -> None:
        """Make the labels around ``mask`` void: ``BORDER`` pixels of the final size."""
        grown = np.pad(mask, BORDER * SCALE)
        for axis in (0, 1):
            shifts = range(-BORDER * SCALE, BORDER * SCALE + 1)
            grown = np.logical_or.reduce([np.roll(grown, s, axis) for s in shifts])
        inner = slice(BORDER * SCALE, -BORDER * SCALE)
        self.label[grown[inner, inner] & ~mask] = VOID

    def ellipse(self, cx: float, cy: float, rx: float, ry: float) -> Array:
        return ((self.x - cx) / rx)**2 + ((self.y - cy) / ry)**2 < 1

    def box(self, x0: float, x1: float, y0: float, y1: float) -> Array:
        return (self.x >= x0) & (self.x < x1) & (self.y >= y0) & (self.y < y1)

    def line(self, x0: float, y0: float, x1: float, y1: float, width: float) -> Array:
        length = max(np.hypot(x1 - x0, y1 - y0), 1e-3)
        along = ((self.x - x0) * (x1 - x0) + (self.y - y0) * (y1 - y0)) / length
        across = np.abs((self.x - x0) * (y1 - y0) - (self.y - y0) * (x1 - x0)) / length
        return (across < width / 2) & (along > 0) & (along < length)


def mixed_colour(rng: RNG, low: tuple[float, ...], high: tuple[float, ...], spread: float = .04) -> Array:
    """Return a random RGB between two, with a deviation of ``spread`` in each channel."""
    low_, high_ = np.array(low, np.float32), np.array(high, np.float32)
    return (low_ + rng.uniform() * (high_ - low_) + rng.normal(0, spread, 3)).astype(np.float32)


def bright_colour(rng: RNG) -> Array:
    """Return a colour that signs, shops and clothes share."""
    return (np.array(BRIGHT[rng.integers(len(BRIGHT))]) + rng.normal(0, .07, 3)).astype(np.float32)


def _noise(rng: RNG, height: int, width: int, cell: int) -> Array:
    """Return bilinear noise that repeats seamlessly, so that it can be rolled."""
    rows, columns = round(height / cell), round(width / cell)
    grid = rng.standard_normal((rows, columns)).astype(np.float32)
    y, x = np.arange(height, dtype=np.float32) * rows / height, np.arange(width, dtype=np.float32) * columns / width
    i, j, fy, fx = y.astype(int), x.astype(int), (y % 1)[:, None], (x % 1)[None]
    lines = grid[i] * (1 - fy) + grid[(i + 1) % rows] * fy
    field = lines[:, j] * (1 - fx) + lines[:, (j + 1) % columns] * fx
    return (field - field.mean()) / field.std()
