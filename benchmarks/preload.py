"""What the process that jobs are forked from imports, without doing anything with it."""
import fastai.data.external  # noqa: F401
import mnist_course.data  # noqa: F401
import mnist_course.learner  # noqa: F401
import mnist_course.numpy_net  # noqa: F401
import mnist_course.pixel_similarity  # noqa: F401
import mnist_course.speed  # noqa: F401
import psutil  # noqa: F401
import torch  # noqa: F401
