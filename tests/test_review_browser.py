"""The review page in a real browser, by the keyboard alone."""

import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import COLORS, draw_image
from pages import started_browser
from reviews import make_review, served

from marinecv.files.csv_tables import read_table
from marinecv.review.corrections import CLASS, EMPTY, UNKNOWN, Answer, Corrections
from marinecv.review.session import Refused, Session

ODD = ("<script>document.title = 'ran'</script>", "قرش أبيض", '🐟 "quoted" & <b>', "crab spider")


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


class Page:
    """A window of a review; `press` returns when all keys have acted."""

    def __init__(self, browser, address, **options):
        self.page, self.complaints, self.waiting = browser.new_page(**options), [], 0
        self.page.on("request", lambda _: self.count(1))
        self.page.on("requestfinished", lambda _: self.count(-1))
        self.page.on("requestfailed", lambda _: self.count(-1))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("console", lambda message: self.complaints.append(message.text))
        self.page.goto(address)
        self.page.wait_for_selector(".card.current")

    def count(self, change):
        self.waiting += change

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)
        idle = 0
        while idle < 2:
            self.page.wait_for_timeout(25)
            idle = 0 if self.waiting else idle + 1

    def write(self, text):
        self.page.keyboard.type(text)

    @property
    def said(self):
        return self.page.inner_text("#said").strip()

    @property
    def current(self):
        return int(self.page.get_attribute(".card.current", "id").removeprefix("card-"))

    @property
    def selected(self):
        cards = self.page.locator(".card[aria-selected=true]").all()
        return sorted(int(card.get_attribute("id").removeprefix("card-")) for card in cards)


@pytest.fixture
def opened(browser, tmp_path):
    """Opens windows of one review; the browser must have nothing to complain of but pictures that cannot be read."""
    pages, servers = [], []

    def open_page(again=False, viewport=(1280, 800), scheme="light", server=None, **options):
        if not servers:
            review = make_review(tmp_path, **options)
            context = served(review, **(server or {}))
            servers.append((context, review, context.__enter__()))
        size = dict(zip(("width", "height"), viewport, strict=True))
        pages.append(Page(browser, servers[0][2], viewport=size, color_scheme=scheme, bypass_csp=bool(again)))
        return pages[-1], servers[0][1]

    yield open_page
    for page in pages:
        page.page.close()
    for context, *_ in servers:
        context.__exit__(None, None, None)
    assert not [text for page in pages for text in page.complaints if "422" not in text and "409" not in text]


def answers_of(review):
    return {image: given for image, given in Corrections(review.corrections).answers.items() if given.answer}


def test_the_script_is_small():
    script = (files("marinecv.review") / "review.js").read_text(encoding="utf-8")
    assert len(script.encode()) <= 20_000 and max(map(len, script.splitlines())) <= 120


def test_every_answer_by_the_keyboard_alone(opened):
    page, review = opened()
    assert page.page.evaluate("document.activeElement.id") == "grid" and page.current == 0
    page.press("Enter", "2", "x")  # the prediction, the second class, nothing there: typed ahead
    assert page.current == 3 and page.page.inner_text("#count") == "3 of 12 answered"
    assert page.said == "ray/image_2.jpg: nothing there."
    page.press("u", "ArrowRight", "ArrowRight", "Enter")
    expected = [(0, CLASS, "crab"), (1, CLASS, "eel"), (2, EMPTY, ""), (3, UNKNOWN, ""), (6, CLASS, "crab")]
    names = review.items["image_id"]
    assert answers_of(review) == {names[row]: Answer(*given) for row, *given in expected}
    assert page.page.text_content("#card-3 .verdict") == "✓ unknown" and "answered" in page.page.get_attribute(
        "#card-3", "class"
    )
    page.press("Control+z", "Control+z")
    assert page.current == 3 and len(answers_of(review)) == 3
    page.page.reload()
    page.page.wait_for_selector(".card.current")
    assert page.current == 3
    page.press("Control+z", "Control+z", "Control+z", "Control+z")
    assert answers_of(review) == {} and page.current == 0 and page.said == "Nothing is left to undo."


def test_an_event_a_range_and_moves(opened):
    page, review = opened()
    page.press("End")
    assert page.current == 11
    page.press("Home", "ArrowRight", "ArrowRight", "ArrowRight", "e")
    assert page.current == 3 and page.selected == [2, 3, 4]
    page.press("Enter")
    assert "different classes" in page.said and answers_of(review) == {}
    page.press("1")
    assert len(answers_of(review)) == 3 and page.current == 5
    page.press("ArrowRight", "Shift+ArrowRight", "Shift+ArrowRight")
    assert page.selected == [6, 7, 8]
    page.press("x")
    assert len(answers_of(review)) == 6 and page.current == 9
    page.press("Control+z")
    assert len(answers_of(review)) == 3
    page.press("ArrowUp", "ArrowDown")
    columns = page.page.evaluate("Math.floor(document.querySelector('#list').clientWidth / 172)")
    assert page.current == min(11, max(0, 6 - columns) + columns)


def test_a_class_is_typed_and_no_other_key_acts_meanwhile(opened):
    page, review = opened(classes=ODD)
    page.press("/")
    page.write("xu1 eg?/")
    assert page.page.input_value("#text") == "xu1 eg?/" and page.page.locator("#keys").is_hidden()
    page.press("Escape")
    assert answers_of(review) == {} and page.page.evaluate("document.activeElement.id") == "grid"
    page.press("/")
    page.write("spid")  # inside a name
    page.press("Enter")
    page.press("/")
    page.write("qur")
    page.press("Enter")
    assert "Enter again adds it" in page.said and len(answers_of(review)) == 1
    page.press("Enter", "/")
    page.write("QU")  # two match; those that begin with it come first
    assert page.page.locator("#matches > div").all_inner_texts() == ["qur", ODD[2], "new class: QU"]
    page.press("ArrowDown", "Enter", "2")
    assert [given.class_name for given in answers_of(review).values()] == [ODD[3], "qur", ODD[2], ODD[1]]


def test_names_are_shown_and_run_nothing(opened):
    page, _ = opened(classes=ODD, given=True)
    text = page.page.inner_text("body")
    assert all(name in text for name in ODD) and page.page.title() == "Review of reef"
    assert page.page.inner_text("#means") == "the label is right"
    page.press(" ")
    assert ODD[0] in page.page.inner_text("#facts") and page.page.inner_text("#near bdi >> nth=0") == ODD[1]


def test_the_large_view_has_box_zoom_and_neighbors(opened):
    page, review = opened()
    page.press("ArrowRight", " ")
    frame, box = (page.page.locator(name).bounding_box() for name in ("#frame", "#box"))
    scale = frame["width"] / 64
    assert box["x"] - frame["x"] == pytest.approx(8 * scale, abs=3) and box["width"] == pytest.approx(32 * scale, abs=3)
    assert box["y"] - frame["y"] == pytest.approx(4 * scale, abs=3) and box["height"] == pytest.approx(
        40 * scale, abs=3
    )
    assert page.page.locator("#near li").all_inner_texts() == ["ray 0.90", "crab 0.90"]
    page.press("+", "+", "ArrowRight")  # which moves the picture now
    assert page.current == 1 and page.page.locator("#frame").bounding_box()["width"] > 1.9 * frame["width"]
    page.press("-", "-", "Enter")
    assert page.current == 2 and page.page.inner_text("#name") == "ray/image_2.jpg" and len(answers_of(review)) == 1
    page.press("End", "Home", "Escape")
    assert page.page.locator("#large").is_hidden() and page.page.evaluate("document.activeElement.id") == "grid"


def test_grad_cam_is_shown_or_refused_in_words(opened, monkeypatch):
    def heat(session, row):
        if row:
            raise Refused(422, "No Grad-CAM: no convolution")
        return session.thumb(2)  # another color

    monkeypatch.setattr(Session, "heat", heat)
    page, _ = opened(server={"run": SimpleNamespace(spec=SimpleNamespace(white=None))})
    page.press("g", " ", "g")
    assert (
        page.page.inner_text("#note") == "Grad-CAM of crab"
        and page.page.get_attribute("#heat", "aria-pressed") == "true"
    )
    assert page.page.locator("#picture").get_attribute("src").startswith("blob:")
    page.press("g")
    assert page.page.inner_text("#note") == "" and page.page.locator("#picture").get_attribute("src") == "large/0"
    page.press("ArrowRight", "g")
    assert page.page.inner_text("#note") == "No Grad-CAM: no convolution" and page.page.locator("#box").is_visible()


def test_an_image_that_cannot_be_read_says_why(opened):
    page, _ = opened()
    page.page.wait_for_selector("#card-5 .missing")
    assert "cannot be read: not an image" in page.page.inner_text("#card-5 .missing")
    page.press(*["ArrowRight"] * 5, " ")
    assert "cannot be read: not an image" in page.page.inner_text("#note")


def test_two_windows_show_each_other_and_keep_both(opened):
    first, review = opened()
    second, _ = opened()
    first.press("1")
    second.press("2")
    assert "another window has answered 1" in second.said and len(answers_of(review)) == 1
    assert second.page.text_content("#card-0 .verdict") == "✓ crab" and second.current == 1  # it goes on
    second.press("Home", "2")
    assert answers_of(review)["crab/image_0.jpg"].class_name == "eel" and second.current == 1
    first.press("Control+z")
    assert "another window" in first.said and first.page.text_content("#card-0 .verdict") == "✓ eel"


def test_the_filter_and_a_blind_review(opened):
    page, review = opened(server={"hide_predictions": True})
    page.press("Enter", "g")
    assert answers_of(review) == {} and page.said == "There is no class to confirm."
    page.page.locator("#filter").press(" ")
    page.page.locator("#grid").focus()
    page.press("1", "2")
    assert page.current == 2 and page.page.locator(".card").count() == 10
    assert page.page.inner_text(".card.current") == "image_2.jpg"


def test_what_the_status_says_and_the_end(opened):
    page, review = opened(server={"status": lambda: ("12 checked", False)})
    page.press("?")
    assert page.page.locator("#keys").is_visible()
    page.press("1", "Escape")
    assert page.page.locator("#keys").is_hidden() and answers_of(review) == {}
    page.press("1")
    assert page.page.inner_text("#status") == "12 checked"
    page.page.locator("[data-key=finish]").press("Enter")
    page.page.get_by_text("Finished: 1 of 12").wait_for()


def test_ten_thousand_images_keep_few_thumbnails(opened):
    page, _ = opened(count=10_000)
    for key in ("PageDown", "PageDown", "End", "PageUp"):
        page.press(key)
        assert 20 < page.page.locator(".card").count() <= 300
    assert page.current > 9_900


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_its_window(opened, width):
    page, _ = opened(viewport=(width, 800), classes=(*ODD, "long " * 30))
    for keys in ((), (" ",), ("/",)):
        page.press(*keys)
        assert page.page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(opened, axe, scheme):
    page, _ = opened(again=True, viewport=(390, 800), scheme=scheme, classes=ODD)
    page.page.evaluate(axe)
    page.press("1", "ArrowRight", "e")
    for keys in ((), (" ",), ("/", "q"), ("Escape", "?")):
        page.press(*keys)
        violations = page.page.evaluate("axe.run().then(result => result.violations)")
        serious = [violation for violation in violations if violation["impact"] in ("serious", "critical")]
        assert not serious, [(each["id"], each["nodes"][0]["html"][:200]) for each in serious]


@pytest.mark.slow
def test_an_estimate_is_answered_by_keys_and_printed(browser, axe, finished_run, tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    for number in range(36):
        name = sorted(COLORS)[number % 3]
        draw_image(name, 100 + number).save(photos / f"{name}_{number}.jpg")
    words = ["estimate", str(finished_run), str(photos), "--check", "20", "--output-dir", str(tmp_path / "out")]
    command = [sys.executable, Path(__file__).parents[1] / "run.py", *words]
    environment = {**os.environ, "BROWSER": "true"}  # opens nothing
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as process:
        address = next(line.split()[3] for line in process.stdout if line.startswith("The review page: "))
        page = Page(browser, address, viewport={"width": 1280, "height": 800}, bypass_csp=True)
        page.page.evaluate(axe)
        assert page.page.title() == "Estimate of photos" and "has no answer" not in page.page.inner_text("#status")
        right = []
        for number in range(20):
            card = page.page.inner_text(".card.current")
            [true] = [name for name in sorted(COLORS) if f"{name}_" in page.page.get_attribute(".current img", "alt")]
            right.append(true in card)
            if number == 10:
                violations = page.page.evaluate("axe.run().then(result => result.violations)")
                assert not [each for each in violations if each["impact"] in ("serious", "critical")]
            page.press(str(sorted(COLORS).index(true) + 1))
        page.page.get_by_text("Enough is answered. You can close the page.").wait_for()
        page.page.close()
        printed = process.stdout.read()
    assert process.returncode == 0 and not page.complaints
    accuracy = read_table(tmp_path / "out" / "estimate.csv").iloc[0]
    text = " ".join(f"{float(accuracy[name]):.2f}" for name in ("value", "low", "high"))
    assert "accuracy {} ({} to {}) from 20 of 20 checked.".format(*text.split()) in printed
    assert float(accuracy["low"]) <= sum(right) / 20 <= float(accuracy["high"])
