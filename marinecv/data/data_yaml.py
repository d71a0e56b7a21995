"""Read the class names and the published split in the `data.yaml` of a YOLO data set."""

import os
import posixpath
import re
from pathlib import Path, PureWindowsPath

import yaml

from marinecv import schema
from marinecv.data.layouts import HIDDEN_PREFIXES, image_files
from marinecv.data.names import normalize_name, normalize_path, refuse_unmatched
from marinecv.data.user_csv import utf8_text

SPLIT_KEYS = {"train": "train", "val": "validation", "valid": "validation", "test": "test"}
MAX_ALIASES = 30  # so that a small file cannot grow without bound
NOT_WRITABLE = re.compile("[\0\ud800-\udfff]")  # which no file of ours could hold
NAMES_KEY = re.compile(rb"""^(\xef\xbb\xbf)?({|{.*, *)?["']?names["']?\s*:""", re.MULTILINE)  # of data.yaml
TAGS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("map", "seq", "str"))
_EXPECTED = "Expected names: [fish, shark], or a mapping that counts from 0: fish on."


class _Loader(yaml.SafeLoader):
    """Load scalars as text; refuse repeated keys, tags and many aliases."""

    yaml_implicit_resolvers = {"<": yaml.SafeLoader.yaml_implicit_resolvers["<"]}  # merge keys alone
    yaml_constructors = {tag: yaml.SafeLoader.yaml_constructors[tag] for tag in (None, *TAGS)}  # None refuses others
    aliases = 0

    def compose_node(self, parent, index):
        self.aliases += self.check_event(yaml.AliasEvent)
        if self.aliases > MAX_ALIASES:
            mark = self.peek_event().start_mark
            raise yaml.MarkedYAMLError(problem=f"more than {MAX_ALIASES} aliases", problem_mark=mark)
        return super().compose_node(parent, index)

    def compose_mapping_node(self, anchor):
        node, met = super().compose_mapping_node(anchor), set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or (key.value in met and key.value != "<<"):
                problem = f"the key {str(key.value)[:60]!r} is there twice or no text"
                raise yaml.MarkedYAMLError(problem=problem, problem_mark=key.start_mark)
            met.add(key.value)
        return node


def find_data_yaml(root: Path) -> Path | None:
    """Return the YAML file with `names:`: data.yaml, else the only one; raise ValueError where there are several."""
    visible = sorted(path for path in root.iterdir() if not path.name.startswith(HIDDEN_PREFIXES))
    files = [path for path in visible if path.suffix.lower() in (".yaml", ".yml") and path.is_file()]
    files = [path for path in files if NAMES_KEY.search(path.read_bytes())]
    files = [path for path in files if path.stem.lower() == "data"] or files
    if len(files) > 1:
        listed = ", ".join(path.name for path in files)
        raise ValueError(f"{listed} of {root} all name classes. Expected one, called data.yaml.")
    return files[0] if files else None


def read_yaml(path: Path) -> dict:
    """Read a YAML mapping, every scalar as text (`yes`, `001`); ValueError with file and line where it is none."""
    text = utf8_text(path)
    try:
        data = _Loader(text).get_single_data()
    except (yaml.YAMLError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        line = mark.line if mark else text.count("\n", 0, getattr(error, "position", 0))
        problem = getattr(error, "problem", None) or getattr(error, "reason", error)
        raise ValueError(f"{path}:{line + 1} cannot be read as YAML: {problem}. Correct that line.") from None
    if not isinstance(data, dict):
        raise ValueError(f"{path} holds no named entries. {_EXPECTED}")
    return data


def read_names(path: Path) -> tuple[str, ...]:
    """Return the normalized class names in index order; raise ValueError where keys or `nc` disagree."""
    data = read_yaml(path)
    names = data.get("names")
    if isinstance(names, dict):
        of_index = {key.lstrip("0") or "0": name for key, name in names.items()}
        names = [of_index.get(str(index)) for index in range(len(names))]
    is_list = isinstance(names, list) and all(isinstance(name, str) and not NOT_WRITABLE.search(name) for name in names)
    if not names or not is_list:
        raise ValueError(f"{path} does not name its classes. {_EXPECTED}")
    names = schema.names(tuple(map(normalize_name, names)), f"The class names of {path}")
    if "nc" in data and data["nc"] != str(len(names)):
        raise ValueError(f"{path} states nc: {data['nc']!r:.20} and names {len(names)} classes. Expected one number.")
    return names


def published_split(root: Path) -> tuple[dict[Path, str], list[Path], list[Path], list[str]]:
    """Return the split of each image that data.yaml names, the folders and lists it names, and what is absent.

    An entry is a folder, a text file that lists images, or a list of these, relative to `path:` or to data.yaml; else
    its last parts are looked up below the data folder, since Roboflow writes ../train/images and other tools absolute
    paths of another machine. Nothing outside the data folder is read. Absent are entries of validation and test.
    """
    path = find_data_yaml(root)
    data = read_yaml(path) if path else {}
    split_of: dict[Path, str] = {}
    folders, lists, absent = [], [], []
    base = data.get("path") if isinstance(data.get("path"), str) else ""
    for key, split in SPLIT_KEYS.items():
        entries = data.get(key) if isinstance(data.get(key), list) else [data.get(key)]
        for entry in entries:
            if entry in (None, "", "null", "~"):
                continue
            candidates = [root / each for each in _candidate_paths(entry, base, "")] if isinstance(entry, str) else []
            path_found = next((each for each in candidates if os.path.isdir(each) or os.path.isfile(each)), None)
            if path_found is None and (key == "train" or not candidates or PureWindowsPath(entry).anchor):
                raise ValueError(
                    f"{path} names {key}: {entry!r:.80}, which is not in {root}. Expected a folder or a list of images "
                    "there: nothing outside the data folder is read. Correct or remove the line."
                )
            if path_found is None:
                absent.append(f"{path.name} names {key}: {entry}, which is not there")
                continue
            is_folder = path_found.is_dir()
            (folders if is_folder else lists).append(path_found)
            for image in image_files(path_found, deep=True) if is_folder else _listed_images(path_found, root, base):
                if split_of.setdefault(image, split) != split:
                    raise ValueError(
                        f"{path} puts {image.relative_to(root).as_posix()} into {split_of[image]} and {split}. "
                        "Expected an image in one split. Correct the entries, or remove one."
                    )
    return split_of, folders, lists, absent


def _listed_images(table: Path, root: Path, base: str) -> list[Path]:
    """Return the images that a text file names, one a line; a path that does not exist for an absent one."""
    files = {normalize_path(path.relative_to(root).as_posix()): path for path in image_files(root, deep=True)}
    folder, images = table.parent.relative_to(root).as_posix(), {}
    for line in map(str.strip, utf8_text(table).splitlines()):
        if line and (places := _candidate_paths(line, folder, base, "")):
            matches = [files[normalize_path(place)] for place in places if normalize_path(place) in files]
            images[line] = matches[0] if matches else root / places[0]
    refuse_unmatched(table, images, images.values(), files.values())
    return list(images.values())


def _candidate_paths(entry: str, *bases: str) -> list[str]:
    """Return the paths below the root that an entry may mean, the likeliest first."""
    path = PureWindowsPath(entry)  # knows both kinds of slash, and drives
    parts = [part for part in path.parts if part not in ("..", path.anchor)]
    ends = range(len(parts) - 1) if path.anchor else range(min(len(parts), 1))
    tries = [] if path.anchor else [posixpath.normpath(posixpath.join(base, path.as_posix())) for base in bases]
    tries += [posixpath.join(*parts[end:]) for end in ends]
    return [each for each in tries if not each.startswith("/") and each.split("/")[0] != ".."]
