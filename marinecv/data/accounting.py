"""Account for every file of a data set: an image, an annotation that was read, or a file that was not read, by kind."""

import os
from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd

from marinecv.data.formats import is_image, printable
from marinecv.data.layouts import is_hidden
from marinecv.data.manifests import Manifest
from marinecv.data.readers import reader_of
from marinecv.language import tr

IMAGE, ANNOTATION, SYSTEM = "image", "annotation", "system file"
MAX_KINDS_SHOWN = 8


def reading_lines(manifest: Manifest, images: pd.DataFrame) -> list[str]:
    """Return a line on how nested class folders were read, and one on files that were not read."""
    if manifest.demonstration or not manifest.root:  # this package wrote all files, or there are none
        return []
    counts = count_files(manifest, images)
    kinds = sorted(counts.keys() - {IMAGE, ANNOTATION, SYSTEM}, key=lambda kind: (-counts[kind], kind))
    shown = kinds[:MAX_KINDS_SHOWN]
    phrases = [kind if "/" in kind else tr("{n:,} {kind}", n=counts[kind], kind=kind) for kind in shown]
    if other_kinds := kinds[MAX_KINDS_SHOWN:]:
        num_files = sum(counts[kind] for kind in other_kinds)
        phrases.append(tr("{n:,} files in {kinds} other kinds and folders", n=num_files, kinds=len(other_kinds)))
    system = counts[SYSTEM]
    system = system and tr("1 system file" if system == 1 else "{n:,} system files", n=system)
    unread = "; ".join(filter(None, (", ".join(phrases), system)))
    decisions = reader_of(manifest.layout).sentence(manifest, images)
    return list(filter(None, (decisions, unread and tr("not read: {kinds}", kinds=unread))))


def count_files(manifest: Manifest, images: pd.DataFrame) -> Counter[str]:
    """Count every file below the folder of a data set; a link to a folder counts as a file and is not followed.

    The kinds are `IMAGE` with a row in `images`, `ANNOTATION` that was read (shards of a pack too), `SYSTEM` such as
    `.DS_Store`, and else the suffix, or the folder with images in which nothing was read.
    """
    top = (manifest.folder or manifest.root).absolute()
    tables = {printable(path.absolute()) for path in reader_of(manifest.layout).tables(manifest)}
    rows = {*images["path"].tolist()}
    used_folders: set[str] = set()  # folders in which something was read, at any depth
    for folder in {path.rpartition(os.sep)[0] for path in rows | tables}:
        while folder not in used_folders:
            used_folders.add(folder)
            folder = os.path.dirname(folder)
    counts, unread = Counter(), defaultdict(list)
    for here, folders, files in os.walk(top):
        links = [name for name in folders if os.path.islink(os.path.join(here, name))]
        for path in (Path(here, name) for name in files + links):
            name = printable(path)
            if kind := IMAGE if name in rows or name in used_folders else ANNOTATION if name in tables else "":
                counts[kind] += 1
            elif is_hidden(path, top):
                counts[SYSTEM] += 1
            else:
                parents = path.relative_to(top).parents
                outermost = [folder for folder in parents if printable(top / folder) not in used_folders][-1:]
                unread[*outermost].append(path)
    for unread_folder, paths in unread.items():
        num_images = sum(map(is_image, paths)) if unread_folder else 0
        if num_images:
            contents = tr("1 image" if num_images == 1 else "{n:,} images", n=num_images)
            contents += tr(", {n:,} other", n=len(paths) - num_images) if len(paths) > num_images else ""
            folder = printable(unread_folder[0].as_posix())
            counts[tr("folder {name}/ ({contents})", name=folder, contents=contents)] = len(paths)
        else:
            counts.update(printable(path.suffix.lower()) or tr("without a suffix") for path in paths)
    return counts
