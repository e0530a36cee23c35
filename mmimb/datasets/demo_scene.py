"""Draws one street scene with its labels: numpy only, a function of its random generator.

Everything is drawn at twice the size and reduced, far things first. ``u`` is the distance of a point on the ground from the
horizon in pixels: with the camera at 1.5 m, a thing of height h (metres) there is ``u * h / 1.5`` pixels tall.
"""
from __future__ import annotations

import numpy as np

from .demo_canvas import BUILDING, ROAD, SCALE, SKY, VEGETATION, Array, Canvas, bright_colour, mixed_colour
from .demo_canvas import RNG as Generator
from .demo_things import DRAW, FREQUENCY


def draw_scene(rng: Generator) -> tuple[Array, Array]:
    """Return a uint8 ``(H, W, 3)`` image and its uint8 ``(H, W)`` labels."""
    canvas = Canvas(rng)
    height, width = canvas.label.shape
    horizon, vanish = rng.uniform(.36, .5) * height, rng.uniform(.3, .7) * width
    _sky(canvas, horizon)
    _buildings(canvas, horizon, vanish)
    ground = _ground(canvas, horizon, vanish)
    _trees(canvas, horizon, ground)
    placed = [(float(rng.uniform(.14, .68) * (height - horizon)), kind)
              for kind, frequency in FREQUENCY.items() for _ in range(rng.poisson(frequency))]
    for u, kind in sorted(placed):
        x = rng.uniform(.02, .98) * width
        mask = DRAW[kind](canvas, x, horizon + u, u)
        canvas.border(mask)
        canvas.label[mask] = kind
    return _photograph(canvas), canvas.label[1::SCALE, 1::SCALE]


def _sky(canvas: Canvas, horizon: float) -> None:
    rng = canvas.rng
    top = mixed_colour(rng, (.5, .52, .55), (.35, .55, .85), .05)
    low = mixed_colour(rng, (.7, .68, .66), (.85, .85, .9), .05)
    t = np.clip(canvas.y / horizon, 0, 1)[..., None]
    clouds = np.clip(canvas.noise(24) + canvas.noise(64), 0, 2)[..., None] * rng.uniform(0, .14)
    canvas.image[:] = top * (1 - t) + low * t + clouds
    canvas.label[:] = SKY


def _buildings(canvas: Canvas, horizon: float, vanish: float) -> None:
    rng, (height, width) = canvas.rng, canvas.label.shape
    x = rng.uniform(-40, 0)
    while x < width:
        wide = rng.uniform(28, 90)
        near = abs(x + wide / 2 - vanish) / width
        tall = rng.uniform(.1, .28) * height + near * rng.uniform(.2, .75) * height
        if rng.uniform() < .85:
            _facade(canvas, x, x + wide, horizon - tall, .5 + near)
        x += wide * rng.uniform(.8, 1.1)


def _facade(canvas: Canvas, x0: float, x1: float, top: float, size: float) -> None:
    rng = canvas.rng
    wall = mixed_colour(rng, (.35, .33, .33), (.74, .62, .52), .035)
    roof = canvas.x * 0 + top if rng.uniform() < .6 else top + np.abs(canvas.x - (x0 + x1) / 2) * rng.uniform(.2, .6)
    mask = (canvas.x >= x0) & (canvas.x < x1) & (canvas.y >= roof)
    canvas.fill(mask, wall, BUILDING, ((3, .025), (24, .03)))
    step_x, step_y = rng.uniform(9, 17) * size + 3, rng.uniform(11, 20) * size + 3
    share = rng.uniform(.35, .65)
    panes = mask & ((canvas.x - x0) % step_x < share * step_x) & ((canvas.y - top) % step_y < share * step_y)
    panes &= (canvas.x > x0 + 3) & (canvas.y > roof + 5)
    canvas.fill(panes, mixed_colour(rng, (.12, .14, .18), (.6, .68, .75)), None, ((8, .05),))
    if rng.uniform() < .3:  # a shop sign or a poster belongs to the house
        y, x = top + rng.uniform(.2, .9) * 60 * size, rng.uniform(x0, x1)
        poster = mask & canvas.box(x, x + rng.uniform(6, 22), y, y + rng.uniform(5, 14))
        canvas.fill(poster, bright_colour(rng), None, ((3, .05),))


def _ground(canvas: Canvas, horizon: float, vanish: float) -> Array:
    """Paint road and verges; return the height of the ground's far edge for every column."""
    rng, height = canvas.rng, len(canvas.label)
    away = np.abs(canvas.x[0] - vanish)
    edge = horizon + 2 + np.clip(away - rng.uniform(10, 60), 0, None) * rng.uniform(.04, .2) + 1.2 * canvas.noise(8)[0]
    below = canvas.y >= edge[None]
    canvas.fill(below, mixed_colour(rng, (.2, .3, .12), (.42, .44, .22), .04), VEGETATION, ((3, .05), (24, .04)))
    half = (canvas.y - horizon) * rng.uniform(1.1, 3.2) + 8 + 1.5 * canvas.noise(8)
    road = below & (np.abs(canvas.x - vanish) < half)
    canvas.fill(road, mixed_colour(rng, (.25, .25, .27), (.5, .49, .47), .02), ROAD, ((3, .03), (64, .03)))
    for lane in (-.85, 0., .85):
        if rng.uniform() < .6:
            at = vanish + lane * half
            dash = (np.log(np.clip(canvas.y - horizon, 1, None)) * rng.uniform(4, 9) % 1 < .5) | (lane != 0)
            mark = road & (np.abs(canvas.x - at) < .018 * half) & dash
            canvas.fill(mark, mixed_colour(rng, (.65, .65, .6), (.85, .85, .8), .03))
    if rng.uniform() < .6:  # shadow of something outside
        y = rng.uniform(horizon, height)
        canvas.image[road & (np.abs(canvas.y - y + .3 * (canvas.x - vanish)) < rng.uniform(8, 30))] *= rng.uniform(.5, .75)
    return edge


def _trees(canvas: Canvas, horizon: float, edge: Array) -> None:
    rng, width = canvas.rng, canvas.label.shape[1]
    for _ in range(rng.poisson(2.6)):
        x, radius = rng.uniform(0, width - 1), rng.uniform(14, 46)
        foot = edge[int(x)] + rng.uniform(0, 12)
        hedge = rng.uniform() < .25
        cy = foot - (radius * .4 if hedge else rng.uniform(1.1, 1.8) * radius)
        if not hedge:
            trunk = canvas.box(x - 2.5, x + 2.5, cy, foot)
            canvas.fill(trunk, mixed_colour(rng, (.2, .15, .1), (.35, .28, .2), .02), VEGETATION)
        reach = ((canvas.x - x) / (radius * (1.7 if hedge else 1)))**2 + ((canvas.y - cy) / (radius * .9))**2
        crown = (reach + .22 * canvas.noise(8) < 1) & (canvas.y < foot)
        canvas.fill(crown, mixed_colour(rng, (.12, .22, .08), (.42, .42, .2), .04), VEGETATION, ((3, .07), (8, .06)))


def _photograph(canvas: Canvas) -> Array:
    """Light, reduction to the final size, sensor noise."""
    rng, (height, width) = canvas.rng, canvas.label.shape
    light = 1 + rng.normal(0, .15) * (canvas.x / width - .5) + rng.normal(0, .1) * canvas.noise(64)
    image = canvas.image * light[..., None] * rng.normal(1, .05, 3).astype(np.float32)
    image = np.clip(image, 0, 1.3)**rng.uniform(.75, 1.25) * rng.uniform(.75, 1.15)
    image = image.reshape(height // SCALE, SCALE, width // SCALE, SCALE, 3).mean((1, 3))
    if rng.uniform() < .35:
        image = (image + np.roll(image, 1, 0) + np.roll(image, 1, 1) + np.roll(image, (1, 1), (0, 1))) / 4
    image = image + rng.normal(0, rng.uniform(.01, .045), image.shape)
    return np.clip(image * 255, 0, 255).astype(np.uint8)
