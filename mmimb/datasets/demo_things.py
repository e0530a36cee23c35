"""The small and rare things of a demo scene: each function paints one that stands at ``(x, y)`` and returns its mask.

``u`` is the distance of ``y`` from the horizon in pixels: one metre there has ``u / 1.5`` pixels.
"""
from __future__ import annotations

import numpy as np

from .demo_canvas import BICYCLE, CAR, PERSON, SIGN, VOID, Array, Canvas, bright_colour, mixed_colour

# How many of each a scene holds on average.
FREQUENCY = {CAR: .9, PERSON: .7, SIGN: .6, BICYCLE: .2, VOID: .3}


def draw_car(canvas: Canvas, x: float, y: float, u: float) -> Array:
    """From behind or from the side, in any colour of cars, road and houses."""
    rng, metre = canvas.rng, u / 1.5
    side = rng.uniform() < .4
    half, tall = (2.1 if side else .9) * metre, rng.uniform(1.35, 1.75) * metre
    paint = bright_colour(rng) if rng.uniform() < .35 else mixed_colour(rng, (.08,) * 3, (.85,) * 3, .03)
    waist, cabin = y - .5 * tall, half * rng.uniform(.55, .75)
    shift = rng.uniform(-.15, .15) * half if side else 0.
    body = canvas.box(x - half, x + half, waist, y - .12 * tall)
    slope = cabin + (canvas.y - waist) * .35
    top = (np.abs(canvas.x - x - shift) < slope) & (canvas.y >= y - tall) & (canvas.y < waist + 1)
    _shadow(canvas, x, y, half)
    below = canvas.box(x - .92 * half, x + .92 * half, waist, y - .04 * tall)
    canvas.fill(below, mixed_colour(rng, (.03,) * 3, (.12,) * 3, .01))
    canvas.fill(body | top, paint, None, ((3, .03), (8, .03)))
    glass = (np.abs(canvas.x - x - shift) < slope - .12 * metre) & (canvas.y >= y - .9 * tall) & (canvas.y < waist)
    canvas.fill(glass, mixed_colour(rng, (.08, .1, .12), (.45, .52, .58)), None, ((8, .05),))
    wheels = np.zeros_like(body)
    for at in (-.62, .62) if side else (-.75, .75):
        radius = .32 * metre
        wheels |= canvas.ellipse(x + at * half, y - radius, radius if side else .5 * radius, radius)
    canvas.fill(wheels, mixed_colour(rng, (.03,) * 3, (.15,) * 3, .01))
    if not side:
        for at in (-.75, .75):
            lamp = canvas.ellipse(x + at * half, waist + .12 * tall, .13 * metre + .5, .1 * metre + .5)
            canvas.fill(lamp, mixed_colour(rng, (.6, .1, .1), (.8, .75, .6)))
    return body | top | below | wheels


def draw_person(canvas: Canvas, x: float, y: float, u: float) -> Array:
    """Standing or walking; clothes of any colour."""
    rng = canvas.rng
    tall = rng.uniform(1.45, 1.9) * u / 1.5
    wide, stride, lean = .14 * tall * rng.uniform(.8, 1.25), rng.uniform(.03, .14) * tall, rng.normal(0, .02) * tall
    _shadow(canvas, x, y, wide)
    legs = np.zeros_like(canvas.label, bool)
    for at in (-1, 1):
        legs |= canvas.line(x, y - .5 * tall, x + at * stride, y, .1 * tall + 1)
    canvas.fill(legs, mixed_colour(rng, (.08, .08, .1), (.45, .42, .42), .05))
    torso = canvas.ellipse(x + lean, y - .64 * tall, wide, .21 * tall)
    for at in (-1, 1):
        torso |= canvas.line(x + lean, y - .78 * tall, x + at * wide * rng.uniform(.9, 1.5), y - .47 * tall, .06 * tall + 1)
    clothes = bright_colour(rng) if rng.uniform() < .5 else mixed_colour(rng, (.1,) * 3, (.7,) * 3)
    canvas.fill(torso, clothes, None, ((3, .05),))
    head = canvas.ellipse(x + 1.5 * lean, y - .92 * tall, .055 * tall + .6, .075 * tall + .6)
    canvas.fill(head, mixed_colour(rng, (.3, .2, .15), (.8, .62, .5), .03))
    return legs | torso | head


def draw_sign(canvas: Canvas, x: float, y: float, u: float) -> Array:
    """A board on a pole: disc, triangle or rectangle."""
    rng, metre = canvas.rng, u / 1.5
    tall, size = rng.uniform(1.9, 2.8) * metre, rng.uniform(.32, .55) * metre + .8
    top = max(y - tall, size + 1)
    pole = canvas.box(x - .05 * metre - .8, x + .05 * metre + .8, top, y)
    canvas.fill(pole, mixed_colour(rng, (.25,) * 3, (.6,) * 3, .02))

    def board(scale: float) -> Array:
        reach = size * scale
        if shape == 0:
            return canvas.ellipse(x, top, reach, reach)
        if shape == 1:
            return (np.abs(canvas.x - x) < (canvas.y - top + reach) * .6) & (canvas.y < top + reach)
        return canvas.box(x - reach, x + reach, top - .8 * reach, top + .8 * reach)

    shape, plate = rng.integers(3), bright_colour(rng)
    canvas.fill(board(1.), plate, None, ((3, .03),))
    canvas.fill(board(.62), bright_colour(rng) if rng.uniform() < .5 else plate * .5 + .45)
    return pole | board(1.)


def draw_bicycle(canvas: Canvas, x: float, y: float, u: float) -> Array:
    """Two wheels and a frame; what is seen between the spokes is labelled bicycle as well."""
    rng, metre = canvas.rng, u / 1.5
    radius, apart, turn = .38 * metre + 1, .56 * metre + 1, rng.uniform(.55, 1.)
    thick = .07 * metre + 1.
    wheels, rims = np.zeros_like(canvas.label, bool), np.zeros_like(canvas.label, bool)
    for at in (-1, 1):
        cx = x + at * apart * turn
        wheel = canvas.ellipse(cx, y - radius, radius * turn, radius)
        rims |= wheel & ~canvas.ellipse(cx, y - radius, max((radius - thick) * turn, .5), radius - thick)
        wheels |= wheel
    canvas.fill(rims, mixed_colour(rng, (.04,) * 3, (.3,) * 3, .02))
    d = rng.choice((-1., 1.)) * turn
    joints = {'rear': (-apart * d, radius), 'pedal': (-.1 * d * apart, radius), 'seat': (-.35 * d * apart, 2.1 * radius),
              'bar': (.75 * d * apart, 2.25 * radius), 'front': (apart * d, radius)}
    frame = np.zeros_like(wheels)
    for a, b in (('rear', 'pedal'), ('rear', 'seat'), ('pedal', 'seat'), ('pedal', 'bar'), ('seat', 'bar'), ('bar', 'front')):
        (ax, ay), (bx, by) = joints[a], joints[b]
        frame |= canvas.line(x + ax, y - ay, x + bx, y - by, thick + .6)
    saddle = canvas.ellipse(x + joints['seat'][0], y - joints['seat'][1], .14 * metre + 1, .06 * metre + 1)
    canvas.fill(frame, bright_colour(rng) if rng.uniform() < .6 else mixed_colour(rng, (.05,) * 3, (.5,) * 3))
    canvas.fill(saddle, mixed_colour(rng, (.04,) * 3, (.2,) * 3, .02))
    return wheels | frame | saddle


def draw_object(canvas: Canvas, x: float, y: float, u: float) -> Array:
    """Something that has no class: a bin, a box, a bag."""
    rng, metre = canvas.rng, u / 1.5
    wide, tall = rng.uniform(.2, .5) * metre + 1, rng.uniform(.4, 1.1) * metre + 1
    box = rng.uniform() < .6
    mask = canvas.box(x - wide, x + wide, y - tall, y) if box else canvas.ellipse(x, y - tall / 2, wide, tall / 2)
    paint = bright_colour(rng) if rng.uniform() < .4 else mixed_colour(rng, (.1,) * 3, (.6,) * 3)
    canvas.fill(mask, paint, None, ((3, .05),))
    return mask


DRAW = {CAR: draw_car, PERSON: draw_person, SIGN: draw_sign, BICYCLE: draw_bicycle, VOID: draw_object}


def _shadow(canvas: Canvas, x: float, y: float, half: float) -> None:
    canvas.image[canvas.ellipse(x, y, half * 1.15, half * .18 + 1)] *= canvas.rng.uniform(.45, .8)
