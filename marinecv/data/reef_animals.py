"""The animals of the reef: one small function a class, each drawing itself once on a transparent square.

Every animal looks to the right in a frame of [-1, 1] x [-1, 1] (x to the right, y downwards); the scene turns, scales
and colours it. `ANIMALS` maps a class name to its function `draw(sketch, rng)`.
"""

from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
Points = list[tuple[float, float]]
BLACK, WHITE, ORANGE = (22, 24, 30), (236, 238, 236), (232, 122, 34)


class Sketch:
    """A transparent square of `pixels` x `pixels` to draw on, in units of [-1, 1]."""

    def __init__(self, pixels: int, bend: float = 0.0):
        self.image = Image.new("RGBA", (pixels, pixels))
        self._draw = ImageDraw.Draw(self.image)
        self._half = pixels / 2
        self._bend = bend

    def _pixels(self, points: np.ndarray) -> list[tuple[float, float]]:
        x, y = points[:, 0], points[:, 1] + self._bend * (points[:, 0] ** 2 - 0.3)
        return [tuple(point) for point in np.stack([x * 0.94 + 1, y * 0.94 + 1], axis=1) * self._half]

    def shape(self, points: Points, colour: Colour, opacity: int = 255, rounds: int = 3) -> None:
        """Fill a closed outline; every round of corner cutting (Chaikin 1974) makes it smoother."""
        outline = np.array(points, dtype=float)
        for _ in range(rounds):
            ahead = np.roll(outline, -1, axis=0)
            outline = np.stack([0.75 * outline + 0.25 * ahead, 0.25 * outline + 0.75 * ahead], axis=1).reshape(-1, 2)
        self._draw.polygon(self._pixels(outline), fill=(*colour, opacity))

    def dot(self, x: float, y: float, radius: float, colour: Colour, opacity: int = 255) -> None:
        """Fill a circle."""
        turn = np.linspace(0, 2 * np.pi, 20, endpoint=False)
        circle = np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], axis=1)
        self._draw.polygon(self._pixels(circle), fill=(*colour, opacity))

    def line(self, points: Points, width: float, colour: Colour, opacity: int = 255) -> None:
        """Draw an open line, `width` in units of the frame."""
        pixels = max(1, round(width * self._half))
        self._draw.line(self._pixels(np.array(points)), fill=(*colour, opacity), width=pixels, joint="curve")

    def pattern(self, paint: Callable[[], None]) -> None:
        """Paint on top of what is there without leaving its outline."""
        outline = self.image.getchannel("A")
        paint()
        self.image.putalpha(outline)


def tint(rng: np.random.Generator, colours: list[Colour], spread: int = 24) -> Colour:
    """One of the colours, a little off."""
    return tuple(int(part) for part in np.clip(rng.choice(colours) + rng.integers(-spread, spread + 1, 3), 0, 255))


def shade(colour: Colour, factor: float) -> Colour:
    """The colour made darker (factor < 1) or lighter (> 1)."""
    return tuple(int(min(255, part * factor)) for part in colour)


def fish(sketch: Sketch, rng: np.random.Generator) -> None:
    """A bony fish from the side: deep or slender, plain or striped, forked tail."""
    colours = [(236, 150, 50), (240, 214, 90), (90, 130, 200), (168, 176, 180), (110, 112, 118), (196, 90, 70)]
    body, mark = tint(rng, colours), tint(rng, [*colours, WHITE, BLACK])
    deep, fork = rng.uniform(0.24, 0.52), rng.uniform(0.22, 0.42)
    fin = shade(body, rng.uniform(0.6, 1.1))
    sketch.shape([(-0.5, -0.06), (-1, -fork), (-0.84, 0), (-1, fork), (-0.5, 0.06)], fin, rounds=2)
    sketch.shape([(0.4, -0.6 * deep), (0.1, -deep - 0.2), (-0.5, -0.9 * deep), (-0.5, -0.1)], fin, rounds=2)
    sketch.shape([(0.0, 0.7 * deep), (-0.3, deep + 0.14), (-0.5, 0.6 * deep), (-0.45, 0.1)], fin, rounds=2)
    back = [(0.98, 0.02), (0.75, -0.7 * deep), (0.25, -1.15 * deep), (-0.3, -0.75 * deep), (-0.68, -0.06)]
    sketch.shape(back + [(x, -y) for x, y in reversed(back[1:])], body)

    def markings() -> None:
        sketch.shape([(0.95, 0.1), (0.2, 0.45 * deep), (-0.6, 0.05), (-0.4, deep), (0.3, 1.3 * deep)], shade(body, 1.3))
        if rng.random() < 0.5:
            for x in np.linspace(0.45, -0.4, rng.integers(2, 5)):
                sketch.line([(x, -1), (x - 0.06, 1)], rng.uniform(0.06, 0.14), mark)

    sketch.pattern(markings)
    sketch.shape([(0.3, 0.05), (0.02, -0.02), (-0.05, 0.2)], fin, rounds=2)
    sketch.dot(0.68, -0.2 * deep, 0.09, WHITE)
    sketch.dot(0.69, -0.2 * deep, 0.055, BLACK)


def shark(sketch: Sketch, rng: np.random.Generator) -> None:
    """A shark from the side: torpedo, pale belly, high dorsal fin, the upper lobe of the tail longer."""
    body = tint(rng, [(104, 118, 134), (120, 116, 108), (84, 102, 120), (140, 146, 150), (120, 108, 84)], 14)
    fin, thick = shade(body, 0.85), rng.uniform(0.85, 1.2)
    tail = [(-0.62, -0.04), (-0.98, -0.46), (-0.9, -0.44), (-0.8, -0.02), (-0.92, 0.2), (-0.64, 0.05)]
    sketch.shape(tail, fin, rounds=1)
    sketch.shape([(0.24, -0.14), (0.0, -0.5), (-0.1, -0.5), (-0.14, -0.12)], fin, rounds=1)
    sketch.shape([(-0.42, -0.06), (-0.58, -0.22), (-0.6, -0.04)], fin, rounds=1)
    sketch.shape([(-0.3, 0.06), (-0.5, 0.24), (-0.5, 0.05)], fin, rounds=1)
    back = [(1.0, -0.01), (0.84, -0.13), (0.4, -0.23), (0.0, -0.22), (-0.45, -0.12), (-0.78, -0.04)]
    front = [(-0.78, 0.03), (-0.4, 0.11), (0.05, 0.19), (0.5, 0.17), (0.84, 0.1)]
    sketch.shape([(x, thick * y) for x, y in back + front], body)

    def belly() -> None:
        pale = shade(body, 1.75)
        sketch.shape([(1.0, 0.03), (0.5, 0.06), (0.0, 0.09), (-0.7, 0.03), (-0.4, 0.4), (0.5, 0.4)], pale, rounds=2)
        if rng.random() < 0.3:
            for x, y in zip(rng.uniform(-0.6, 0.6, 9), rng.uniform(-0.16, 0.0, 9), strict=True):
                sketch.dot(x, y, 0.03, shade(body, 0.55))

    sketch.pattern(belly)
    sketch.shape([(0.42, 0.07), (0.02, 0.48), (-0.04, 0.46), (0.14, 0.1)], fin, rounds=1)
    for x in (0.46, 0.51, 0.56):
        sketch.line([(x, -0.07), (x - 0.02, 0.05)], 0.014, shade(body, 0.5))
    sketch.line([(0.93, 0.05), (0.84, 0.08), (0.76, 0.05)], 0.016, shade(body, 0.4))
    sketch.dot(0.82, -0.04, 0.026, BLACK)


def stingray(sketch: Sketch, rng: np.random.Generator) -> None:
    """A ray from above: a broad disc with two wings, a whip of a tail, sometimes spotted."""
    body = tint(rng, [(120, 100, 78), (104, 108, 112), (148, 128, 98), (70, 74, 84), (160, 154, 140)], 16)
    wing, sweep = rng.uniform(0.62, 0.9, 2), rng.uniform(-0.1, 0.15)
    sway = rng.uniform(-0.12, 0.12)
    sketch.line([(-0.2, 0), (-0.55, sway), (-0.8, 0), (-1.0, -sway)], 0.035, shade(body, 0.7))
    sketch.shape([(-0.3, -0.1), (-0.42, -0.18), (-0.42, 0.18), (-0.3, 0.1)], shade(body, 0.8), rounds=2)
    left = [(0.8, -0.05), (0.62, -0.3), (0.3, -0.75), (sweep, -1.15 * wing[0]), (-0.12, -0.5), (-0.42, -0.12)]
    right = [(x, -y * wing[1] / wing[0]) for x, y in reversed(left)]
    sketch.shape(left + right, shade(body, 0.75))
    sketch.shape([(0.93 * x + 0.02, 0.9 * y) for x, y in left + right], body)

    def markings() -> None:
        sketch.shape([(0.6, -0.1), (0.3, -0.2), (-0.4, -0.05), (-0.4, 0.05), (0.3, 0.2), (0.6, 0.1)], shade(body, 1.15))
        if rng.random() < 0.4:
            spot = shade(body, rng.choice([0.5, 1.7]))
            for x, y in zip(rng.uniform(-0.3, 0.5, 14), rng.uniform(-0.6, 0.6, 14), strict=True):
                sketch.dot(x, y, 0.04, spot)

    sketch.pattern(markings)
    for y in (-0.15, 0.15):
        sketch.dot(0.5, y, 0.06, shade(body, 0.6))
        sketch.dot(0.52, y, 0.03, BLACK)


def starfish(sketch: Sketch, rng: np.random.Generator) -> None:
    """A sea star from above: five arms, each with its own length and bend, dotted ridges."""
    body = tint(rng, [(222, 110, 50), (190, 60, 60), (130, 90, 150), (200, 160, 100), (84, 110, 160), (150, 110, 80)])
    waist, ridge = rng.uniform(0.24, 0.4), shade(body, rng.choice([0.65, 1.35]))
    outline, tips = [], []
    for arm in range(5):
        angle = 2 * np.pi * arm / 5 + rng.normal(0, 0.09)
        length, curl = rng.uniform(0.82, 1.05), rng.normal(0, 0.12)
        for turn, radius in ((-0.5, waist), (-0.13 + curl, length), (0.13 + curl, length)):
            outline.append((radius * np.cos(angle + turn), radius * np.sin(angle + turn)))
        tips.append((angle, curl, length))
    sketch.shape(outline, shade(body, 0.8), rounds=2)
    sketch.shape([(0.88 * x, 0.88 * y) for x, y in outline], body, rounds=2)
    for angle, curl, length in tips:
        for step in np.linspace(0.12, 0.75, 6):
            turn = angle + curl * step
            sketch.dot(length * step * np.cos(turn), length * step * np.sin(turn), 0.045 * (1.1 - step), ridge)


def jellyfish(sketch: Sketch, rng: np.random.Generator) -> None:
    """A jelly swimming to the right: a translucent bell, frilled arms, long threads."""
    body = tint(rng, [(222, 226, 240), (236, 176, 150), (180, 150, 220), (130, 180, 226), (226, 160, 80)])
    rim, high = rng.uniform(0.42, 0.66), rng.uniform(0.7, 1.0)
    for y in np.linspace(-0.8, 0.8, rng.integers(5, 10)) * rim:
        reach, wave = rng.uniform(-1.0, -0.6), rng.uniform(0.02, 0.07)
        thread = [(x, y + wave * np.sin(9 * x + 7 * y)) for x in np.linspace(0.25, reach, 12)]
        sketch.line(thread, 0.016, shade(body, 0.9), opacity=150)
    for y in np.linspace(-0.3, 0.3, 3) * rim:
        frill = [(x, y + 0.05 * np.sin(14 * x + 20 * y)) for x in np.linspace(0.35, rng.uniform(-0.7, -0.2), 12)]
        sketch.line(frill, 0.07, shade(body, 1.1), opacity=140)
    edge = 0.24
    bell = [(edge, -rim), (edge + 0.35 * high, -rim), (edge + 0.8 * high, -0.45 * rim)]
    bell += [(x, -y) for x, y in reversed(bell)] + [(edge + 0.06, 0.5 * rim), (edge, 0), (edge + 0.06, -0.5 * rim)]
    sketch.shape(bell, body, opacity=int(rng.integers(110, 190)))
    inner = [(edge + 0.12 + 0.72 * (x - edge), 0.7 * y) for x, y in bell]
    sketch.shape(inner, shade(body, 1.15), opacity=int(rng.integers(150, 220)))
    for y in (-0.4, 0.0, 0.4):
        sketch.dot(edge + 0.3 * high, y * rim, 0.09, shade(body, 0.75), opacity=190)


def penguin(sketch: Sketch, rng: np.random.Generator) -> None:
    """A penguin upright, looking right: slender, black coat, long flippers, thin beak."""
    coat = tint(rng, [BLACK, (50, 54, 66), (70, 76, 92)], 10)
    swing = rng.uniform(0.0, 0.3)
    for x in (-0.12, 0.12):
        sketch.shape([(x - 0.1, 0.88), (x + 0.18, 0.98), (x - 0.14, 1.0)], shade(ORANGE, 0.8), rounds=1)
    sketch.shape([(-0.25, -0.3), (-0.45 - swing, 0.3), (-0.36 - swing, 0.4), (-0.2, 0.1)], coat, rounds=2)
    sketch.shape([(0.0, -0.62), (-0.36, -0.3), (-0.42, 0.5), (-0.2, 1.0), (0.26, 0.98), (0.42, 0.4), (0.3, -0.4)], coat)
    belly = [(0.12, -0.48), (-0.12, 0.0), (-0.12, 0.6), (0.1, 0.95), (0.32, 0.7), (0.38, 0.2), (0.3, -0.3)]
    sketch.shape(belly, tint(rng, [WHITE, (214, 214, 206)], 8))
    sketch.shape([(0.0, -0.25), (-0.12 + swing, 0.3), (-0.02 + swing, 0.42), (0.12, 0.0)], shade(coat, 1.3), rounds=2)
    sketch.shape([(0.25, -0.82), (0.52, -0.74), (0.24, -0.68)], tint(rng, [(60, 50, 50), (214, 130, 60)], 10), rounds=1)
    sketch.dot(0.08, -0.74, 0.23, coat)
    if rng.random() < 0.6:
        tuft = [(-0.08, -0.66), (0.0, -0.78), (0.1, -0.56), (0.02, -0.48)]
        sketch.shape(tuft, tint(rng, [(232, 180, 60), WHITE], 10))
    sketch.dot(0.16, -0.78, 0.04, WHITE)
    sketch.dot(0.165, -0.78, 0.022, BLACK)


def puffin(sketch: Sketch, rng: np.random.Generator) -> None:
    """A puffin upright, looking right: stout, pale cheeks, the great striped beak, orange feet."""
    coat = tint(rng, [BLACK, (50, 50, 56), (74, 74, 82)], 10)
    cheek = tint(rng, [WHITE, (206, 206, 208)], 8)
    for x in (-0.14, 0.14):
        sketch.shape([(x - 0.12, 0.84), (x + 0.24, 0.95), (x - 0.16, 0.98)], ORANGE, rounds=1)
    sketch.shape([(-0.45, 0.35), (-0.8, 0.75), (-0.3, 0.75)], coat, rounds=2)
    sketch.shape([(0.0, -0.4), (-0.5, -0.1), (-0.62, 0.5), (-0.2, 0.95), (0.3, 0.92), (0.58, 0.4), (0.4, -0.3)], coat)
    belly = [(0.2, -0.12), (-0.1, 0.2), (-0.1, 0.7), (0.14, 0.95), (0.4, 0.7), (0.54, 0.25), (0.42, -0.1)]
    sketch.shape(belly, cheek)
    sketch.shape([(-0.3, -0.05), (-0.52, 0.45), (-0.44, 0.66), (-0.05, 0.3)], shade(coat, 1.4), rounds=2)
    sketch.dot(0.12, -0.5, 0.36, coat)
    sketch.dot(0.22, -0.46, 0.24, cheek)
    beak = tint(rng, [ORANGE, (222, 90, 40), (190, 130, 80)], 12)
    sketch.shape([(0.38, -0.72), (0.66, -0.58), (0.78, -0.4), (0.42, -0.26)], beak, rounds=1)
    sketch.shape([(0.38, -0.7), (0.5, -0.62), (0.48, -0.34), (0.4, -0.28)], (92, 100, 116), rounds=1)
    sketch.dot(0.26, -0.54, 0.05, BLACK)


ANIMALS: dict[str, Callable[[Sketch, np.random.Generator], None]] = {
    draw.__name__: draw for draw in (fish, jellyfish, penguin, puffin, shark, starfish, stingray)
}
