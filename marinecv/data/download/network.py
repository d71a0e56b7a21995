"""Download a file: resumable, with time limits, and without a mixture of two versions of it."""

import errno
import http.client
import os
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from marinecv.console import Log
from marinecv.files.atomic import write_text
from marinecv.progress import progress_bar

TIMEOUT_S = 30
RETRIES = 3
HINT = "Or download it in a browser and name the file: `marinecv data fetch NAME --from FILE`."
DISK_ERRORS = {errno.ENOSPC, errno.EFBIG, errno.EACCES, getattr(errno, "EDQUOT", errno.ENOSPC)}  # faults of the disk
_CHUNK = 2**20


def reachable(url: str, timeout: float = 5.0) -> bool:
    """Return whether the host of a URL answers, through the proxy if there is one, within `timeout` seconds."""
    answered, host = threading.Event(), f"{urlsplit(url).scheme}://{urlsplit(url).netloc}/"

    def ask() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(host, method="HEAD"), timeout=timeout).close()
        except urllib.error.HTTPError as error:
            error.close()
        except (OSError, http.client.HTTPException):
            return
        answered.set()

    # A name look-up has no timeout, so it runs in a thread that can be left behind.
    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(timeout)
    return answered.is_set()


def download(url: str, path: Path, progress: Log) -> None:
    """Download a URL to a path, whole or not at all, resuming `<path>.part`; ConnectionError, OSError for the disk."""
    if not reachable(url):
        raise ConnectionError(f"{urlsplit(url).hostname} does not answer. Run the command again with a network. {HINT}")
    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    for attempt in range(1, RETRIES + 1):
        time.sleep(attempt - 1)
        try:
            _download_rest(url, part, progress)
            os.replace(part, path)
            _version_file(part).unlink(missing_ok=True)
            return
        except urllib.error.HTTPError as error:
            error.close()
            if error.code == 416:  # the part is as long as the file, or longer: it cannot be trusted
                part.unlink(missing_ok=True)
            elif error.code < 500:
                raise ConnectionError(f"{url} answers {error.code} {error.reason}. {HINT}") from None
            failure = error
        except (OSError, http.client.HTTPException) as error:
            if getattr(error, "errno", None) in DISK_ERRORS:
                raise
            failure = error
        progress(f"Attempt {attempt} of {RETRIES} failed: {failure}")
    raise ConnectionError(f"{url} could not be downloaded: {failure}. Run the same command again to resume. {HINT}")


def download_from_drive(file_id: str, path: Path, progress: Log) -> None:
    """Download a public Google Drive file with gdown as `download` does."""
    import gdown

    part = path.with_name(f"{path.name}.part")
    part.parent.mkdir(parents=True, exist_ok=True)
    progress(f"Asking Google Drive for {file_id}")
    try:
        gdown.download(id=file_id, output=str(part), silent=True, resume=True, timeout=TIMEOUT_S, retries=RETRIES)
        os.replace(part, path)
    except Exception as error:  # its own errors and those of requests share no ancestor
        if isinstance(error, OSError) and error.errno in DISK_ERRORS:
            raise
        raise ConnectionError(
            f"Google Drive did not send {file_id}: {error}. Expected a file shared with anyone who has the link. {HINT}"
        ) from error


def _download_rest(url: str, part: Path, progress: Log) -> None:
    """Append to the part if the server still has the version it came from, else begin again."""
    version = _version_file(part).read_text(encoding="utf-8") if _version_file(part).is_file() else ""
    offset = part.stat().st_size if part.is_file() and version else 0
    headers = {"Range": f"bytes={offset}-", "If-Range": version} if offset else {}
    response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT_S)
    with response:
        resumed, range_sent = response.status == 206, response.headers.get("Content-Range", "")
        if resumed and not (range_sent.startswith(f"bytes {offset}-") and _version(response.headers) in ("", version)):
            part.unlink()
            raise ConnectionError("the server sent another range than the one asked for")
        num_bytes, length = (offset if resumed else 0), response.headers.get("Content-Length", "")
        total = num_bytes + int(length) if length.isdecimal() else None
        in_mb = total and round(total / 1e6)
        bar = progress_bar(in_mb, "downloading", unit="MB", done=round(num_bytes / 1e6), log=progress)
        with part.open("ab" if resumed else "wb") as file, bar as show:
            if not resumed:  # the part is empty now, so that no bytes of another version stand before it
                write_text(_version_file(part), _version(response.headers))
            while chunk := response.read(_CHUNK):
                file.write(chunk)
                num_bytes += len(chunk)
                show(round(num_bytes / 1e6))
    if total is not None and num_bytes < total:
        raise ConnectionError(f"the connection broke after {num_bytes:,} of {total:,} bytes")


def _version_file(part: Path) -> Path:
    """Return the file beside a part that holds the version of the server's file; empty where unknown."""
    return part.with_name(f"{part.name}.edition")


def _version(headers: http.client.HTTPMessage) -> str:
    """Return what identifies the bytes sent: a strong ETag, else the date."""
    tag = headers.get("ETag", "")
    return tag if tag.startswith('"') else headers.get("Last-Modified", "")
