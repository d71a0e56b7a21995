"""Draw one demo image: water, perhaps ground, and animals of ellipses and polygons with their boxes."""

from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

Box = tuple[str, int, int, int, int]
Color = tuple[int, int, int]
SIZES_WH = ((768, 1024), (1024, 768), (576, 1024), (1024, 576))
SIZE_FRACTIONS = (0.68, 0.21, 0.08, 0.03)
IN_HABITAT = 0.85  # fraction of images that show the habitat of their class, not that of another
NAMED_COLORS: dict[str, Color] = {"black": (22, 24, 30), "white": (236, 238, 236), "orange": (232, 122, 34)}
STAR = [(r * np.cos(k * np.pi / 5), r * np.sin(k * np.pi / 5)) for k, r in enumerate((0.98, 0.36) * 5)]


class Species(NamedTuple):
    """How a class looks and where it lives.

    A shape is a color ("body", "dark", "pale" or one of `NAMED_COLORS`) and the corners of a polygon, or the box of an
    ellipse, in a frame of [-1, 1] x [-1, 1] (x to the right, y down) in which the animal looks to the right.
    """

    colors: tuple[Color, ...]
    water: Color
    ground: Color | None
    length: float  # of one animal, as a fraction of the image's shorter side
    group: float  # probability of 3 to 7 animals instead of 1 or 2
    turn_deg: float
    shapes: list[tuple[str, list | tuple]]


SPECIES = {
    "fish": Species(
        colors=((236, 150, 50), (240, 214, 90), (90, 130, 200), (168, 176, 180)),
        water=(40, 140, 170), ground=(150, 124, 116), length=0.5, group=0.7, turn_deg=25,
        shapes=[
            ("dark", [(-0.4, 0), (-1, -0.4), (-0.8, 0), (-1, 0.4)]),
            ("dark", [(0.4, -0.3), (0, -0.65), (-0.5, -0.15), (-0.3, 0.55), (0, 0.3)]),
            ("body", (-0.65, -0.42, 0.95, 0.42)),
            ("pale", [(0.1, -0.42), (0.3, -0.4), (0.3, 0.4), (0.1, 0.42)]),
            ("black", (0.66, -0.16, 0.75, -0.06)),
        ]),
    "jellyfish": Species(
        colors=((222, 226, 240), (236, 176, 150), (180, 150, 220), (130, 180, 226)),
        water=(10, 24, 68), ground=None, length=0.55, group=0.7, turn_deg=180,
        shapes=[
            *[("dark", [(0.4, y), (-0.1, y + 0.08), (-1, y - 0.05), (-0.1, y)]) for y in (-0.4, -0.2, 0, 0.2, 0.4)],
            ("body", (0, -0.6, 0.95, 0.6)),
            ("pale", (0.25, -0.42, 0.85, 0.42)),
        ]),
    "penguin": Species(
        colors=((22, 24, 30), (50, 54, 66)),
        water=(60, 110, 140), ground=(206, 214, 222), length=0.6, group=0.6, turn_deg=10,
        shapes=[
            ("orange", (-0.3, 0.84, 0.3, 0.98)),
            ("body", [(-0.2, -0.4), (-0.65, 0.35), (-0.3, 0.2)]),
            ("body", (-0.4, -0.65, 0.4, 0.94)),
            ("white", (-0.12, -0.45, 0.36, 0.85)),
            ("body", (-0.2, -0.97, 0.28, -0.48)),
            ("orange", [(0.2, -0.84), (0.55, -0.74), (0.2, -0.66)]),
        ]),
    "puffin": Species(
        colors=((22, 24, 30), (74, 74, 82)),
        water=(60, 100, 110), ground=(104, 110, 76), length=0.55, group=0.4, turn_deg=10,
        shapes=[
            ("orange", (-0.4, 0.78, 0.35, 0.96)),
            ("body", (-0.65, -0.3, 0.6, 0.9)),
            ("white", (-0.1, -0.15, 0.52, 0.8)),
            ("body", (-0.35, -0.95, 0.5, -0.1)),
            ("white", (-0.05, -0.78, 0.48, -0.2)),
            ("orange", [(0.36, -0.75), (0.72, -0.65), (0.88, -0.4), (0.38, -0.22)]),
            ("black", (0.12, -0.65, 0.24, -0.53)),
        ]),
    "shark": Species(
        colors=((104, 118, 134), (120, 116, 108), (84, 102, 120)),
        water=(24, 92, 130), ground=None, length=0.85, group=0.1, turn_deg=25,
        shapes=[
            ("dark", [(-0.6, 0), (-1, -0.5), (-0.82, 0), (-0.95, 0.28)]),
            ("dark", [(0.3, -0.15), (-0.05, -0.6), (-0.15, -0.1)]),
            ("body", [(1, 0), (0.75, -0.16), (0.2, -0.25), (-0.85, -0.05), (-0.85, 0.04), (0, 0.2), (0.75, 0.13)]),
            ("pale", [(0.95, 0.03), (0, 0.07), (-0.85, 0.03), (0, 0.2), (0.75, 0.13)]),
            ("dark", [(0.45, 0.08), (-0.05, 0.5), (0.12, 0.1)]),
            ("black", (0.72, -0.1, 0.79, -0.03)),
        ]),
    "starfish": Species(
        colors=((222, 110, 50), (190, 60, 60), (130, 90, 150), (200, 160, 100)),
        water=(50, 96, 104), ground=(92, 84, 76), length=0.5, group=0.2, turn_deg=180,
        shapes=[
            ("dark", STAR),
            ("body", [(0.85 * x, 0.85 * y) for x, y in STAR]),
            ("pale", (-0.14, -0.14, 0.14, 0.14)),
        ]),
    "stingray": Species(
        colors=((120, 100, 78), (104, 108, 112), (70, 74, 84)),
        water=(60, 130, 140), ground=(190, 172, 132), length=0.7, group=0.2, turn_deg=180,
        shapes=[
            ("dark", [(-0.3, -0.06), (-1, 0), (-0.3, 0.06)]),
            ("body", [(0.7, 0), (0.4, -0.4), (0, -0.92), (-0.45, -0.12), (-0.45, 0.12), (0, 0.92), (0.4, 0.4)]),
            ("pale", (-0.4, -0.2, 0.6, 0.2)),
            *[("black", (0.4, y, 0.5, y + 0.1)) for y in (-0.2, 0.1)],
        ]),
}  # fmt: skip


def draw_scene(rng: np.random.Generator, dominant: str) -> tuple[Image.Image, list[Box]]:
    """Draw one underwater scene whose dominant class (summed box area times number of boxes) is the one given.

    Returns an RGB image of one of `SIZES_WH`, and its boxes (class, xmin, ymin, xmax, ymax) in pixels, inside the
    image. The same state of `rng` gives the same scene.
    """
    width, height = SIZES_WH[rng.choice(len(SIZES_WH), p=SIZE_FRACTIONS)]
    habitat = SPECIES[dominant if rng.random() < IN_HABITAT else rng.choice(list(SPECIES))]
    water = np.clip(np.array(habitat.water) + rng.integers(-20, 21, 3), 0, 255)
    scene, boxes = _background(rng, (width, height), water, habitat.ground), []
    for name, length in _animals(rng, dominant, min(width, height)):
        sprite = _sprite(rng, name, length, water)
        left, top = rng.integers(0, (width - sprite.width + 1, height - sprite.height + 1)).tolist()
        scene.paste(sprite, (left, top), sprite)
        boxes.append((name, left, top, left + sprite.width, top + sprite.height))
    return _photographed(rng, scene), boxes


def _animals(rng: np.random.Generator, dominant: str, side: int) -> list[tuple[str, float]]:
    """Choose the animals and their lengths in pixels, the longest first, so that none hides a smaller one."""
    species = SPECIES[dominant]
    in_group = rng.random() < species.group
    count = rng.integers(3, 8) if in_group else rng.integers(1, 3)
    longest = side * np.clip((0.7 if in_group else 1.0) * species.length * rng.lognormal(0, 0.3), 0.2, 0.95)
    animals = [(dominant, longest * factor) for factor in (1.0, *rng.uniform(0.5, 0.95, count - 1))]
    others = rng.choice([name for name in SPECIES if name != dominant], rng.integers(0, 4), replace=False)
    animals += [(str(name), longest * rng.uniform(0.2, 0.4)) for name in others]
    return sorted(animals, key=lambda animal: -animal[1])


def _sprite(rng: np.random.Generator, name: str, length: float, water: np.ndarray) -> Image.Image:
    """Draw an animal cut to its outline, `length` pixels on its longer side, turned, mirrored and veiled by water."""
    species, size = SPECIES[name], int(1.3 * length)
    image = Image.new("RGBA", (size, size))
    draw = ImageDraw.Draw(image)
    body = np.array(species.colors[rng.integers(len(species.colors))]) + rng.integers(-20, 21, 3)
    colors = NAMED_COLORS | {"body": body, "dark": 0.7 * body, "pale": 1.3 * body}
    light, veil = rng.uniform(0.6, 1.15), rng.uniform(0.05, 0.4)
    for color, shape in species.shapes:
        fill = np.clip((1 - veil) * light * np.array(colors[color]) + veil * water, 0, 255)
        points = ((np.array(shape).reshape(-1, 2) + 1) * size / 2).ravel().tolist()
        (draw.polygon if isinstance(shape, list) else draw.ellipse)(points, fill=(*fill.astype(int).tolist(), 255))
    image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image
    image = image.resize((int(size * rng.uniform(0.65, 1.0)), size))
    image = image.rotate(rng.uniform(-1, 1) * species.turn_deg, Image.Resampling.BILINEAR, expand=True)
    image = image.crop(image.getbbox())
    scale = length / max(image.size)
    return image.resize([max(4, int(side * scale)) for side in image.size], Image.Resampling.BOX)


def _noise(rng: np.random.Generator, shape_hw: tuple[int, int], cells: int) -> np.ndarray:
    """Return smooth noise in [0, 1] of a shape: random cells, scaled up."""
    small = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    return np.asarray(small.resize(shape_hw[::-1], Image.Resampling.BICUBIC), dtype=np.float32) / 255


def _background(rng: np.random.Generator, size: tuple, water: np.ndarray, ground: Color | None) -> Image.Image:
    """Draw water with light from above and rough ground, at an eighth of the size, and scale it up."""
    width, height = size[0] // 8, size[1] // 8
    down = np.linspace(0, 1, height)[:, None]
    light = 1.35 - rng.uniform(0.3, 0.8) * down + 0.3 * (_noise(rng, (height, width), 5) - 0.5)
    scene = water * light[..., None]
    if ground:
        top = rng.uniform(0.3, 0.8) + 0.25 * (_noise(rng, (1, width), 6) - 0.5)
        rough = 0.6 + 0.4 * _noise(rng, (height, width), 14) + 0.3 * _noise(rng, (height, width), 44)
        color = 0.85 * np.array(ground) + 0.15 * water + rng.integers(-15, 16, 3)
        scene = np.where((down > top)[..., None], color * rough[..., None], scene)
    return Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def _photographed(rng: np.random.Generator, scene: Image.Image) -> Image.Image:
    """Change exposure and color balance; add noise and, to some images, blur."""
    factors = rng.uniform(0.7, 1.2) * rng.uniform(0.88, 1.15, 3)
    scene = scene.point([min(255, int(level * factor)) for factor in factors for level in range(256)])
    if rng.random() < 0.4:
        scene = scene.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 2.5)))
    noise = Image.frombytes("L", scene.size, rng.bytes(scene.width * scene.height))
    return Image.blend(scene, noise.convert("RGB"), rng.uniform(0.01, 0.08))
