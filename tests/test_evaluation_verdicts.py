import pytest

from marinecv.evaluation.verdicts import VERDICTS, attainable, verdict

AQUARIUM_VALIDATION = ("0.7480", "0.7795", "0.7717", "0.8346", "0.8268")


@pytest.mark.parametrize("figure", AQUARIUM_VALIDATION)
def test_the_aquarium_validation_figures_are_attainable(figure):
    assert attainable(figure, 127)


@pytest.mark.parametrize("figure", ["0.8730", "0.8254", "0.7460"])
def test_the_aquarium_from_scratch_test_figures_are_attainable(figure):
    assert attainable(figure, 63)


@pytest.mark.parametrize("figure", ["0.9263", "0.9367", "0.9578"])
def test_the_aquarium_fine_tuning_test_figures_are_not(figure):
    assert not attainable(figure, 63)


def test_a_truncated_figure_is_attainable():
    assert f"{199 / 223:.4f}" == "0.8924"
    assert attainable("0.8923", 223)


@pytest.mark.parametrize("n", [1, 7, 63, 127, 500])
@pytest.mark.parametrize("decimals", [2, 3])
def test_attainable_agrees_with_trying_every_k(n, decimals):
    scale = 10**decimals
    possible = {k * scale // n for k in range(n + 1)} | {(2 * k * scale + n) // (2 * n) for k in range(n + 1)}
    halves = {k * scale // n for k in range(n + 1) if 2 * k * scale % n == 0}  # a half may be rounded either way
    for units in range(scale):
        assert attainable(f"0.{units:0{decimals}d}", n) == (units in possible | halves)


def test_zero_and_one_are_always_attainable():
    assert attainable("0.00", 3)
    assert attainable("1.000", 3)
    assert attainable("1", 3)


@pytest.mark.parametrize("figure", [0.748, "74.8", "1.2", "92%", ""])
def test_a_figure_must_be_as_printed(figure):
    with pytest.raises(ValueError, match="Expected a fraction as printed, in quotes"):
        attainable(figure, 127)


def test_a_figure_needs_images():
    with pytest.raises(ValueError, match="at least one image"):
        attainable("0.5", 0)


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (("0.7480", 127, 94, 127), "consistent"),
        (("0.7480", 127, 0.70, 127), "consistent"),
        (("0.7480", 127, 120, 127), "exceeded"),
        (("0.7480", 127, 0.5, 127), "below"),
        (("0.9263", 63, 60, 63), "not attainable"),
        (("0.444", 500, 44, 100), "not comparable"),
        (("0.444", None, 44, 100), "not comparable"),
        (("0.7480", 127, 94, 127, False), "not comparable"),
        (("0.7480", 127, None, None), "not run here"),
    ],
)
def test_verdicts(arguments, word):
    judged = verdict(*arguments)
    assert judged["verdict"] == word
    assert word in VERDICTS
    assert (judged["smallest_difference"] is not None) == (word in ("consistent", "exceeded", "below"))
    assert judged["sentence"].endswith(".")


def test_the_sentence_names_both_figures_and_the_smallest_difference():
    sentence = verdict("0.7480", 127, 94, 127)["sentence"]
    assert sentence.startswith("0.7402 here, 0.7480 published: consistent; differences under 0.114")
    assert "theirs stands on 500 images, ours on 100" in verdict("0.444", 500, 44, 100)["sentence"]
