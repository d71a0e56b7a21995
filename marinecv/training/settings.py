"""Read, change and save the settings of a recipe by name, such as "training.lr_patience"."""

import difflib
import functools
import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from marinecv.inputs.spec import NONE, Augmentation, ImageSpec
from marinecv.schema import check_type, read_json, read_toml
from marinecv.training.model_config import MODELS
from marinecv.training.recipe import DataConfig, Recipe

IMAGE_SIZE = "image.size"
"""Stands for `image.height` and `image.width` together."""
PARTS = ("data", "image", "model", "training")
AUGMENTATION = "training.augmentation"
NOT_SETTINGS = {
    "data.name": "data= names the images",
    "data.demonstration": "the images are drawn or not",
    "data.fold": "cross-validation sets it: folds=5",
    "image.white": "it is measured in the images",
    "model.backbone_sha256": "it is measured in the file",
}
"""Fields of a recipe that are no setting, and the reason."""
NOT_HASHED = {*NOT_SETTINGS, "training.seed"} - {"data.name"}
RESULTS_VERSION = 1
"""To be raised where recipes give other results than before: by other pixels, or by another way of training."""


def settings_of(recipe: Recipe) -> dict[str, Any]:
    """Return every setting of a recipe by its name, such as `{"training.lr_patience": 5}`."""
    return dict(setting for part in PARTS for setting in _settings(getattr(recipe, part), f"{part}."))


def with_changes(recipe: Recipe, changes: Mapping[str, Any] | None = None, **keywords: Any) -> Recipe:
    """Return a recipe with other settings.

        with_changes(recipe, {"training.lr_patience": 3}, epochs=5)

    Args:
        recipe: stays as it is.
        changes: values by name; text is read as the type of the setting, "none" as None. `"image.size"` sets height and
            width; `"training.augmentation.flip"` adds to no augmentation if the recipe has none.
        keywords: the same by the last part of a name, if it is the only such setting.
    Raises:
        ValueError: there is no such setting, a keyword matches several, or the value is invalid.
    """
    new_values, tree = full_names(recipe, changes, **keywords), {}
    if AUGMENTATION in new_values:  # first, as others change its settings
        recipe = _with_values(recipe, {"training": {"augmentation": new_values.pop(AUGMENTATION)}}, "")
    for name, value in new_values.items():
        for field_name in ("image.height", "image.width") if name == IMAGE_SIZE else (name,):
            *parts, last = field_name.split(".")
            functools.reduce(lambda node, part: node.setdefault(part, {}), parts, tree)[last] = value
    return _with_values(recipe, tree, "")


def recipe_hash(recipe: Recipe) -> str:
    """Return 8 hexadecimal digits of `RESULTS_VERSION` and the settings that act on a result.

    Settings that are off (0, False, none or empty) do not count, so that a new one that is off leaves old hashes valid.
    """
    settings = {name: value for name, value in settings_of(recipe).items() if value and name not in NOT_HASHED}
    text = json.dumps([RESULTS_VERSION, recipe.model.kind, settings], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def full_names(recipe: Recipe, changes: Mapping[str, Any] | None = None, **keywords: Any) -> dict[str, Any]:
    """Return changes and keywords by their full names; see `with_changes`."""
    check_type(Mapping | None, changes=changes)
    known = [*settings_of(recipe), IMAGE_SIZE]
    if recipe.training.augmentation is None:
        known += [f"{AUGMENTATION}.{field.name}" for field in fields(Augmentation)]
    else:
        known.append(AUGMENTATION)
    values = {}
    for name, value in [*(changes or {}).items(), *keywords.items()]:
        matching = [name] if name in known else [key for key in known if key.rpartition(".")[2] == name]
        if len(matching) > 1:
            raise ValueError(f"{name!r} matches several settings: {', '.join(matching)}. Give the full name.")
        if not matching:
            spellings = dict.fromkeys([*known, *(key.rpartition(".")[2] for key in known)])
            suggestions = difflib.get_close_matches(name, spellings, n=3)
            hint = f" Did you mean {' or '.join(suggestions)}?" if suggestions else " `recipes show NAME` lists them."
            raise ValueError(f"{recipe.name} has no setting {name!r}.{hint}")
        if matching[0] in NOT_SETTINGS:
            raise ValueError(f"{matching[0]} is no setting: {NOT_SETTINGS[matching[0]]}.")
        values[matching[0]] = value
    return values


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe from a `.toml` file of `to_toml` or a `recipe.json`; ValueError if it is missing or no recipe."""
    path = Path(path)
    try:
        return Recipe.from_dict(_with_none(read_toml(path)) if path.suffix == ".toml" else read_json(path))
    except ValueError as error:
        raise ValueError(f"{path}: {error} `recipes show NAME` prints one.") from error


def to_toml(recipe: Recipe) -> str:
    """Return a recipe as TOML, which `read_recipe` reads back equal; None is "none"."""
    return "\n".join(_toml(recipe, ())).strip() + "\n"


def _with_none(table: dict) -> dict:
    """The tables of a TOML file, which has no null: "none" is None unless the setting has a value "none"."""
    toml_tables = {name: part for name, part in table.items() if isinstance(part, dict)}
    model = MODELS.get(str(toml_tables.get("model", {}).get("kind")), Recipe)
    for name, record_type in {"data": DataConfig, "image": ImageSpec, "model": model}.items():
        hints = get_type_hints(record_type)
        for key, value in toml_tables.get(name, {}).items():
            if value == "none" and key in hints and not {str, "none"} & {*_options(hints[key])}:
                table[name][key] = None
    return table


def _settings(part: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    for field in fields(part):
        value = getattr(part, field.name)
        if is_dataclass(value):
            yield from _settings(value, f"{prefix}{field.name}.")
        else:
            yield prefix + field.name, value


def _with_values(part: Any, changes: Mapping[str, Any], prefix: str) -> Any:
    """A record with other settings, changed at once: one may be valid only beside another."""
    hints, values = get_type_hints(type(part), include_extras=True), {}
    for name, value in changes.items():
        if prefix + name in (*PARTS, AUGMENTATION) and isinstance(value, Mapping):
            inner = getattr(part, name)
            values[name] = _with_values(NONE if inner is None else inner, value, f"{prefix}{name}.")
        else:
            values[name] = value if is_dataclass(value) else _parse_value(part, name, value, hints[name], prefix + name)
    try:
        return replace(part, **values)
    except ValueError as error:
        raise ValueError(f"{', '.join(prefix + name for name in changes)}: {error}") from error


def _parse_value(part: Any, name: str, value: Any, hint: Any, full_name: str) -> Any:
    """A value as the type of its setting; text may be a number, a list or none."""
    value = value.tolist() if hasattr(value, "dtype") else value
    attempts = [value]
    if isinstance(value, str):
        if value.lower() == "none" and NoneType in _options(hint):
            try:
                return getattr(replace(part, **{name: value}), name)  # a value of this setting, too
            except ValueError:
                return None
        with suppress(tomllib.TOMLDecodeError):
            attempts.append(tomllib.loads(f"value = {value}")["value"])
        attempts.append([part.strip() for part in value.split(",")])
    errors = []
    for attempt in attempts:
        try:
            return msgspec.convert(attempt, hint, strict=not isinstance(value, str))
        except msgspec.ValidationError as error:
            errors.append(error)
    raise ValueError(f"{full_name}: {errors[0]}. Received: {value!r:.80}.")


def _options(hint: Any) -> tuple:
    """The members of a union or a Literal."""
    return get_args(hint) if get_origin(hint) in (Union, UnionType, Literal) else (hint,)


def _toml(part: Any, path: tuple[str, ...]) -> Iterator[str]:
    """The lines of a table and those below it, without settings that are None by default."""
    if path:
        yield f"\n[{'.'.join(path)}]"
    if path == ("model",):
        yield f"kind = {json.dumps(part.kind)}"
    settings = part if isinstance(part, Mapping) else {field.name: getattr(part, field.name) for field in fields(part)}
    unset = [] if isinstance(part, Mapping) else [field.name for field in fields(part) if field.default is None]
    tables = {name: value for name, value in settings.items() if is_dataclass(value) or isinstance(value, Mapping)}
    for name, value in settings.items():
        if name not in tables and not (value is None and name in unset):
            key = name if name.isidentifier() else json.dumps(name)
            yield f"{key} = {json.dumps('none' if value is None else value, ensure_ascii=False)}"
    for name, value in tables.items():
        yield from _toml(value, (*path, name))
