"""Reads `settings.ini`, the one place for the project's metadata, and hands it to setuptools.

The same files give the same wheel and the same archive of sources, byte for byte: times are those
of SOURCE_DATE_EPOCH, or of 1980, and nobody's name, place or order of files goes in.
"""
import gzip
import os
import tarfile
from configparser import ConfigParser
from pathlib import Path

from setuptools import setup
from setuptools.command.sdist import sdist

os.environ.setdefault("SOURCE_DATE_EPOCH", "315532800") # the wheel's times, too


class ReproducibleSdist(sdist):
    "An archive of sources that depends on their contents alone."
    def make_archive(self, base_name, format, root_dir=None, base_dir=None, **_):
        def plain(info):
            info.mtime, info.uid, info.gid = int(os.environ["SOURCE_DATE_EPOCH"]), 0, 0
            info.uname, info.gname, info.mode = "", "", 0o755 if info.isdir() else 0o644
            return info
        name, base = f"{base_name}.tar.gz", Path(root_dir or ".")/base_dir
        with (open(name, "wb") as raw, gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed,
              tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar):
            for file in sorted(f for f in base.rglob("*") if f.is_file()):
                tar.add(file, f"{base_dir}/{file.relative_to(base).as_posix()}", filter=plain)
        return name


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
    cmdclass={"sdist": ReproducibleSdist},
    entry_points={"console_scripts": cfg["console_scripts"].split()},
)
