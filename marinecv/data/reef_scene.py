"""One scene of the reef: water, animals of one class that fills it most, passers-by of others, and a tired camera."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from marinecv.data.reef_animals import ANIMALS, Sketch

Box = tuple[str, int, int, int, int]
SIZES_WH = ((768, 1024), (1024, 768), (576, 1024), (1024, 576))
SIZE_SHARES = (0.68, 0.21, 0.08, 0.03)
UPRIGHT = ("penguin", "puffin")


@dataclass(frozen=True)
class Place:
    """Colours of the water and of the ground; where the ground begins (fractions of the height); sky above or not."""

    waters: tuple
    grounds: tuple = ()
    ground_top: tuple[float, float] = (0.2, 0.7)
    sky: bool = False
    growths: tuple = ()


@dataclass(frozen=True)
class Habit:
    """How a class lives: where, how often in a group, and how long one alone is, as a fraction of the long side."""

    place: str
    in_group: float
    length: float


class Animal(NamedTuple):
    """A drawn animal, cut tightly to what the image shows of it, and where it is pasted, in pixels."""

    name: str
    sprite: Image.Image
    left: int
    top: int

    @property
    def box(self) -> Box:
        """Class and corners."""
        return self.name, self.left, self.top, self.left + self.sprite.width, self.top + self.sprite.height

    @property
    def area(self) -> int:
        """Area of the box."""
        return self.sprite.width * self.sprite.height


CORALS = ((214, 110, 120), (230, 160, 90), (160, 110, 180), (200, 190, 110), (90, 150, 110))
STONES = ((60, 62, 60), (96, 92, 84), (124, 118, 106))
PLACES = {
    "reef": Place(((30, 120, 170), (40, 140, 160), (60, 150, 180)), ((150, 124, 116),), (0.72, 0.97), growths=CORALS),
    "open water": Place(((24, 92, 140), (30, 110, 120), (48, 110, 96), (52, 84, 92))),
    "abyss": Place(((8, 24, 70), (14, 14, 60), (6, 36, 72))),
    "sand": Place(((50, 120, 150), (60, 130, 130)), ((190, 172, 132), (170, 160, 140)), (0.1, 0.55)),
    "rocks": Place(((30, 100, 110), (40, 84, 100)), ((92, 84, 76), (76, 88, 84)), (0.05, 0.5), growths=STONES),
    "ice": Place(((40, 90, 130), (60, 110, 140)), ((206, 214, 222), (186, 200, 214)), (0.35, 0.75), sky=True),
    "cliff": Place(((60, 100, 110), (50, 84, 110)), ((104, 110, 76), (116, 104, 88)), (0.3, 0.7), True, STONES),
}
HABITS = {
    "fish": Habit("reef", 0.7, 0.36),
    "jellyfish": Habit("abyss", 0.7, 0.40),
    "penguin": Habit("ice", 0.6, 0.42),
    "puffin": Habit("cliff", 0.4, 0.40),
    "shark": Habit("open water", 0.1, 0.60),
    "starfish": Habit("rocks", 0.2, 0.42),
    "stingray": Habit("sand", 0.2, 0.48),
}
AT_HOME = 0.9
MOST_OF_DOMINANT = 0.7  # no other class may come nearer than this to the score of the dominant one


def draw_scene(rng: np.random.Generator, dominant: str) -> tuple[Image.Image, list[Box]]:
    """Draw one underwater scene whose dominant class (summed box area times number of boxes) is the one given.

    `rng` is the only source of chance; the same state gives the same scene. Returned are an RGB image of one of
    `SIZES_WH`, and its boxes (class, xmin, ymin, xmax, ymax) in pixels, inside the image.
    """
    size = SIZES_WH[rng.choice(len(SIZES_WH), p=SIZE_SHARES)]
    place = PLACES[HABITS[dominant].place if rng.random() < AT_HOME else rng.choice(list(PLACES))]
    water = np.clip(np.array(place.waters[rng.integers(len(place.waters))]) + rng.integers(-16, 17, 3), 0, 255)
    scene = _background(rng, size, water, place)
    animals = _keep_dominant(dominant, _animals(rng, dominant, size, water))
    for animal in sorted(animals, key=lambda animal: animal.area):
        scene.paste(animal.sprite, (animal.left, animal.top), animal.sprite)
    boxes = [animals[number].box for number in rng.permutation(len(animals))]
    return _camera(rng, _foreground(rng, scene, water), water), boxes


def _cloud(rng: np.random.Generator, shape_hw: tuple[int, int], cells: int) -> np.ndarray:
    """Smooth noise of the shape, in [0, 1]: a few random cells, scaled up."""
    small = Image.fromarray(rng.integers(0, 256, (cells, cells), dtype=np.uint8))
    return np.asarray(small.resize(shape_hw[::-1], Image.Resampling.BICUBIC), dtype=np.float32) / 255


def _background(rng: np.random.Generator, size: tuple[int, int], water: np.ndarray, place: Place) -> Image.Image:
    """Water with light from above, rough ground and what grows on it; drawn at an eighth of the size and scaled up."""
    width, height = size[0] // 8, size[1] // 8
    down = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    across = np.linspace(0, 1, width, dtype=np.float32)[None, :]
    light = 1.35 - rng.uniform(0.3, 0.8) * down + 0.25 * (_cloud(rng, (height, width), 5) - 0.5)
    rays = np.sin((across + rng.uniform(-0.4, 0.4) * down) * rng.uniform(12, 30) + rng.uniform(0, 6))
    scene = water * (light + rng.uniform(0, 0.12) * rays * (1 - down))[..., None]
    if place.grounds:
        top = rng.uniform(*place.ground_top) + 0.22 * (_cloud(rng, (1, width), 6) - 0.5)
        if place.sky:
            scene = np.where((down < top - 0.12)[..., None], scene * 0.6 + rng.uniform(60, 110), scene)
        colour = 0.85 * np.array(place.grounds[rng.integers(len(place.grounds))]) + 0.15 * water
        rough = 0.65 + 0.4 * _cloud(rng, (height, width), 14) + 0.25 * _cloud(rng, (height, width), 44)
        scene = np.where((down > top)[..., None], colour * rough[..., None], scene)
    picture = Image.fromarray(np.clip(scene, 0, 255).astype(np.uint8))
    if place.growths:
        for _ in range(rng.integers(3, 14)):
            _growth(rng, picture, place.growths, water)
    return picture.filter(ImageFilter.GaussianBlur(0.6)).resize(size, Image.Resampling.BICUBIC)


def _growth(rng: np.random.Generator, picture: Image.Image, colours: tuple, water: np.ndarray) -> None:
    """One stone or coral with a ragged outline near the bottom, or one weed swaying up from it."""
    pen = ImageDraw.Draw(picture)
    x, y = rng.uniform(0, picture.width), rng.uniform(0.75, 1.02) * picture.height
    colour = 0.7 * np.array(colours[rng.integers(len(colours))]) + 0.3 * water
    if rng.random() < 0.75:
        turn = np.linspace(0, 2 * np.pi, 13)[:-1]
        reach = rng.uniform(4, 15) * rng.uniform(0.7, 1.1, 12)
        outline = zip(x + 1.3 * reach * np.cos(turn), y + reach * np.sin(turn), strict=True)
        pen.polygon(list(outline), fill=tuple(int(part) for part in colour))
    else:
        steps, sway = np.linspace(0, rng.uniform(10, 50), 9), rng.uniform(-4, 4)
        leaf = (int(rng.integers(20, 130)), int(rng.integers(70, 130)), int(rng.integers(30, 80)))
        pen.line([(x + sway * np.sin(step / 8), y - step) for step in steps], fill=leaf, width=int(rng.integers(1, 4)))


def _animals(rng: np.random.Generator, dominant: str, size: tuple[int, int], water: np.ndarray) -> list[Animal]:
    """Some animals of the dominant class, most a little smaller than the first, and smaller ones of other classes."""
    habit = HABITS[dominant]
    together = rng.random() < habit.in_group
    count = int(rng.integers(3, 8)) if together else int(rng.integers(1, 3))
    first = max(size) * np.clip((0.7 if together else 1.0) * habit.length * rng.lognormal(0, 0.3), 0.15, 0.75)
    lengths = first * np.concatenate([[1.0], rng.uniform(0.5, 0.95, count - 1)])
    wanted = [(dominant, length) for length in lengths]
    others = [name for name in ANIMALS if name != dominant]
    for _ in range(rng.integers(0, 4)):
        wanted.append((others[rng.integers(len(others))], first * rng.uniform(0.25, 0.5)))
    animals: list[Animal] = []
    for name, length in wanted:
        animals.append(_place(rng, name, _sprite(rng, name, length, water), animals, size))
    return animals


def _sprite(rng: np.random.Generator, name: str, length: float, water: np.ndarray) -> Image.Image:
    """Draw an animal at `length` pixels on its longer side, turned, mirrored and veiled by the water before it."""
    sketch = Sketch(int(np.clip(1.3 * length, 64, 560)), bend=rng.uniform(-0.15, 0.15) if name not in UPRIGHT else 0.0)
    ANIMALS[name](sketch, rng)
    image = sketch.image
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    turn = {"starfish": 180, "stingray": 180, "jellyfish": 180, "fish": 25, "shark": 25}.get(name, 10)
    squeeze = int(image.width * rng.uniform(0.65, 1.0))
    angle = rng.uniform(-turn, turn)
    image = image.resize((squeeze, image.height)).rotate(angle, Image.Resampling.BILINEAR, expand=True)
    if name in UPRIGHT and rng.random() < 0.3:
        image = image.transpose(Image.Transpose.ROTATE_90 if rng.random() < 0.5 else Image.Transpose.ROTATE_270)
    image = image.crop(image.getbbox())
    scale = length / max(image.size)
    image = image.resize([max(4, round(side * scale)) for side in image.size], Image.Resampling.BOX)
    veil = Image.new("RGB", image.size, tuple(int(part) for part in water))
    light = rng.uniform(0.6, 1.15)
    lit = image.convert("RGB").point([min(255, int(level * light)) for level in range(256)] * 3)
    veiled = Image.blend(lit, veil, rng.uniform(0.05, 0.4))
    veiled.putalpha(image.getchannel("A"))
    return veiled


def _place(
    rng: np.random.Generator, name: str, sprite: Image.Image, others: list[Animal], size: tuple[int, int]
) -> Animal:
    """Of six places, three quarters of each side inside the image, take the one that covers the others least."""
    room = np.array(size) - 0.5 * np.array(sprite.size)
    corners = (rng.uniform(0, 1, (6, 2)) * room - 0.25 * np.array(sprite.size)).astype(int).tolist()

    def covered(corner: list[int]) -> int:
        left, top = corner
        right, bottom = left + sprite.width, top + sprite.height
        return sum(
            max(0, min(right, xmax) - max(left, xmin)) * max(0, min(bottom, ymax) - max(top, ymin))
            for _, xmin, ymin, xmax, ymax in (other.box for other in others)
        )

    left, top = min(corners, key=covered)
    inside = (max(0, -left), max(0, -top), min(sprite.width, size[0] - left), min(sprite.height, size[1] - top))
    seen = sprite.crop(inside)
    tight = seen.getchannel("A").point(lambda alpha: 255 * (alpha > 24)).getbbox() or (0, 0, *seen.size)
    return Animal(name, seen.crop(tight), max(0, left) + tight[0], max(0, top) + tight[1])


def _keep_dominant(dominant: str, animals: list[Animal]) -> list[Animal]:
    """Leave out the animals of a class whose summed area times count comes near the dominant one's."""

    def score(name: str) -> int:
        areas = [animal.area for animal in animals if animal.name == name]
        return sum(areas) * len(areas)

    limit = MOST_OF_DOMINANT * score(dominant)
    return [animal for animal in animals if animal.name == dominant or score(animal.name) <= limit]


def _foreground(rng: np.random.Generator, scene: Image.Image, water: np.ndarray) -> Image.Image:
    """Drifting particles, bubbles, and now and then a dark weed before the animals."""
    pen = ImageDraw.Draw(scene)
    pale = tuple(int(part) for part in np.clip(water * 1.2 + 60, 0, 255))
    for x, y, radius in rng.uniform((0, 0, 1), (*scene.size, 5), (rng.integers(0, 90), 3)):
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=pale)
    for _ in range(rng.integers(0, 3)):
        x, sway, steps = rng.uniform(0, scene.width), rng.uniform(10, 50), np.linspace(0, rng.uniform(0.2, 0.7), 12)
        leaf = tuple(int(part) for part in 0.5 * water + rng.uniform(0, 40))
        stem = [(x + sway * np.sin(9 * step), scene.height * (1 - step)) for step in steps]
        pen.line(stem, fill=leaf, width=int(rng.integers(10, 34)), joint="curve")
    return scene


def _camera(rng: np.random.Generator, scene: Image.Image, water: np.ndarray) -> Image.Image:
    """Haze, a colour cast, exposure, a little blur and sensor noise."""
    haze = Image.new("RGB", scene.size, tuple(int(part) for part in water))
    scene = Image.blend(scene, haze, rng.uniform(0, 0.3))
    exposure, cast = rng.uniform(0.7, 1.2), rng.uniform(0.88, 1.15, 3)
    scene = scene.point([min(255, int(level * exposure * part)) for part in cast for level in range(256)])
    if rng.random() < 0.4:
        scene = scene.filter(ImageFilter.BoxBlur(rng.uniform(0.5, 2.5)))
    noise = Image.frombytes("L", scene.size, rng.bytes(scene.width * scene.height))
    return Image.blend(scene, noise.convert("RGB"), rng.uniform(0.01, 0.08))
