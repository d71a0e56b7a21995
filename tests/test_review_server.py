"""What the server of the review page gives, what it refuses, and what survives a kill."""

import io
import signal
import threading
from contextlib import suppress
from http.client import HTTPException

import numpy as np
import pytest
from conftest import draw_image
from PIL import Image
from reviews import CLASSES, Client, make_review, served, served_by_a_process

from marinecv.review.corrections import CLASS, UNKNOWN, Answer, Corrections, read_corrections
from marinecv.review.server import MAX_BODY, serve
from marinecv.review.session import THUMBNAIL_PX


@pytest.fixture
def review(tmp_path):
    return make_review(tmp_path)


@pytest.fixture
def client(review):
    with served(review) as address:
        yield Client(address)


def picture_of(content):
    return Image.open(io.BytesIO(content))


def mean_color(picture):
    return np.asarray(picture.convert("RGB"), float).mean(axis=(0, 1))


def crab(*rows, seen=0):
    return {"seen": seen, "rows": rows, "answer": "class", "class_name": "crab"}


def test_only_the_page_itself_is_answered(client):
    assert client.get("")[0] == 200
    other = "/".join(["", "A" * (len(client.path) - 2), ""])
    for path in (other, "/", "", client.path[:-1], f"{client.path}../", "/%C3%A9/", f"{client.path}corrections.csv"):
        assert client.request("GET", path, None, {})[0] == 403, path
    for host in ("localhost", "evil.example", client.host.replace("127.0.0.1", "localhost"), ""):
        assert client.get("data", Host=host)[0] == 403, host
    assert client.get("data", Origin="http://evil.example")[0] == 403
    for origin in (None, "null", "http://evil.example", f"https://{client.host}"):
        assert client.post("answer", crab(0), Origin=origin)[0] == 403, origin
        assert client.post("finish", {"seen": 0}, Origin=origin)[0] == 403, origin
    assert client.get("data")[1]["answers"] == {}


def test_a_picture_is_named_by_its_row_alone(client):
    for path in (
        "thumb/12",
        "thumb/-1",
        "thumb/../1",
        "thumb/%2e",
        "thumb",
        "thumb/1/2",
        "neighbor/24",
        "heat/0",
        "answer",
    ):
        assert client.get(path)[0] == 403, path
    for path in ("thumb", "answer/1", "data"):
        assert client.post(path, crab(0))[0] == 403, path
    assert client.request("PUT", f"{client.path}answer", "{}", {})[0] == 501


def test_nothing_is_loaded_from_elsewhere_or_kept_by_others(client):
    for path, cache in (("", "no-store"), ("data", "no-store"), ("thumb/0", "private, max-age=3600")):
        _, content, headers = client.get(path)
        policy = headers["Content-Security-Policy"]
        assert "default-src 'none'; script-src 'self'; style-src 'self' 'sha256-" in policy and "http" not in policy
        assert headers["Cache-Control"] == cache and headers["X-Content-Type-Options"] == "nosniff"
    assert b"http" not in client.get("")[1].replace(b"http-equiv", b"") and b"http" not in client.get("review.js")[1]


@pytest.mark.parametrize(
    "status, body, headers",
    [
        (413, b"", {"Content-Length": str(MAX_BODY + 1)}),
        (411, b"{}", {"Content-Length": "-1"}),
        (411, b"{}", {"Content-Length": "1e3"}),
        (415, crab(0), {"Content-Type": "text/plain"}),
        (400, b"{", {}),
        (400, b"\xff\xfe", {}),
        (400, {"rows": [0]}, {}),
        (400, crab(0) | {"path": "/etc/passwd"}, {}),
        (400, crab(0) | {"answer": ""}, {}),
        (400, crab(), {}),
        (400, crab(0, 12), {}),
        (400, crab(-1), {}),
        (400, crab(0) | {"class_name": " "}, {}),
        (400, crab(0) | {"class_name": "a\0"}, {}),
        (400, crab(0) | {"class_name": "a" * 201}, {}),
        (400, b'{"seen":0,"rows":[0],"answer":"class","class_name":"\\ud800"}', {}),
    ],
)
def test_a_wrong_body_is_refused_in_words_and_writes_nothing(client, review, status, body, headers):
    before = review.corrections.read_bytes()
    answer = client.post("answer", body, **headers)
    assert answer[0] == status and answer[1]["error"]
    assert review.corrections.read_bytes() == before


def test_answers_are_appended_and_undone(client, review):
    assert client.post("answer", crab(0, 2))[1] == {
        "batch": 1,
        "answers": {"0": ["class", "crab"], "2": ["class", "crab"]},
    }
    assert client.post("answer", {"seen": 1, "rows": [2], "answer": "unknown"})[0] == 200
    assert (
        client.post("answer", {"seen": 2, "rows": [1], "answer": "class", "class_name": " =sea\u00a0 fox "})[0] == 200
    )
    table = read_corrections(review.corrections).set_index("image_id")
    assert (
        table.loc["eel/image_1.jpg"].tolist() == [CLASS, "=sea fox"] and table["answer"]["ray/image_2.jpg"] == UNKNOWN
    )
    for batch, rows in ((4, [1]), (5, [2]), (6, [0, 2]), (6, [])):
        content = client.post("undo", {"seen": batch - 1 if rows else batch})[1]
        assert content["batch"] == batch and content["rows"] == rows
    assert set(Corrections(review.corrections).answers.values()) == {Answer()}


def test_two_windows_do_not_overwrite_each_other(client):
    other = Client(f"http://{client.host}{client.path}")
    assert client.post("answer", crab(0))[0] == 200
    status, content, _ = other.post("answer", {"seen": 0, "rows": [0, 1], "answer": "empty"})
    assert status == 409 and content["answers"] == {"0": ["class", "crab"]} and "another window" in content["error"]
    assert other.post("undo", {"seen": 0})[0] == 409
    assert other.post("answer", {"seen": 0, "rows": [1], "answer": "empty"})[1]["answers"].keys() == {"0", "1"}
    assert other.post("answer", {"seen": content["batch"], "rows": [0], "answer": "empty"})[0] == 200
    assert client.get("changes/1")[1] == {"batch": 3, "answers": {"0": ["empty", ""], "1": ["empty", ""]}}
    assert client.get("data")[1]["answers"] == {"0": ["empty", ""], "1": ["empty", ""]}


def test_many_windows_at_once_lose_no_answer(client, review):
    def answer(number):
        window = Client(f"http://{client.host}{client.path}")
        for row in range(number, 12, 4):
            assert window.post("answer", crab(row))[0] == 200

    threads = [threading.Thread(target=answer, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(read_corrections(review.corrections)) == 12


def test_pictures_are_crops_small_upright_and_of_their_row(tmp_path):
    review = make_review(tmp_path)
    photo = draw_image("crab", seed=0).resize((2400, 1800))
    exif = Image.Exif()
    exif[0x0112] = 6  # a quarter turn
    photo.save(tmp_path / "pictures" / "image_6.jpg", exif=exif)
    with served(review) as address:
        client = Client(address)
        assert [picture_of(client.get(path)[1]).size for path in ("thumb/0", "thumb/1", "large/1")] == [
            (64, 48), (32, 40), (64, 48)
        ]  # fmt: skip
        assert picture_of(client.get("thumb/6")[1]).size == (120, THUMBNAIL_PX)
        assert picture_of(client.get("large/6")[1]).size == (1200, 1600)
        assert mean_color(picture_of(client.get("thumb/6")[1])) == pytest.approx(mean_color(photo), abs=3)
        crop = draw_image("eel", seed=1).crop((8, 4, 40, 44))
        assert mean_color(picture_of(client.get("thumb/1")[1])) == pytest.approx(mean_color(crop), abs=3)
        assert client.get("detail/1")[1]["box"] == [8, 4, 40, 44] and client.get("detail/6")[1]["size"] == [1800, 2400]
        near = client.get("detail/0")[1]["neighbors"]
        assert near["class_name"] == ["eel", "ray"] and near["name"] == ["train/image_1.jpg", "train/image_2.jpg"]
        assert mean_color(picture_of(client.get(f"neighbor/{near['row'][1]}")[1])).argmax() == 2


def test_an_image_that_cannot_be_read_has_its_reason(client):
    for path in ("thumb/5", "large/5", "neighbor/8"):
        status, content, _ = client.get(path)
        assert status == 422 and "cannot be read: not an image of a known kind" in content["error"]
    assert "cannot be read" in client.get("detail/5")[1]["problem"]


def test_a_blind_review_sends_no_class_of_a_label_prediction_or_neighbor(tmp_path, finished_run):
    from marinecv.runs import Run

    review = make_review(tmp_path, given=True)
    with served(review, Run(finished_run), hide_predictions=True) as address:
        client = Client(address)
        data = client.get("data")[1]
        assert {"given_class", "predicted_class", "probability"}.isdisjoint(data) and not data["heat"]
        assert data["classes"] == data["keys"] == list(CLASSES) and data["names"][0] == "image_0.jpg"
        assert client.get("detail/0")[1]["neighbors"] == {"row": [0, 1], "similarity": [0.9, 0.9]}
        assert client.get("heat/0")[0] == 403
        text = str({name: value for name, value in data.items() if name not in ("classes", "keys")})
        assert not any(name in text for name in CLASSES) and "0.9" not in text


def test_the_nine_most_frequent_classes_have_keys(tmp_path):
    classes = tuple(f"class {number}" for number in range(12))
    review = make_review(tmp_path, count=30, classes=classes)
    frequent = review.items["predicted_class"].value_counts()
    with served(review) as address:
        keys = Client(address).get("data")[1]["keys"]
    assert keys == [name for name in classes if name in keys] and len(keys) == 9
    assert min(frequent[name] for name in keys) >= max(frequent[name] for name in classes if name not in keys)


def test_grad_cam_is_drawn_over_the_crop_or_refused_in_words(tmp_path, finished_run, monkeypatch):
    from marinecv.review import heat
    from marinecv.runs import Run

    run = Run(finished_run)
    review = make_review(tmp_path, classes=(*run.class_names, "dragon"))
    with served(review, run) as address:
        client = Client(address)
        pictures = [picture_of(client.get(f"heat/{row}")[1]) for row in (0, 1)]
        assert [picture.size for picture in pictures] == [(64, 48), (32, 40)]
        plain = picture_of(client.get("large/0")[1])
        assert np.abs(np.asarray(plain, float) - np.asarray(pictures[0], float)).max() > 30
        row = len(run.class_names)
        assert client.get(f"heat/{row}")[1]["error"] == "No Grad-CAM: 'dragon' is no class of the model"
        assert "cannot be" in client.get("heat/5")[1]["error"] or row == 5
        with monkeypatch.context() as patch:
            patch.setattr(heat, "heatmaps", lambda *_: np.zeros((1, 8, 8)))
            assert client.get("heat/0")[1]["error"].startswith("No Grad-CAM: no heat: ")
    monkeypatch.setattr(Run, "load_model", lambda self: 1 / 0)
    with served(review, run) as address:
        status, content, _ = Client(address).get("heat/0")
        assert status == 422 and content["error"] == "No Grad-CAM: division by zero"


def test_the_status_is_told_and_ends_the_review_when_it_is_enough(tmp_path):
    review = make_review(tmp_path)

    def status():
        count = len(review.answered())
        if count == 1:
            raise ValueError("One image is too few.")
        return f"{count} answered", count != 3

    with served(review, status=status) as address:
        client = Client(address)
        assert client.get("status")[1] == {"text": "0 answered", "enough": False}  # nothing is answered yet
        client.post("answer", crab(0))
        assert client.get("status")[1] == {"text": "One image is too few.", "enough": False}
        client.post("answer", crab(1, 2, seen=1))
        assert client.get("status")[1]["enough"] is False
        client.post("answer", crab(3, seen=2))
        assert client.get("status")[1] == {"text": "4 answered", "enough": True}
        assert client.post("answer", crab(4, seen=3))[0] == 403  # over the connection that is still open
    assert len(review.answered()) == 4


def test_a_full_disk_is_told_and_ends_the_answers(client, review, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        status, content, _ = client.post("answer", crab(0))
        assert status == 500 and "No space left on device" in content["error"]
    assert client.post("answer", crab(0))[0] == client.post("undo", {"seen": 9})[0] == 403


def test_a_second_server_of_a_folder_is_refused_until_ctrl_c_ends_the_first(review):
    with served_by_a_process(review) as (process, _):
        with pytest.raises(ValueError, match="in use: another process"):
            serve(review, browser=False)
        process.send_signal(signal.SIGINT)  # Ctrl-C ends it as "Finish" does
        assert process.wait(60) == 0


def test_a_killed_server_loses_no_answer_that_it_acknowledged(review):
    with served_by_a_process(review) as (process, address):
        client, acknowledged = Client(address), 0
        timer = threading.Timer(0.3, process.kill)
        timer.start()
        with suppress(OSError, HTTPException):
            while True:
                row, name = acknowledged % 12, f"class {acknowledged}"
                acknowledged += client.post("answer", crab(row, seen=acknowledged) | {"class_name": name})[0] == 200
        timer.join()
    assert acknowledged
    log = review.corrections.read_bytes().decode()
    assert all(f",class {number}\n" in log for number in range(acknowledged))
    with served(review) as address:
        assert len(Client(address).get("data")[1]["answers"]) >= min(acknowledged, 12)
