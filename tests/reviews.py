"""Folders of images to look at, and the server of the review page in a thread or a process of its own."""

import json
import subprocess
import sys
import threading
from contextlib import contextmanager, suppress
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pandas as pd
from conftest import draw_image

from marinecv.review.folder import ITEM_COLUMNS, NEIGHBOR_COLUMNS, ReviewFolder
from marinecv.review.server import serve

CLASSES = ("crab", "eel", "ray")
DRAWN = 60  # of more images, several show one file
SERVE = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "  # also in the background
SERVE += "from marinecv.review.server import serve; from marinecv.review.folder import ReviewFolder; "
SERVE += "serve(ReviewFolder(sys.argv[1]), browser=False, log=lambda text: print(text, flush=True))"


def make_review(folder, count=12, classes=CLASSES, given=False, **about):
    """A review of images of 48x64: item 1 is a crop, 2 to 4 are an event, the file of item 5 is damaged.

    Each item has the images of the next two as its nearest training images.
    """
    pictures = folder / "pictures"
    pictures.mkdir(parents=True)
    rows, neighbors = [], []
    for number in range(count):
        path = pictures / f"image_{number % DRAWN}.jpg"
        if number < DRAWN:
            draw_image(CLASSES[number % 3], seed=number).save(path)
        label = classes[number % len(classes)]
        event = "e1" if number in (2, 3, 4) else ""
        row = [
            f"{label}/image_{number}.jpg",
            str(path),
            "",
            "",
            label if given else "",
            label,
            0.9,
            event,
            "cam 1",
            "",
            "",
        ]
        rows.append(row)
        for step in (1, 2):
            other = pictures / f"image_{(number + step) % min(count, DRAWN)}.jpg"
            neighbors.append((row[0], f"train/{other.name}", str(other), classes[(number + step) % len(classes)], 0.9))
    if count > 5:
        rows[1][2] = "8,4,40,44"
        (pictures / "image_5.jpg").write_bytes(b"no picture")
    items = pd.DataFrame(rows, columns=ITEM_COLUMNS)
    about = {"kind": "review", "run": "runs/reef", "class_names": classes} | about
    return ReviewFolder.create(folder / "review", items, pd.DataFrame(neighbors, columns=NEIGHBOR_COLUMNS), **about)


class Client:
    """A browser without a page: one connection that sends what a page would; `served` closes them all."""

    opened = []

    def __init__(self, address):
        self.host, self.path = urlsplit(address)[1:3]
        self.connection = HTTPConnection(self.host, timeout=60)
        self.opened.append(self.connection)

    def get(self, path, **headers):
        return self.request("GET", self.path + path, None, headers)

    def post(self, path, body, **headers):
        headers = {"Content-Type": "application/json", "Origin": f"http://{self.host}"} | headers
        return self.request("POST", self.path + path, body if isinstance(body, bytes) else json.dumps(body), headers)

    def request(self, method, path, body, headers):
        """Status, content (of JSON its value) and headers of the answer; a header that is None is left out."""
        self.connection.request(method, path, body, {name: text for name, text in headers.items() if text is not None})
        response = self.connection.getresponse()
        content = response.read()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, json.loads(content) if is_json else content, response.headers


def close_clients():
    for connection in Client.opened:
        connection.close()
    Client.opened.clear()


@contextmanager
def served(folder, run=None, **options):
    """The address of a review page that a thread serves; the thread has ended at the end."""
    lines, started = [], threading.Event()

    def log(text):
        lines.append(text)
        started.set()

    thread = threading.Thread(target=serve, args=(folder, run), kwargs={"browser": False, "log": log} | options)
    thread.start()
    assert started.wait(60)
    address = lines[0].split()[3]
    try:
        yield address
    finally:
        if thread.is_alive():
            with suppress(ConnectionError):  # it may be ending
                Client(address).post("finish", {"seen": 0})
        close_clients()
        thread.join(60)
        assert not thread.is_alive()


@contextmanager
def served_by_a_process(folder):
    """The process that serves a review page, and the address."""
    process = subprocess.Popen([sys.executable, "-c", SERVE, folder.folder], stdout=subprocess.PIPE, text=True)
    try:
        yield process, process.stdout.readline().split()[3]
    finally:
        close_clients()
        process.kill()
        process.wait(60)
        process.stdout.close()
