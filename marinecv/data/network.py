"""Get a file over the network: resumable, never hanging, and known within seconds whether there is a network."""

import errno
import http.client
import os
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from marinecv.atomic import write_text
from marinecv.progress import progress_bar

TIMEOUT_S = 30
RETRIES = 3
MEND = (
    "Or download it in a browser and name the file: `marinecv data fetch NAME --from FILE`, "
    "or use a folder of your own with --data-dir."
)
FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}
_CHUNK = 2**20
_PORTS = {"https": 443, "http": 80}


def reachable(url: str, timeout: float = 5.0) -> bool:
    """Whether the host of a URL, or the proxy that stands before it, answers a TCP connect within `timeout` seconds."""
    parts = urlsplit(url)
    proxy = urllib.request.getproxies().get(parts.scheme)
    if proxy and not urllib.request.proxy_bypass(parts.netloc):
        parts = urlsplit(proxy if "//" in proxy else f"//{proxy}", scheme="http")
    answered = threading.Event()

    def connect() -> None:
        try:
            address = parts.hostname, parts.port or _PORTS.get(parts.scheme, 443)
            socket.create_connection(address, timeout=timeout).close()
        except OSError:
            return
        answered.set()

    # A name look-up knows no timeout: only a thread left behind can be given up on.
    thread = threading.Thread(target=connect, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def download(url: str, path: Path, progress: Callable[[str], None]) -> None:
    """Download a URL to a path, which appears only when it is complete; `<path>.part` of the same file is resumed.

    Raises ConnectionError where the server refuses, or the connection broke `RETRIES` times.
    """
    if not reachable(url):
        raise ConnectionError(f"{urlsplit(url).hostname} does not answer. Run the command again with a network. {MEND}")
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, RETRIES + 1):
        time.sleep(attempt - 1)
        try:
            _continue(url, part, progress)
            os.replace(part, path)
            _edition(part).unlink(missing_ok=True)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is as long as the file, or longer: it cannot be trusted
                part.unlink(missing_ok=True)
            elif error.code < 500:
                raise ConnectionError(f"{url} answers {error.code} {error.reason}. {MEND}") from None
            failure = error
        except ConnectionError as error:
            failure = error
        progress(f"Attempt {attempt} of {RETRIES} failed: {failure}")
    raise ConnectionError(f"{url} could not be downloaded: {failure}. Run the same command again to resume. {MEND}")


def download_from_drive(file_id: str, path: Path, progress: Callable[[str], None]) -> None:
    """Download a public Google Drive file with gdown; `path` appears only when it is complete.

    Raise ConnectionError where gdown could not get it, and OSError where the disk is full.
    """
    import gdown

    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    progress(f"Asking Google Drive for {file_id}")
    try:
        gdown.download(id=file_id, output=str(part), quiet=True, resume=True, timeout=TIMEOUT_S, retries=RETRIES)
        os.replace(part, path)
    except Exception as error:  # gdown passes on its own errors and those of requests, which share no ancestor
        if isinstance(error, OSError) and error.errno in FULL:
            raise
        raise ConnectionError(
            f"Google Drive did not hand over {file_id}: {error}. Expected a file shared with anyone who has the "
            f"link. {MEND}"
        ) from error


def _continue(url: str, part: Path, progress: Callable[[str], None]) -> None:
    """One attempt: append to the part if the server's file is still the one it came from, else begin again."""
    edition = _edition(part).read_text(encoding="utf-8") if _edition(part).is_file() else ""
    had = part.stat().st_size if part.is_file() and edition else 0
    headers = {"Range": f"bytes={had}-", "If-Range": edition} if had else {}
    with _breaking():
        answer = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    with answer:
        resumed = answer.status == 206
        right_place = answer.headers.get("Content-Range", "").startswith(f"bytes {had}-")
        if resumed and not (right_place and _edition_of(answer.headers) in ("", edition)):
            part.unlink()
            raise ConnectionError("the server sent another piece than the one asked for")
        done, length = (had if resumed else 0), answer.headers.get("Content-Length", "")
        total = done + int(length) if length.isdecimal() else None
        in_mb = total and round(total / 1e6)
        bar = progress_bar(in_mb, "downloading", unit="MB", done=round(done / 1e6), log=progress)
        with part.open("ab" if resumed else "wb") as file, bar as show:
            if not resumed:  # the part is empty now, so that no bytes of another edition stand before it
                write_text(_edition(part), _edition_of(answer.headers))
            while chunk := _read(answer):
                file.write(chunk)
                done += len(chunk)
                show(round(done / 1e6))
    if total is not None and done < total:
        raise ConnectionError(f"the connection broke after {done:,} of {total:,} bytes")


def _edition(part: Path) -> Path:
    """The file beside a part that says of which edition of the server's file it is; empty where nobody knows."""
    return part.with_name(f"{part.name}.edition")


def _edition_of(headers: http.client.HTTPMessage) -> str:
    """What the server calls the bytes it sends; a weak ETag does not vouch for them."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")


def _read(answer: http.client.HTTPResponse) -> bytes:
    with _breaking():
        return answer.read(_CHUNK)


@contextmanager
def _breaking() -> Iterator[None]:
    """Tell errors of the network from those of the disk, which Python gives the same name."""
    try:
        yield
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise ConnectionError(str(error) or type(error).__name__) from error
