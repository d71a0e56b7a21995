"""The class names of a YOLO `data.yaml`, without a YAML library: a list or a mapping, on one line or several."""

import re
from pathlib import Path

_ITEM = r"""\s*(?:(\d+)\s*:\s*)?(?:'((?:[^']|'')*)'|"([^"]*)"|([^\s,'"\[\]{}][^END\n]*))"""
_IN_BRACKETS = re.compile(_ITEM.replace("END", r",\[\]{}"))
_ON_LINES = re.compile(_ITEM.replace("END", ""))  # there a name may hold a comma, and in both an apostrophe


def read_names(path: Path) -> tuple[str, ...]:
    """Return the class names in index order.

    Raises:
        ValueError: not UTF-8, no `names:`, a name that is empty or not closed, or keys that do not count up from 0.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeError as error:
        raise ValueError(f"{path} is not UTF-8: {error}. Save it as UTF-8.") from None
    lines = [re.sub(r"(^|\s)#.*", "", line).rstrip() for line in text.splitlines()]
    start = next((number for number, line in enumerate(lines) if line.startswith("names:")), None)
    text = "" if start is None else _block(lines, start)
    item = _IN_BRACKETS if _opens(text) else _ON_LINES
    found = [match.groups() for match in item.finditer(text)]
    names = [(single or double or plain or "").strip().replace("''", "'") for _, single, double, plain in found]
    keys = [key.lstrip("0") or "0" for key, *_ in found if key is not None]
    places = [str(place) for place in range(len(names))]
    unread = re.search(r"[^\s,\[\]{}]", item.sub(" ", text))
    if unread or not names or not all(names) or (keys and sorted(keys) != sorted(places)):
        raise ValueError(
            f"{path} does not name its classes. Expected names: ['fish', 'shark'], or a mapping from 0: fish on. "
            f"Found {text.strip()[:80] or 'no names:'!r}."
        )
    order = map(int, keys or places)
    return tuple(name for _, name in sorted(zip(order, names, strict=True)))


def _block(lines: list[str], start: int) -> str:
    """Everything that belongs to `names:`, one item a line or a bracket; dashes of a list taken off."""
    block = [lines[start].removeprefix("names:")]
    for line in lines[start + 1 :]:
        closed = _opens("\n".join(block)) and re.search(r"[\]}]\s*$", block[-1])
        if closed or (line and not line[0].isspace() and line[0] not in "-]}"):
            break
        block.append(re.sub(r"^\s*-\s+", "", line))
    return "\n".join(block)


def _opens(text: str) -> bool:
    return text.lstrip().startswith(("[", "{"))
