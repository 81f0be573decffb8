"Whatever picture of a digit comes, the models get it as MNIST's are; what is none is refused."
import io

import numpy as np
import pytest
import torch
from conftest import PROJECT, cells
from hypothesis import given, settings
from hypothesis import strategies as st
from mnist_course.handwriting import find_ink, my_digit, my_digit_file, prepare, sample_digit, steps
from mnist_course.fetch import get_data, load_parts, source_of
from PIL import Image, ImageDraw

ORIENTATION = 0x0112 # EXIF's number for how the camera was held


def seven(size=(200, 160), at=(60, 40), scale=1., width=8):
    "A seven in dark ink on white: an array of brightness from 0 to 1, (h, w)."
    picture = Image.new("L", size[::-1], 255)
    (top, left), draw = at, ImageDraw.Draw(picture)
    points = [(left + x*scale, top + y*scale) for x, y in ((0, 0), (50, 0), (20, 80))]
    draw.line(points, fill=0, width=width, joint="curve")
    return np.asarray(picture)/255


def apart(a, b):
    "Mean difference of two prepared digits, from 0 to 1; rounding may move one by a pixel."
    moved = (b.roll((i, j), (0, 1)).float() for i in (-1, 0, 1) for j in (-1, 0, 1))
    return min((a.float() - m).abs().mean().item() for m in moved)/255


@pytest.fixture(scope="module")
def plain(): return prepare(seven())


@settings(max_examples=20, deadline=None)
@given(top=st.integers(5, 110), left=st.integers(5, 100))
def test_where_it_stands_does_not_matter(top, left):
    assert apart(prepare(seven(at=(top, left))), prepare(seven())) < .01


@settings(max_examples=20, deadline=None)
@given(scale=st.floats(.4, 2.5), dark=st.booleans())
def test_size_and_colour_do_not_matter(scale, dark):
    size = round(200*scale) + 20, round(160*scale) + 20
    picture = seven(size, (60*scale, 40*scale), scale, max(1, round(8*scale)))
    assert apart(prepare(picture if dark else 1 - picture), prepare(seven())) < .03


@settings(max_examples=20, deadline=None)
@given(angle=st.floats(0, 6.28), slope=st.floats(0, .3), grain=st.floats(0, .03),
       seed=st.integers(0, 99))
def test_light_and_grain_do_not_matter(angle, slope, grain, seed):
    y, x = np.mgrid[-1:1:200j, -1:1:160j]
    light = .65 + slope*(x*np.cos(angle) + y*np.sin(angle))
    noise = np.random.default_rng(seed).normal(0, grain, light.shape)
    assert apart(prepare(light*(.25 + .75*seven()) + noise), prepare(seven())) < .03


def test_it_is_as_mnists_are(plain):
    assert plain.dtype == torch.uint8 and plain.shape == (28, 28) and plain.max() == 255
    used = plain.nonzero()
    assert (used.max(0).values - used.min(0).values + 1).max() == 20
    mass = plain.double()/plain.sum()
    for axis in (0, 1):
        assert abs((mass.sum(1 - axis) @ torch.arange(28.).double()) - 14) <= .51
    assert list(steps(seven()))[-1] == "centred in 28×28"
    assert not plain[:2].any() and 20 < (plain > 127).sum() < 200 # light paper, a stroke of ink


def test_a_wrong_turn_would_be_noticed(plain):
    assert apart(prepare(seven()[:, ::-1]), plain) > .05
    assert apart(prepare(seven().T), plain) > .05


def test_every_kind_of_picture(plain, tmp_path):
    grey = Image.fromarray((seven()*255).astype(np.uint8))
    clear = np.zeros((200, 160, 4), np.uint8) # black ink on nothing, as a drawing program saves it
    clear[..., 3] = 255 - np.asarray(grey)
    white = clear.copy()
    white[..., :3] = 255                      # white ink on nothing
    rgb = np.array(grey.convert("RGB"))
    kinds = {"rgb": rgb, "rgb first": torch.from_numpy(rgb).permute(2, 0, 1), "clear": clear,
             "white on clear": Image.fromarray(white), "palette": grey.convert("P"),
             "one bit": grey.convert("1", dither=0), "alpha": grey.convert("LA"),
             "cmyk": grey.convert("CMYK"), "16 bit": np.asarray(grey).astype(np.uint16)*257,
             "bool": seven() > .5, "float": torch.from_numpy(seven()), "list": seven().tolist(),
             "over one": seven()*1.01, "centred": seven()*2 - 1, "channel": seven()[None],
             "int": Image.fromarray(np.asarray(grey).astype(np.int32))}
    for name, picture in kinds.items(): assert apart(prepare(picture), plain) < .01, name
    for ending in ("png", "bmp", "gif", "webp", "tiff", "JPG"):
        file = tmp_path/f"seven.{ending}"
        grey.save(file)
        assert apart(prepare(file), plain) < .02, ending
    assert apart(prepare(str(file)), plain) < .02


def test_a_phone_held_sideways(plain):
    turned = Image.fromarray((np.rot90(seven())*255).astype(np.uint8))
    exif, file = Image.Exif(), io.BytesIO()
    exif[ORIENTATION] = 6 # "turn me a quarter to the right"
    turned.save(file, "JPEG", exif=exif, quality=95)
    assert apart(prepare(Image.open(file)), plain) < .02


def test_dust_goes_and_the_roof_of_a_five_stays():
    dusty = seven()
    dusty[20:24, 10:14] = dusty[180:183, 150:153] = 0
    assert apart(prepare(dusty), prepare(seven())) < .01
    apart_roof = np.ones((200, 160))
    apart_roof[60:150, 60:68] = apart_roof[60:68, 80:120] = 0 # two pieces
    assert (prepare(apart_roof)[:, 15:] > 127).sum() > 5


def test_a_thin_pen_gives_no_thin_digit(plain):
    thin = prepare(seven((800, 640), (240, 160), 4., 4))
    assert (thin > 127).sum() > .7*(plain > 127).sum()


@pytest.mark.parametrize("picture, words", [
    (np.ones((50, 50)), "No digit found"), (np.zeros((50, 50), np.uint8), "No digit found"),
    (np.random.default_rng(0).normal(.5, .1, (200, 200)), "No digit found"),
    (np.linspace(.2, .9, 200)[None].repeat(200, 0), "No digit found"),
    (np.zeros((0, 28)), "empty"), (np.full((28, 28), np.inf), "not finite"),
    (np.ones((1, 28)), "too small"), (np.ones(784), r"not \(784,\)"),
    (np.ones((2, 28, 28)), r"not \(2, 28, 28\)"), ("nowhere.png", "no file nowhere.png"),
])
def test_what_is_no_digit_gets_one_sentence(picture, words):
    with pytest.raises(ValueError, match=words) as e: prepare(picture)
    assert "\n" not in str(e.value) and len(str(e.value)) < 250


def test_what_is_no_picture_gets_one_sentence(tmp_path):
    for contents in (b"", b"not a picture", picture_bytes()[:200]):
        (tmp_path/"digit.png").write_bytes(contents)
        with pytest.raises(ValueError, match="digit.png cannot be read as a picture"):
            prepare(tmp_path/"digit.png")
    with pytest.raises(ValueError, match="cannot be read"): prepare(tmp_path)
    for wrong in (None, {"a": 1}, ["a"]):
        with pytest.raises(TypeError, match="give a file"): prepare(wrong)


def picture_bytes():
    file = io.BytesIO()
    sample_digit().save(file, "PNG")
    return file.getvalue()


def test_no_digit_in_a_picture_that_find_ink_is_asked_for_alone():
    with pytest.raises(ValueError, match="No digit found"): find_ink(np.ones((40, 40), np.float32))


def test_a_large_photograph_is_reduced_first():
    large = Image.fromarray((seven()*255).astype(np.uint8)).resize((3200, 4000))
    assert steps(large)["its ink"].shape == (600, 480)
    assert apart(prepare(large), prepare(seven())) < .02


def test_the_readers_own_comes_before_ours(tmp_path, monkeypatch):
    (tmp_path/"course"/"nbs").mkdir(parents=True)
    monkeypatch.chdir(tmp_path/"course"/"nbs")
    assert my_digit_file() is None and torch.equal(my_digit(), prepare(sample_digit()))
    Image.fromarray((seven()*255).astype(np.uint8)).save(tmp_path/"course"/"my_digit.jpeg")
    assert my_digit_file() == tmp_path/"course"/"my_digit.jpeg"
    assert apart(my_digit(), prepare(seven())) < .02
    (tmp_path/"course"/"nbs"/"my_digit.png").write_bytes(b"half a file")
    with pytest.raises(ValueError, match=r"my_digit\.png cannot be read"): my_digit()


def test_ours_is_the_same_every_time_and_no_mnist_image():
    assert np.array_equal(sample_digit(), sample_digit()) and sample_digit().mode == "RGB"
    assert "PNG" not in "".join(s for _, s, _ in cells(PROJECT/"nbs"/"api"/"handwriting.ipynb")
                                if "_STROKE = " in s) # points, not a picture


def test_mnists_own_digits_survive_it():
    "Prepared again, they are what they were: the box of 20 and the centre are MNIST's."
    path = get_data("full")
    images = load_parts(path)["testing"][0][:100]
    again = torch.stack([prepare(image) for image in images])
    changed = (again.float() - images.float()).abs().mean()
    assert changed < (6 if source_of(path) == "mnist" else 30) # the stand-in's fill no box of 20
