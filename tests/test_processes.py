"""Real processes on this machine train together: the same weights as one, and one sentence if not.

Launchers start `spread.py` in two or three processes that talk over the loopback; ports are chosen
by the system. Nothing is timed, and a launch may take five minutes, as on a very busy machine.
"""
import json
import os
import re
import shlex
import subprocess
import sys

import pytest
import torch
import yaml
from conftest import PROJECT

TORCHRUN = "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_machines", "1",
              "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0",
              "--num_processes")
ENV = {**os.environ, "MNIST_COURSE_DATA": "standin", "OMP_NUM_THREADS": "1",
       "GLOO_SOCKET_IFNAME": "lo" if sys.platform == "linux" else "lo0", "PYTHONUTF8": "1",
       "PYTHONPATH": os.pathsep.join([str(PROJECT), os.environ.get("PYTHONPATH", "")])}
for name in "RANK", "WORLD_SIZE", "LOCAL_RANK": ENV.pop(name, None)
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="PyTorch's launchers for Linux, "
                                                                "macOS")


def launched(n, *words, launcher=TORCHRUN, more=(), **env):
    "How a launch of n processes ended."
    words = [sys.executable, *launcher, str(n), *more, *map(str, words)]
    return subprocess.run(words, cwd=PROJECT, env=ENV | env, capture_output=True, text=True,
                          timeout=300)


def child(n, task, folder, *words, **named):
    "A task of `spread.py` in n processes."
    return launched(n, PROJECT/"tests"/"spread.py", task, folder, *words, **named)


def sentences(done):
    "What the course itself said of what went wrong."
    return [line for line in done.stderr.splitlines() if "mnist_course: " in line]


@pytest.fixture(scope="module")
def spread():
    "The tasks, to be done here, in one process."
    os.environ["MNIST_COURSE_DATA"], before = "standin", os.environ.get("MNIST_COURSE_DATA")
    import spread
    yield spread
    os.environ.pop("MNIST_COURSE_DATA")
    if before is not None: os.environ["MNIST_COURSE_DATA"] = before


@pytest.fixture(scope="module")
def alone(spread):
    "What one process gets."
    from mnist_course import resnet, speed
    kept = resnet.enough_epochs, speed.enough_epochs
    try: return spread.everything()
    finally: resnet.enough_epochs, speed.enough_epochs = kept


@pytest.mark.parametrize("n", [2, 3])
def test_several_learn_what_one_learns(n, alone, tmp_path):
    done = child(n, "compare", tmp_path)
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path/"found")
    for mine, one in zip(found["double"][0], alone["double"][0], strict=True):
        assert mine.shape == one.shape
        torch.testing.assert_close(mine, one, rtol=1e-12, atol=1e-13) # sums in another order
    for mine, one in zip(found["double"][1], alone["double"][1], strict=True):
        for name in "train_loss", "valid_loss", "batch_accuracy":
            assert mine[name] == pytest.approx(one[name], rel=1e-7) # mean of float32 shares
    assert found["counted"].equal(alone["counted"])       # every image once, in its place
    assert found["few"][-1] == alone["few"][-1] == 1 and found["few"][0] == alone["few"][0]
    for name in "softmax", "mlp":
        (parts, accuracy, *losses, n_valid), one = found["models"][name], alone["models"][name]
        assert n_valid == one[-1] == 41 and accuracy == pytest.approx(one[1], abs=1e-6)
        for mine, theirs in zip(losses, one[2:4], strict=True):
            assert mine == pytest.approx(theirs, rel=1e-4)
        for key, weights in one[0].items(): # float32: a hundred steps or fewer, 1e-7 each
            torch.testing.assert_close(parts[key], weights, rtol=1e-4, atol=1e-5)
    assert found["models"]["small_cnn"][-1] == 41         # batch normalisation: other weights


def test_killed_restarted_and_resumed_is_the_same_training(tmp_path):
    for name, more in ("whole", []), ("killed", ["--max-restarts", "1"]):
        (tmp_path/name).mkdir()
        done = child(3, "place", tmp_path/name, *(["kill"] if more else []), more=more)
        assert done.returncode == 0, done.stderr
        assert [f.name for f in (tmp_path/name).iterdir()] == ["found"]
    assert "SIGKILL" in done.stderr or "Signal 9" in done.stderr or "-9" in done.stderr
    (whole, *figures), (again, *their) = (torch.load(tmp_path/name/"found")
                                          for name in ("whole", "killed"))
    assert figures == their and whole.keys() == again.keys()
    for name in whole: assert whole[name].equal(again[name]), name # to the last bit


def test_a_checkpoint_goes_on_under_another_launcher(spread, tmp_path):
    whole = spread.trained("mlp", *spread.digits(), n_epochs=3)
    stopped = child(2, "place", tmp_path, "stop")                       # torchrun, two
    assert stopped.returncode and [f.name for f in tmp_path.iterdir()] == ["place"], stopped.stderr
    stopped = child(2, "place", tmp_path, "stop", launcher=ACCELERATE)  # goes on, stops again
    assert stopped.returncode and [f.name for f in tmp_path.iterdir()] == ["place"], stopped.stderr
    mine = spread.trained("mlp", *spread.digits(), tmp_path, n_epochs=3) # one
    assert not list(tmp_path.iterdir())
    for name, weights in whole[0].items():
        torch.testing.assert_close(mine[0][name], weights, rtol=1e-4, atol=1e-5)
    assert mine[1] == pytest.approx(whole[1], abs=1e-6) and mine[4] == whole[4]
    assert mine[2] == pytest.approx(whole[2], rel=1e-4)


def test_a_checkpoint_of_one_process_goes_on_in_three(spread, tmp_path, monkeypatch):
    from mnist_course import checkpoint
    real, steps = checkpoint._after_step, []
    def after_step(self, write):
        steps.append(1)
        self.stop = len(steps) == 11
        real(self, write)
    monkeypatch.setattr(checkpoint.Checkpoint, "after_step", after_step)
    with pytest.raises(KeyboardInterrupt):
        spread.trained("mlp", *spread.digits(), tmp_path, n_epochs=3)
    done = child(3, "place", tmp_path)
    assert done.returncode == 0, done.stderr
    mine, whole = torch.load(tmp_path/"found"), spread.trained("mlp", *spread.digits(), n_epochs=3)
    for name, weights in whole[0].items():
        torch.testing.assert_close(mine[0][name], weights, rtol=1e-4, atol=1e-5)
    assert [f.name for f in tmp_path.iterdir()] == ["found"]


TROUBLE = {"fails": "images: Input/output error. See whether there is room",
           "nan": "The loss is nan at step 3 (counted from 0)",
           "hangs": "Another process has not answered for 30 s",
           "other": "Rank 1 has another seed than rank 0 (1, not 0): start all with the same words",
           "data": "MNIST_COURSE_DATA"}


@pytest.mark.parametrize("kind", TROUBLE)
def test_trouble_in_one_ends_all_with_one_sentence(kind, tmp_path):
    wait = {"MNIST_COURSE_WAIT": "30"} if kind == "hangs" else {}
    done = child(2, "trouble", tmp_path, kind, "mlp", "--epochs", "3", "--save", tmp_path/"model",
                 **wait)
    assert done.returncode, done.stdout
    said, = sentences(done)
    assert TROUBLE[kind] in said
    who = {"fails": "1", "data": "1", "hangs": "0"}.get(kind, "")
    assert said.startswith(f"[rank {who}") and not done.stdout
    assert not list(tmp_path.iterdir())
    ours = [line for line in done.stderr.splitlines() if line.startswith("[rank")]
    assert not any("Traceback" in line for line in ours)


def test_a_process_that_is_killed_is_named_by_the_launcher(tmp_path):
    done = child(2, "trouble", tmp_path, "killed", "mlp", "--epochs", "3")
    assert done.returncode and not done.stdout and "SIGKILL" in done.stderr
    assert len(sentences(done)) <= 1 # the launcher may end the other before it has noticed
    assert all("Another process has gone without a word" in line for line in sentences(done))


def test_a_full_disk_on_one_ends_all_with_one_sentence(tmp_path):
    "No file of the process that writes may grow, as on a full disk or with a quota."
    done = child(2, "trouble", tmp_path, "disk", "mlp", "--epochs", "3", "--checkpoint",
                 tmp_path/"place")
    assert done.returncode and not list(tmp_path.iterdir()), done.stdout
    said, = sentences(done)
    assert said.startswith("[rank 0 of 2] mnist_course: ") and "File too large" in said


def test_a_process_that_never_arrives():
    "One of two is started, by hand; the port is the system's choice."
    who = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "0"}
    done = subprocess.run([sys.executable, "-m", "mnist_course", "train", "mlp"], cwd=PROJECT,
                          env={**ENV, **who, "MNIST_COURSE_WAIT": "3"}, capture_output=True,
                          text=True, timeout=300)
    said, = sentences(done)
    assert done.returncode == 1 and not done.stdout
    assert said.startswith("[rank 0 of 2] mnist_course: Rank 0 has waited 3 s for 2 processes")
    assert "reaches 127.0.0.1" in said and "Traceback" not in done.stderr


@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_the_command_has_the_same_flags(launcher, tmp_path):
    words = "train", "softmax", "--epochs", "1", "--seed", "5", "--json"
    done = launched(2, "-m" if launcher is TORCHRUN else "mnist_course",
                    *(["mnist_course"] if launcher is TORCHRUN else []), *words, "--save",
                    tmp_path/"model", "--report", tmp_path/"report", launcher=launcher,
                    more=[] if launcher is TORCHRUN else ["--module"])
    assert done.returncode == 0, done.stderr
    report, = (json.loads(line) for line in done.stdout.splitlines()) # one process speaks
    assert report == json.loads((tmp_path/"report").read_text())
    assert report["n"] == sum(report["classes"].values()) or report["n"] == 602
    from mnist_course import models
    assert models.load(tmp_path/"model").seed == 5
    assert sorted(f.name for f in tmp_path.iterdir()) == ["model", "report"]


def test_what_one_process_must_do_says_so():
    done = launched(2, "mnist_course", "train", "nearest_mean_l2", more=["-m"])
    said, = sentences(done)
    assert done.returncode and "nearest_mean_l2 trains in one process: start it without" in said


def test_fastais_learner(tmp_path):
    done = child(2, "fastai", tmp_path)
    assert done.returncode == 0, done.stderr
    whole, parts = torch.load(tmp_path/"found")
    assert whole.shape == parts.shape == (21, 10)
    torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5) # batches of other sizes
    assert whole.isfinite().all()


@pytest.mark.parametrize("module", ["mnist_course", "mnist_course.cli"])
def test_python_m(module):
    done = subprocess.run([sys.executable, "-m", module, "methods"], cwd=PROJECT, env=ENV,
                          capture_output=True, text=True, timeout=300)
    assert done.returncode == 0 and "resnet18" in done.stdout, done.stderr


EXAMPLES = PROJECT/"book"/"examples"
PAGE = PROJECT/"book"/"many_machines.md"


def flags(words):
    "Of a command line, what comes after the module's name is what `train` knows."
    from typer.main import get_command
    from mnist_course import cli
    train = get_command(cli.app).commands["train"]
    known = {flag for param in train.params for flag in param.opts}
    assert words[0] == "train" and {w for w in words if w.startswith("-")} <= known, words
    from mnist_course import models
    assert words[1] in models._SPREADS


def test_the_slurm_example():
    file = EXAMPLES/"slurm.sh"
    assert file.read_text("utf-8") in PAGE.read_text("utf-8")
    done = subprocess.run(["bash", "-n", file], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = file.read_text("utf-8").split("\n")
    assert lines[0] == "#!/bin/bash"
    asked = dict(re.findall(r"^#SBATCH --([\w-]+)=(\S+)", "\n".join(lines), re.M))
    assert asked["ntasks-per-node"] == "1"                 # torchrun starts the rest
    command = shlex.split("\n".join(lines).split("srun ")[1].replace("\\\n", " "))
    from torch.distributed.run import get_args_parser
    args = get_args_parser().parse_args(command[1:])       # refuses a flag that it does not know
    assert command[0] == "torchrun" and args.module and args.training_script == "mnist_course"
    assert args.nproc_per_node == asked["gpus-per-node"] and args.rdzv_backend == "c10d"
    flags(args.training_script_args)


def test_the_kubernetes_example():
    text = (EXAMPLES/"pytorchjob.yaml").read_text("utf-8")
    assert text in PAGE.read_text("utf-8")
    job = yaml.safe_load(text)
    assert (job["apiVersion"], job["kind"]) == ("kubeflow.org/v1", "PyTorchJob")
    replicas = job["spec"]["pytorchReplicaSpecs"]
    assert set(replicas) == {"Master", "Worker"} and replicas["Master"]["replicas"] == 1
    for one in replicas.values():
        assert one["restartPolicy"] == "OnFailure"
        pod = one["template"]["spec"]
        container, = pod["containers"]
        assert container["name"] == "pytorch" and container["command"][:3] == ["python", "-m",
                                                                               "mnist_course"]
        flags(container["command"][3:] + container["args"])
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert all(isinstance(value["value"], str) for value in container["env"])


def test_the_page_says_what_is():
    text = PAGE.read_text("utf-8")
    from mnist_course import models, processes
    assert all(f"`{name}`" in text for name in models._SPREADS)
    assert f"say `Another process has not answered for {processes.PATIENCE:g} s`" in text
