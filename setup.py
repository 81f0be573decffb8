"Reads `settings.ini`, the one place for the project's metadata, and hands it to setuptools."
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup

here = Path(__file__).parent
parser = ConfigParser()
parser.read(here/"settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]
extras = {name: cfg[f"{name}_requirements"].split()
          for name in ("course", "lab", "onnx", "many", "book", "dev")}
for name in "lab", "onnx", "many", "book": extras["dev"] += extras[name] # the tests use all of it
newest = int(cfg["max_python"].split(".")[1])
oldest = int(cfg["min_python"].split(".")[1])

setup(
    name=cfg["lib_name"],
    version=cfg["version"],
    description=cfg["description"],
    long_description=(here/"README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    keywords=cfg["keywords"].split(),
    license="Apache-2.0",
    classifiers=["Development Status :: 4 - Beta", "Intended Audience :: Education",
                 "Natural Language :: English",
                 *(f"Programming Language :: Python :: 3.{v}" for v in range(oldest, newest + 1))],
    packages=[cfg["lib_name"], cfg["lib_name"] + ".lab"],
    package_data={cfg["lib_name"]: ["lab/*.json", "lab/*.csv", "py.typed"]},
    python_requires=">=" + cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require=extras,
    entry_points={"console_scripts": cfg["console_scripts"].split()},
)
