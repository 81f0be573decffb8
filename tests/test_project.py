"The project as a whole: exported, clean, consistent, and speaking only of itself."
import configparser
import filecmp
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import NOTEBOOKS, PROJECT, cells
from mnist_course.lab import benchmarks, ledger, results
from mnist_course.lab.commands import readme_files

BIN = Path(sys.executable).parent


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    "The notebooks and settings in a folder of their own."
    folder = tmp_path_factory.mktemp("copy")
    shutil.copy(PROJECT/"settings.ini", folder)
    shutil.copytree(PROJECT/"nbs", folder/"nbs", ignore=shutil.ignore_patterns(".*"))
    (folder/"mnist_course").mkdir()
    shutil.copy(PROJECT/"mnist_course"/"__init__.py", folder/"mnist_course")
    return folder


def test_a_fresh_export_equals_the_package(copy):
    subprocess.run([BIN/"nbdev_export"], cwd=copy, check=True)
    def modules(folder):
        return {str(f.relative_to(folder)): f.read_text("utf-8") for f in folder.rglob("*.py")}
    fresh, ours = (modules(folder/"mnist_course") for folder in (copy, PROJECT))
    assert sorted(fresh) == sorted(ours), "a module was left behind, or not exported"
    for name in fresh: assert fresh[name] == ours[name], f"{name}: run nbdev_export"


def test_notebooks_are_clean(copy):
    subprocess.run([BIN/"nbdev_clean"], cwd=copy, check=True)
    for nb in NOTEBOOKS:
        cleaned = copy/nb.relative_to(PROJECT)
        assert filecmp.cmp(nb, cleaned, shallow=False), f"{nb.name}: run nbdev_clean"


def test_readme_is_the_index():
    for name, contents in readme_files().items():
        assert (PROJECT/name).read_bytes().replace(b"\r\n", b"\n") == contents, "run `make readme`"


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_links_lead_to_files(page):
    links = re.findall(r"\]\(([^)#:\s]+)\)", (PROJECT/page).read_text("utf-8"))
    assert links or page == "CONTRIBUTING.md"
    for link in links: assert ((PROJECT/page).parent/link).exists(), link


def test_front_page_shows_the_ledger_as_it_is():
    shown = results.as_markdown(results.results(ledger.load()))
    assert shown and shown in (PROJECT/"README.md").read_text("utf-8"), "run `make readme`"


def test_front_page_shows_the_benchmarks_as_they_are():
    shown = results.as_markdown(benchmarks.front_table(benchmarks.load()))
    assert shown and shown in (PROJECT/"README.md").read_text("utf-8"), "run `make readme`"
    assert benchmarks.provenance(benchmarks.load()) in (PROJECT/"README.md").read_text("utf-8")


def test_settings_are_one_place():
    settings = configparser.ConfigParser()
    settings.read(PROJECT/"settings.ini", encoding="utf-8")
    settings = settings["DEFAULT"]
    init = (PROJECT/"mnist_course"/"__init__.py").read_text("utf-8")
    assert f'__version__ = "{settings["version"]}"' in init
    assert settings["version"] in (PROJECT/"CHANGELOG.md").read_text("utf-8")
    pinned = re.findall(r"^([\w.-]+)==", (PROJECT/"constraints.txt").read_text("utf-8"), re.M)
    names = " ".join(settings[f"{p}requirements"] for p in ("", "course_", "lab_", "many_", "book_",
                                                             "dev_"))
    for name in re.findall(r"(?:^| )([\w-]+)", names): assert name in pinned, f"pin {name}"


def test_workflows_follow_the_schema():
    files = sorted((PROJECT/".github"/"workflows").glob("*.yaml"))
    assert files
    subprocess.run([BIN/"check-jsonschema", "--builtin-schema", "vendor.github-workflows", *files],
                   check=True, stdout=subprocess.DEVNULL)


def tracked():
    found = subprocess.run(["git", "ls-files"], cwd=PROJECT, capture_output=True, text=True)
    return [PROJECT/name for name in found.stdout.split("\n") if name]


def test_no_mnist_files_and_nothing_generated():
    for file in tracked():
        assert file.suffix not in {".tgz", ".gz", ".pt", ".png", ".jpg", ".npz"}, file
        assert not {"_run", "_proc", "_book", ".venv"} & set(file.relative_to(PROJECT).parts), file


def test_readme_names_every_target_it_promises():
    targets = re.findall(r"^([a-z-]+):.*##", (PROJECT/"Makefile").read_text("utf-8"), re.M)
    needed = {"course", "test", "lab", "data", "run", "ledger", "readme", "book", "clean",
              "help"}
    assert needed <= set(targets)
    text = (PROJECT/"README.md").read_text("utf-8") + (PROJECT/"CONTRIBUTING.md").read_text("utf-8")
    used = re.findall(r"\bmake ([a-z]+)\b(?= {2,}|`|\n| NB)", text)
    assert len(used) > 5 and set(used) <= set(targets)


def test_index_hides_its_code():
    for _, source, _ in cells(PROJECT/"nbs"/"index.ipynb", "code"):
        assert source not in (PROJECT/"README.md").read_text("utf-8")
