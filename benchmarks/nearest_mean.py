"""The nearest mean image, ten digits: fit on the training part, read the testing part."""
import warnings

import numpy as np
from mnist_course.data import as_rows
from mnist_course.pixel_similarity import PixelSimilarity

from .timing import Comparison, Disagreement, Way
from .work import digits


def ours() -> np.ndarray:
    return PixelSimilarity("l2").fit(*digits("training")).predict(digits("testing")[0]).numpy()


def by_sklearn() -> np.ndarray:
    from sklearn.neighbors import NearestCentroid
    images, labels = digits("training")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore") # the corners are blank in every image
        model = NearestCentroid().fit(as_rows(images).numpy(), labels.numpy())
    return model.predict(as_rows(digits("testing")[0]).numpy())


def same_digits(outputs: dict) -> None:
    first, *_ = outputs
    for name, found in outputs.items():
        if len(found) != len(outputs[first]) or (found != outputs[first]).any():
            raise Disagreement(f"{name} reads other digits than {first}.")


def comparisons(quick: bool, device: str) -> list[Comparison]:
    return [Comparison(
        "nearest_mean", "Nearest mean, ten digits, L2: 60,000 to fit, 10,000 to read",
        (Way("pixel_similarity", ours), Way("scikit-learn's NearestCentroid", by_sklearn)),
        same_digits, "the same digit for every image", rounds=2 if quick else 7)]
