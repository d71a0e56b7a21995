"""The review page: time from a key to the answer on the disk, frames while 10,000 images scroll, and kills.

    python benchmarks/review_page.py                   on the generated demo images; also --presses, --kills, --images

Needs playwright and chromium; the browser is headless. The server is a process of its own.

    acknowledged   ms from the key, by the browser's clock, until the page has the acknowledgment, the answer fsynced
    frame          ms between two frames while the grid scrolls by 300 pixels a frame, then by a page; and `thumbnails`,
                   the most that were in the page
    kill           SIGKILL at a random instant while answers are sent one after the other: `n` acknowledged answers of
                   all kills, and `lost`, those of them that `corrections.csv` lacks

The table goes to benchmarks/results/review_page.csv.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
from machine import machine
from playwright.sync_api import Page, sync_playwright

import marinecv as mcv
from marinecv.files.csv_tables import write_table
from marinecv.review.corrections import read_corrections
from marinecv.review.folder import ITEM_COLUMNS, ReviewFolder

RESULTS = Path(__file__).parent / "results" / "review_page.csv"
SERVE = (
    "import sys; from marinecv.review.server import serve; from marinecv.review.folder import ReviewFolder; "
    "serve(ReviewFolder(sys.argv[1]), browser=False, log=lambda text: print(text, flush=True))"
)
WATCH = """
const sent = window.fetch;
window.pressed = []; window.times = [];
addEventListener("keydown", (event) => pressed.push(event.timeStamp), true);
window.fetch = async (path, options) => {
  const response = await sent(path, options);
  if (path !== "answer") return response;
  await response.clone().json();
  times.push(performance.now() - pressed.shift());
  return response;
};"""
SCROLL = """async (by) => {
  const grid = document.getElementById("grid"), frames = [];
  let most = 0, last = await new Promise(requestAnimationFrame);
  for (let frame = 0; frame < 300; frame++) {
    grid.scrollTop = (grid.scrollTop + by) % (grid.scrollHeight - grid.clientHeight);
    const now = await new Promise(requestAnimationFrame);
    frames.push(now - last);
    last = now;
    most = Math.max(most, document.querySelectorAll(".card").length);
  }
  return [frames, most];
}"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--presses", type=int, default=200)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        review = make_review(Path(folder) / "scrolled", args.images)
        with served(review) as (_, address):
            page = browser.new_page(viewport={"width": 1280, "height": 800})
            page.add_init_script(WATCH)
            page.goto(address)
            page.wait_for_selector(".card.current")
            rows = [{"what": "acknowledged", **summary(press(page, args.presses))}]
            for name, step in (("300 px", 300), ("a page", 660)):
                frames, most = page.evaluate(SCROLL, step)
                rows.append({"what": f"frame, {name}", **summary(frames), "thumbnails": most, "images": args.images})
        browser.close()
        rows.append({"what": "kill", **kill(Path(folder), args.kills)})
    table = pd.DataFrame(rows).assign(data="demo images", machine=machine())
    print(table.drop(columns=["data", "machine"]).to_string(index=False))
    write_table(args.output, table)


def make_review(folder: Path, count: int) -> ReviewFolder:
    """Make a review of demo images, over and over."""
    catalog = mcv.read_catalog(mcv.demo_images())
    catalog = catalog.iloc[np.arange(count) % len(catalog)].reset_index(drop=True)
    items = pd.DataFrame("", index=catalog.index, columns=ITEM_COLUMNS)
    items = items.assign(image_id=[f"{index}.jpg" for index in items.index], path=catalog["path"], probability=0.5)
    items = items.assign(predicted_class=catalog["class_name"], event=(items.index // 4).astype(str))
    classes = sorted(set(catalog["class_name"]))
    return ReviewFolder.create(folder, items, kind="review", run="run", class_names=classes)


@contextmanager
def served(review: ReviewFolder) -> Iterator[tuple[subprocess.Popen, str]]:
    """Serve a review by a process; yield it and the address of the page."""
    command = [sys.executable, "-c", SERVE, str(review.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process, process.stdout.readline().split()[3]
        finally:
            process.kill()


def press(page: Page, count: int) -> list[float]:
    """Answer images one after the other by keys; return the ms until each answer was acknowledged."""
    for number in range(count):
        page.keyboard.press(str(number % 7 + 1))
        while page.evaluate("times.length") <= number:
            pass
    return page.evaluate("times")


def summary(values: list[float]) -> dict:
    """Return median, 95th percentile and number of values in ms."""
    return {"median_ms": round(np.median(values), 1), "p95_ms": round(np.percentile(values, 95), 1), "n": len(values)}


def kill(folder: Path, kills: int) -> dict:
    """Kill servers while they are sent answers; count acknowledged and lost ones."""
    rng, acknowledged, lost = random.Random(0), 0, 0
    for number in range(kills):
        review = make_review(folder / f"killed_{number}", 2000)
        with served(review) as (process, address):
            timer = threading.Timer(rng.uniform(0.1, 1), process.kill)
            timer.start()
            done = answer_until_killed(address)
            timer.join()
        lost += len(set(done) - set(read_corrections(review.corrections)["image_id"]))
        acknowledged += len(done)
    return {"n": acknowledged, "kills": kills, "lost": lost}


def answer_until_killed(address: str) -> list[str]:
    """Answer one image after the other; return the ids of the acknowledged ones."""
    host, path = urlsplit(address)[1:3]
    connection, done = HTTPConnection(host, timeout=10), []
    headers = {"Content-Type": "application/json", "Origin": f"http://{host}"}
    with suppress(OSError, HTTPException):
        for row in range(2000):
            body = json.dumps({"seen": row, "rows": [row], "answer": "class", "class_name": "crab"})
            connection.request("POST", f"{path}answer", body, headers)
            response = connection.getresponse()
            response.read()
            if response.status == 200:
                done.append(f"{row}.jpg")
    return done


if __name__ == "__main__":
    main()
