"""What the script of a page does in a real browser, what it must not do, and what a page is without it."""

import shutil

import pytest
from pages import SCRIPT, make_run, started_browser

from marinecv.evaluation.metrics import confusion, per_class_metrics
from marinecv.evaluation.predictions import probabilities_and_labels, read_predictions
from marinecv.evaluation.selective import threshold_table
from marinecv.report import run_page
from marinecv.report.html import by_split
from marinecv.report.run_page import write_run_report

ODD = ("قرش أبيض", "דג זהב", "🐟 🦈", 'a "quoted" name', "it's", "<b>&amp;", "crab")
MANY = tuple(f"class {number}" for number in range(100))
RUNS = {  # classes, images a split, classes that have images
    "1": (("crab", "eel"), {"train": 6, "validation": 6, "test": 6}, 1),
    "7": (ODD, {"train": 14, "validation": 30, "test": 28}, None),
    "100": (MANY, {"validation": 150, "test": 110}, None),
}


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pages")
    for name, (classes, counts, used) in RUNS.items():
        write_run_report(make_run(folder / name, classes=classes, counts=counts, used=used))
    return folder


@pytest.fixture(scope="module")
def browser():
    with started_browser() as browser:
        yield browser


@pytest.fixture
def opened(browser, pages):
    """Opens the page of a run; the browser must have nothing to complain of at the end."""
    complaints, contexts = [], []

    def open_page(name="7", width=1280, **options):
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, **options))
        page = contexts[-1].new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.goto((pages / name / "report.html").as_uri())
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not complaints


def table_of(pages, split, name="7"):
    return by_split(read_predictions(pages / name / "predictions.csv"))[split]


def test_the_script_is_small():
    assert len(SCRIPT.encode()) <= 20_000 and max(map(len, SCRIPT.splitlines())) <= 120


@pytest.mark.slow
@pytest.mark.parametrize("key", ["click", "Enter"])
def test_a_cell_shows_its_images_largest_errors_first(opened, pages, key):
    table, page = table_of(pages, "test"), opened()
    counts = confusion(table)
    row, column = next((i, j) for i in range(7) for j in range(7) if counts.iat[i, j] > 1)
    cell = page.locator(f'td[data-split=test][data-true="{row}"][data-predicted="{column}"]')
    assert page.locator("#shown").is_hidden()
    cell.click() if key == "click" else cell.locator("button").press("Enter")
    shown = page.locator("#shown li")
    expected = table[(table["true_class"] == ODD[row]) & (table["predicted_class"] == ODD[column])]
    expected = expected.sort_values(f"p_{ODD[row]}", kind="stable")["image_id"]
    assert shown.locator("div:nth-of-type(1)").all_inner_texts() == list(expected)
    assert shown.locator("img").count() == counts.iat[row, column] and page.locator("#shown p.note").inner_text() == ""
    assert shown.locator("img").first.evaluate("image => [image.naturalWidth, image.naturalHeight]") == [64, 48]
    cell.locator("button").press("Enter")
    assert page.locator("#shown").is_hidden()


def test_a_class_and_a_row_of_the_reliability_table_show_their_images(opened, pages):
    page, table = opened(), table_of(pages, "validation")
    page.locator("tr[data-split=validation][data-true='2'] th").click()
    shown = page.locator("#shown div:nth-of-type(1)")
    assert set(shown.all_inner_texts()) == set(table[table["true_class"] == ODD[2]]["image_id"])
    row = page.locator("tr[data-bin]").last
    row.locator("td").first.click()  # anywhere in the row
    confidence = probabilities_and_labels(table_of(pages, "test"))[0].max(axis=1)
    low, high = ((int(row.get_attribute("data-bin")) - end) / 15 for end in (1, 0))
    expected = table_of(pages, "test")["image_id"][(confidence > low) & (confidence <= high)]
    assert len(expected) and set(shown.all_inner_texts()) == set(expected)


def test_a_page_with_few_thumbnails_says_so(browser, pages, tmp_path, monkeypatch):
    shutil.copytree(pages / "7", tmp_path / "run")
    monkeypatch.setattr(run_page, "MAX_THUMBNAILS", 3)
    page = browser.new_page()
    page.goto(write_run_report(tmp_path / "run").as_uri())
    page.locator("tr[data-split=validation][data-true='0'] th").click()
    shown = page.locator("#shown li").count()
    n = (table_of(pages, "validation")["true_class"] == ODD[0]).sum()
    assert shown <= 3 < n and f"{shown} of {n} images are in this page" in page.locator("#shown").inner_text()
    page.close()


def test_the_slider_gives_coverage_accuracy_and_review_of_a_threshold(opened, pages):
    page, table = opened(), table_of(pages, "test")
    probabilities, true = probabilities_and_labels(table)
    rows = threshold_table(probabilities.max(axis=1), probabilities.argmax(axis=1) == true)
    for percent in (40, 83):
        page.locator("#threshold").fill(str(percent))
        expected = rows.iloc[percent]
        n, reviewed = int(expected["n"]), int(expected["reviewed"])
        texts = page.locator("tr[data-thresholds] >> nth=0").locator("td").all_inner_texts()
        assert n and texts[0] == f"{n} ({n / 28:.1%})" and texts[2] == f"{reviewed} ({reviewed / 28:.1%})"
        assert texts[1] == "{accuracy:.3f} ({low:.3f} to {high:.3f})".format(**expected)
        assert page.locator("output").inner_text() == f"{percent / 100:.2f}"


def test_a_table_sorts_and_filters(opened, pages):
    page = opened("100")
    classes = page.locator("#classes ~ .scroll >> nth=0")
    heading = classes.locator("thead th").last
    recall = per_class_metrics(table_of(pages, "test", "100"))["support"]
    for direction in (1, -1):
        heading.locator("button").click()
        values = [int(text) for text in classes.locator("tbody td:last-child").all_inner_texts()]
        assert values == sorted(recall, reverse=direction < 0)
    assert heading.get_attribute("aria-sort") == "descending"
    page.locator("#classes ~ input >> nth=0").fill("class 42")
    assert classes.locator("tbody tr:visible").count() == 1


@pytest.mark.parametrize("name", RUNS)
def test_no_page_is_wider_than_a_phone(opened, name):
    page = opened(name, width=390)
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_without_its_script_a_page_has_its_tables_and_pictures_and_no_slider(opened):
    page = opened(java_script_enabled=False)
    assert page.locator("#threshold").is_hidden() and page.locator("#shown").is_hidden()
    for text in ("Threshold, coverage and review", "0.95", "Most confused pairs", "Class by class"):
        assert page.get_by_text(text, exact=True).first.is_visible()
    assert page.locator("ul.pictures img:visible").count() > 12


def test_no_other_script_or_style_of_a_page_is_allowed(browser, pages, tmp_path):
    written = (pages / "7" / "report.html").read_text(encoding="utf-8")
    foreign = (
        "<script>document.title = 'ran'</script><style>h1 { color: red }</style><img src='http://127.0.0.1:9/a.png'>"
    )
    (tmp_path / "page.html").write_text(written.replace("<main", foreign + "<main", 1), encoding="utf-8")
    page, refused = browser.new_page(), []
    page.on("console", lambda message: refused.append(message.text))
    page.goto((tmp_path / "page.html").as_uri())
    assert page.title() != "ran" and len([text for text in refused if "Content Security Policy" in text]) == 3
    assert page.locator("h1").evaluate("heading => getComputedStyle(heading).color") != "rgb(255, 0, 0)"
    page.close()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", RUNS)
def test_axe_finds_nothing_serious(opened, axe, name, scheme):
    page = opened(name, width=390, color_scheme=scheme, bypass_csp=True)
    page.locator("td[data-n]").first.click()
    page.evaluate(axe)
    violations = page.evaluate("axe.run().then(result => result.violations)")
    serious = [violation for violation in violations if violation["impact"] in ("serious", "critical")]
    assert not serious, [(each["id"], each["nodes"][0]["html"][:200], len(each["nodes"])) for each in serious]
