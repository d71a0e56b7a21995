"""The review page, served to the browser of this machine alone."""

import base64
import hashlib
import json
import re
import secrets
import sys
import webbrowser
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files

import msgspec

from marinecv.console import Log, silent
from marinecv.files.lock import lock_folder
from marinecv.review.folder import ReviewFolder
from marinecv.review.session import Given, Refused, Session, Status
from marinecv.runs import Run

MAX_BODY = 2**20  # bytes of a request: an answer for 100,000 rows has fewer
IDLE_S = 60  # after which a connection without a request is closed
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-{}'; img-src 'self' blob: data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FILES = {
    "": (files("marinecv.review") / "page.html", "text/html"),
    "review.js": (files("marinecv.review") / "review.js", "text/javascript"),
    "style.css": (files("marinecv.report.templates") / "style.css", "text/css"),
}
_PATH = re.compile(r"/([\w-]+)/([a-z.]*)(?:/(\d{1,9}))?", re.ASCII)


def serve(
    folder: ReviewFolder,
    run: Run | None = None,
    *,
    hide_predictions: bool = False,
    status: Status | None = None,
    browser: bool = True,
    log: Log = silent,
) -> None:
    """Serve the review page until "Finish" is pressed in it, Ctrl-C, or enough is answered.

    Args:
        folder: the images to look at; answers are appended to its `corrections.csv`.
        run: whose model draws Grad-CAM, loaded when the first is asked for; None draws none.
        hide_predictions: send no labels, predictions, classes of neighbors and Grad-CAM, for a blind review.
        status: called for the head of the page, at first and after answers: a sentence, and whether enough is answered.
        browser: open the page in the default browser.
        log: called with the address, which is a secret.
    Raises:
        ValueError: another process writes into the folder, or one of its files is broken.
    """
    with lock_folder(folder.folder):
        session = Session(folder, run, hide_predictions, status)
        with _Server(session) as server:
            with suppress(KeyboardInterrupt):
                log(f'The review page: {server.address}\n"Finish" in it or Ctrl-C here ends it; every answer is saved.')
                if browser:
                    webbrowser.open(server.address)
                server.serve_forever(poll_interval=0.1)
            session.close()


class _Server(ThreadingHTTPServer):
    """A server on a free port of 127.0.0.1 whose address holds a secret."""

    def __init__(self, session: Session):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.session, self.token, self.host = session, secrets.token_urlsafe(24), f"127.0.0.1:{self.server_port}"
        self.address = f"http://{self.host}/{self.token}/"
        self.files = {name: (kind, path.read_bytes()) for name, (path, kind) in _FILES.items()}
        style = re.search(b"<style>(.*?)</style>", self.files[""][1], re.DOTALL)[1]
        self.headers = {
            "Content-Security-Policy": POLICY.format(base64.b64encode(hashlib.sha256(style).digest()).decode()),
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
        }

    def handle_error(self, *connection) -> None:
        """Print no traceback for a browser that no longer waits for a picture."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*connection)


class _Handler(BaseHTTPRequestHandler):
    """One connection of a browser."""

    server: _Server
    protocol_version, timeout, disable_nagle_algorithm = "HTTP/1.1", IDLE_S, True

    def do_GET(self) -> None:
        self._reply(self._get)

    def do_POST(self) -> None:
        self._reply(self._post)

    def log_message(self, *_) -> None:
        """Print no request: the address is a secret."""

    def _reply(self, fulfill: Callable[[str, int | None], tuple[str, bytes | dict]]) -> None:
        """Write the answer of `fulfill(word, number)` of the path; end the server where it says that it is enough."""
        status, is_enough = 200, False
        try:
            kind, content = fulfill(*self._checked_path())
        except Refused as refused:
            status, kind, content = refused.status, "application/json", refused.content
            self.close_connection = True  # its body was perhaps not read
        if isinstance(content, dict):
            is_enough, content = content.get("enough", False), json.dumps(content).encode()
        self.send_response(status)
        cache = "private, max-age=3600" if kind == "image/jpeg" else "no-store"
        headers = {"Content-Type": kind, "Content-Length": str(len(content)), "Cache-Control": cache}
        headers["Connection"] = "close" if self.close_connection else "keep-alive"
        for name, value in (headers | self.server.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
        if is_enough:
            self.server.shutdown()

    def _checked_path(self) -> tuple[str, int | None]:
        """Return word and number of the path; Refused unless the page of this server asks."""
        path, origin = _PATH.fullmatch(self.path), self.headers.get("Origin")
        if not path or not secrets.compare_digest(path[1], self.server.token):
            raise Refused(403, "Not the address of this page.")
        is_own = origin == f"http://{self.server.host}" or origin is None and self.command == "GET"
        if self.headers.get("Host") != self.server.host or not is_own:
            raise Refused(403, "Not asked by this page.")
        return path[2], None if path[3] is None else int(path[3])

    def _get(self, name: str, number: int | None) -> tuple[str, bytes | dict]:
        session = self.server.session
        if number is None and name in self.server.files:
            return self.server.files[name]
        if number is None and name in ("data", "status"):
            return "application/json", getattr(session, name)()
        if number is not None and name == "changes":
            return "application/json", session.changes(number)
        counts = dict.fromkeys(("detail", "thumb", "large", "heat"), len(session.items))
        if number is None or number >= (counts | {"neighbor": len(session.folder.neighbors)}).get(name, 0):
            raise Refused(403, "There is nothing of this address.")
        return "application/json" if name == "detail" else "image/jpeg", getattr(session, name)(number)

    def _post(self, name: str, number: int | None) -> tuple[str, dict]:
        if number is not None or name not in ("answer", "undo", "finish"):
            raise Refused(403, "There is nothing of this address.")
        length = self.headers.get("Content-Length", "")
        if not re.fullmatch("[0-9]{1,9}", length):
            raise Refused(411, "Expected the length of the body.")
        if int(length) > MAX_BODY:
            raise Refused(413, f"Expected at most {MAX_BODY:,} bytes.")
        if self.headers.get_content_type() != "application/json":
            raise Refused(415, "Expected JSON.")
        try:
            given = msgspec.json.decode(self.rfile.read(int(length)), type=Given)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Refused(400, f"Expected an answer as JSON: {error}.") from error
        if name == "finish":
            return "application/json", {"enough": True}
        try:
            return "application/json", getattr(self.server.session, name)(given)
        except OSError as error:  # such as a full disk; to open the file again removes half a line
            self.server.session.close()
            raise Refused(500, f"Not saved: {error}. Start the review again.") from error
