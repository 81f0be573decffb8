"The clinic as a game: every patient's fault is found by its check, and answers are fair."
import numpy as np
import pytest
import torch
from mnist_course import patients
from mnist_course.patients import CASES, SUSPECTS, patient, score, try_check, unknown_patients
from sklearn.datasets import load_digits


@pytest.fixture(scope="module")
def data():
    "Small images, so that thirty trainings take seconds."
    x, y = load_digits(return_X_y=True)
    x, y = torch.tensor(x/16).float(), torch.tensor(y)
    return x[:1300], y[:1300], x[1300:], y[1300:]


@pytest.mark.parametrize("number", CASES)
@pytest.mark.parametrize("seed", [1, 7])
def test_the_check_of_a_case_rings_at_its_patient(data, number, seed):
    p = patient(number, seed, data)
    said, rings = patients._evidence(p, p.case)
    assert rings == (number != 0), said
    assert p.case.suspect not in f"{p!r}".split("suspects")[0].lower()  # the name is not given away
    for what in patients.LOOKS: assert str(p.look(what)).startswith(f"{what}: ")
    answer = str(p.diagnose(p.case.suspect))
    assert answer.startswith(f"Right: {p.case.suspect}. 3 points") and "def " in answer


def test_wrong_diagnoses_cost_points_and_are_answered_by_what_was_measured(data):
    p = patient(12, 3, data)
    for suspect in "unshuffled", "twice", "unshuffled": said = str(p.diagnose(suspect))
    assert "changes of class" in said and p.wrong == ["unshuffled batches", "softmax twice"]
    p.diagnose("zeroed")
    assert (p.solved, p.points) == (True, 1)
    p.diagnose("eval")
    p.diagnose("zeroed")
    assert p.points == 1 and str(score([p])).startswith("1 of 3 points, 1 of 1")


def test_unknown_patients_are_decided_by_the_seed_and_say_nothing(data):
    first, again = (unknown_patients(4, 2, data) for _ in range(2))
    assert [p.case for p in first] == [p.case for p in again]
    np.testing.assert_array_equal(first[0].losses, again[0].losses) # may hold what is no number
    assert len({p.case.suspect for p in first}) == 4
    assert all(p.case.suspect not in f"{p.name} {p.complaint}" for p in first)
    html = first[0]._repr_html_()
    assert "<svg" in html and "aria-label" in html and all(s in html for s in SUSPECTS)


def test_a_patient_leaves_the_generator_alone(data):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    patient(16, 2, data)
    assert torch.equal(torch.rand(3), expected)


def test_a_check_on_trial(data):
    def at_start(model, loss_func, xb, yb): return 1 < loss_func(model(xb), yb) < 4
    trial = try_check(at_start, [1], data)
    assert set(trial.false_alarms) <= set(patients.HEALTHY) and trial.tried == 17
    share = len(trial.caught)/17 - len(trial.false_alarms)/6
    assert trial.score == pytest.approx(100*share) and "faults caught" in repr(trial)
    def broken(model): return 1/0
    stopped = try_check(broken, [1], data)
    assert stopped.score == 0 and len(stopped.stopped) == 23
    assert all("ZeroDivisionError" in text for text in stopped.stopped.values())


@pytest.mark.parametrize("word, said", [("softmax", "could be"), ("demons", "is no suspect"),
                                        ("", "is no suspect")])
def test_a_suspect_that_is_none(data, word, said):
    with pytest.raises(ValueError, match=said): patient(9, 1, data).diagnose(word)
