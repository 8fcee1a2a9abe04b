"""The command: what it writes, what it prints, and that bad input is one sentence, code 2, nothing left."""

import gzip
import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest

import wengert as wg
from wengert import cli, runs

FAST = ["--epochs", "3", "--layers", "8"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    """The command's exit code."""
    try:
        return cli.main([str(word) for word in words])
    except SystemExit as stop:
        return stop.code


def write_images(folder, rows=200):
    """Images of 4 x 4 pixels of four classes: which quarter is bright."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, rows).astype("u1")
    images = rng.integers(0, 60, (rows, 4, 4)).astype("u1")
    for image, label in zip(images, labels, strict=True):
        image[2 * (label // 2) :, 2 * (label % 2) :][:2, :2] += 150
    for name, array in (("images.gz", images), ("labels.gz", labels)):
        shape = b"".join(n.to_bytes(4, "big") for n in array.shape)
        (folder / name).write_bytes(gzip.compress(bytes([0, 0, 8, array.ndim]) + shape + array.tobytes()))
    return images, labels


def write_table(folder, rows=120):
    """A csv file with a class that depends on the first of two columns, and a number that depends on both."""
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=(2, rows)) * [[3.0], [0.2]]
    lines = [f"{x},{y},{'high' if x > 0 else 'low'},{2 * x - 10 * y + 7}" for x, y in zip(a, b, strict=True)]
    (folder / "classes.csv").write_text("a,b,kind\n" + "\n".join(line.rsplit(",", 1)[0] for line in lines))
    (folder / "numbers.csv").write_text(
        "a,b,size\n" + "\n".join(",".join(np.array(line.split(","))[[0, 1, 3]]) for line in lines)
    )


# ---- what it does --------------------------------------------------------------------------------------


def test_train_digits_in_one_command(folder, capsys):
    assert run("train", "digits") == 0
    out = capsys.readouterr().out
    assert "epoch 1/" in out
    assert "test accuracy 0.9" in out
    report = json.loads((folder / "runs/digits/report.json").read_text())
    assert report["test_accuracy"] >= 0.975
    assert report["rows"] == {"training": 1294, "validation": 144, "test": 359}
    assert report["dataset"] == "digits"
    assert (report["layers"][0], report["layers"][-1]) == (64, 10)
    assert report["isa"] == wg.cpu_info()["isa"]
    assert report["threads"] == wg.get_num_threads()
    assert 0 < report["train_loss"] < 0.1
    assert 0 < report["seconds"] < 600
    assert sorted(p.name for p in (folder / "runs/digits").iterdir()) == [
        "loss.png", "report.json", "tape.svg", "weights.npz",
    ]  # fmt: skip
    assert (folder / "runs/digits/loss.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
    assert ET.parse(folder / "runs/digits/tape.svg").getroot().tag.endswith("svg")
    assert wg.MLP.load(folder / "runs/digits/weights.npz").layers == report["layers"]


def test_train_on_idx_files_then_predict_and_evaluate(folder, capsys):
    _, labels = write_images(folder)
    options = ["--layers", "16,8", "--epochs", 20, "--activation", "tanh", "--batch-size", 16,
               "--optimizer", "sgd", "--lr", 0.1, "--seed", 3, "--threads", 1,
               "--out", "mine/first"]  # fmt: skip
    assert run("train", "images.gz", "--labels", "labels.gz", *options) == 0
    report = json.loads((folder / "mine/first/report.json").read_text())
    assert report["layers"] == [16, 16, 8, 4]
    assert (report["activation"], report["batch_size"], report["optimizer"]) == ("tanh", 16, "sgd")
    assert (report["lr"], report["seed"], report["epochs"]) == (0.1, 3, 20)
    assert report["test_accuracy"] == 1.0
    capsys.readouterr()
    assert run("predict", "mine/first", "images.gz") == 0
    assert [int(line) for line in capsys.readouterr().out.split()] == labels.tolist()
    assert run("evaluate", "mine/first/weights.npz", "images.gz", "--labels", "labels.gz") == 0
    assert "accuracy 1.0000  rows 200" in capsys.readouterr().out


def test_train_on_csv_with_words_for_classes(folder, capsys):
    write_table(folder)
    assert run("train", "classes.csv", "--epochs", 30, "--validation", 0) == 0
    report = json.loads((folder / "runs/classes/report.json").read_text())
    assert report["test_accuracy"] > 0.9
    assert report["validation_accuracy"] is None
    assert run("predict", "runs/classes", "classes.csv", "--out", "answers.csv") == 0
    answers = (folder / "answers.csv").read_text().split()
    assert answers[0] == "kind"
    assert set(answers[1:]) == {"high", "low"}
    assert run("predict", "runs/classes", "classes.csv", "--out", "answers.csv") == 2  # never overwritten


def test_regression_on_csv(folder, capsys):
    write_table(folder)
    assert (
        run(
            "train",
            "numbers.csv",
            "--epochs",
            100,
            "--layers",
            "16",
            "--activation",
            "identity",
            "--lr",
            "0.01",
        )
        == 0
    )
    report = json.loads((folder / "runs/numbers/report.json").read_text())
    assert report["test_r2"] > 0.999  # the target is linear in the features
    assert report["test_accuracy"] is None
    run("predict", "runs/numbers", "numbers.csv", "--out", "sizes.csv")
    got = np.loadtxt(folder / "sizes.csv", skiprows=1)
    want = np.loadtxt(folder / "numbers.csv", delimiter=",", skiprows=1)[:, 2]
    np.testing.assert_allclose(got, want, atol=0.5)


def test_train_on_npz_and_again(folder):
    images, labels = write_images(folder)
    np.savez("data.npz", X=images, y=labels)
    for _ in range(2):
        assert run("train", "data.npz", *FAST) == 0
    reports = [
        json.loads((folder / "runs" / name / "report.json").read_text()) for name in ("data", "data-2")
    ]
    assert reports[0]["test_loss"] == reports[1]["test_loss"]
    first, second = [wg.MLP.load(folder / "runs" / name / "weights.npz").theta for name in ("data", "data-2")]
    np.testing.assert_array_equal(first, second)


def test_the_tape_shows_the_loss_of_a_few_rows():
    net = wg.MLP([3, 4, 2], seed=0)
    tape = runs.loss_tape(net, np.zeros((2, 3), "f4"), np.array([0, 1]), "cross_entropy")
    assert tape.value(len(tape) - 1) == pytest.approx(np.log(2), rel=1e-6)


def test_info(capsys):
    assert run("info") == 0
    out = capsys.readouterr().out
    assert wg.__version__ in out
    assert wg.cpu_info()["isa"] in out


def test_the_installed_module_answers():
    script = "import sys; from wengert.cli import main; sys.exit(main())"
    answer = subprocess.run(
        [sys.executable, "-c", script, "train", "nowhere.csv"], capture_output=True, text=True
    )
    assert answer.returncode == 2
    assert answer.stderr == "wengert: nowhere.csv: No such file or directory\n"
    assert answer.stdout == ""


def test_importing_wengert_loads_no_extra():
    script = "import sys, wengert.cli; print(sorted({'rich', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert answer.stdout == "[]\n"


class Terminal:
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def __init__(self):
        self.text = ""

    def write(self, text):
        self.text += text
        return len(text)

    def flush(self):
        pass

    def isatty(self):
        return True


def test_a_terminal_gets_a_live_bar(monkeypatch, rng):
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    from wengert.progress import display

    terminal, X = Terminal(), rng.normal(size=(20, 2))
    with display(2, 20, terminal) as show:
        wg.MLP([2, 3, 2]).fit(X, (X[:, 0] > 0).astype(int), loss="cross_entropy", epochs=2, validation=0.2,
                              callbacks=[show])  # fmt: skip
        show.progress(2, 0.25)
        assert show.live.tasks[0].completed == 1.25
    for word in ("2/2", "loss", "val accuracy", "samples/s", "ETA", "\x1b["):
        assert word in terminal.text


# ---- bad input -----------------------------------------------------------------------------------------


def leaves_nothing(folder, capsys, words, *sentence):
    """Runs the command and expects one line on stderr, code 2, and the folder as it was."""
    before = sorted(folder.rglob("*"))
    assert run(*words) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("wengert")
    for part in sentence:
        assert part in captured.err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["train"], "required: DATASET"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "mnist"], "mnist: No such file or directory"),
        (["train", "images.gz"], "pass --labels FILE"),
        (["train", "images.gz", "--labels", "nowhere.gz"], "nowhere.gz: No such file or directory"),
        (["train", "images.gz", "--labels", "images.gz"], "expected one integer label per image"),
        (["train", "labels.gz", "--labels", "images.gz"], "are the files swapped?"),
        (["train", "cut.gz", "--labels", "labels.gz"], "cut.gz is truncated or damaged"),
        (
            ["train", "short.idx", "--labels", "labels.gz"],
            "short.idx is truncated: 100 bytes, its header promises 3,216",
        ),
        (["train", "classes.csv", "--target", "colour"], "no column 'colour'; its columns are a, b, kind"),
        (["train", "classes.csv", "--target", "a"], "column 'kind' holds 'high' in data row 1"),
        (["train", "nan.csv"], "nan.csv: X holds nan at (1, 1), which is not finite"),
        (["train", "numbers.csv", "--task", "classification"], "are no classes; use --task regression"),
        (["train", "classes.csv", "--task", "regression"], "cannot be learned by regression"),
        (["train", "classes.csv", "--layers", "8,x"], "'8,x' is not a list of positive integers"),
        (["train", "classes.csv", "--layers", "0"], "'0' is not a list of positive integers"),
        (["train", "classes.csv", "--layers", "9999999999,9999999999"], "more than memory can address"),
        (["train", "classes.csv", "--epochs", "0"], "'0' is not a positive integer"),
        (["train", "classes.csv", "--batch-size", "many"], "'many' is not a positive integer"),
        (["train", "classes.csv", "--activation", "rleu"], "invalid choice: 'rleu'"),
        (["train", "classes.csv", "--optimizer", "magic"], "invalid choice: 'magic'"),
        (["train", "classes.csv", "--lr", "nan"], "'nan' is not a positive number"),
        (["train", "classes.csv", "--lr", "1e30", "--optimizer", "sgd"], "lower the learning rate"),
        (["train", "classes.csv", "--seed", "-1"], "'-1' is not an integer that is not negative"),
        (["train", "classes.csv", "--threads", "0"], "'0' is not a positive integer"),
        (["train", "classes.csv", "--test", "1"], "'1' is not a fraction between 0 and 1"),
        (["train", "classes.csv", "--test", "0.001"], "leaves one part empty"),
        (["train", "classes.csv", "--out", "classes.csv"], "classes.csv already exists"),
        (["train", "classes.csv", "--out", "classes.csv/run"], "Not a directory"),
        (["train", "classes.csv", "--out", "/proc/wengert/run"], "/proc/wengert/run: cannot be written: "),
        (["train", "classes.csv", "--out", "/dev/null/run"], "/dev/null/run: cannot be written: Not a dir"),
        (["train", "digits", "--labels", "labels.gz"], "digits: --labels is for IDX images"),
        (["train", "digits", "--target", "3"], "digits: --target is for csv files"),
        (["predict", "nowhere", "classes.csv"], "nowhere: No such file or directory"),
        (["predict", "labels.gz", "classes.csv"], "labels.gz is damaged or holds no wengert weights"),
        (["predict", "net.npz", "classes.csv"], "holds a network but no run"),
        (["evaluate", "classes.csv", "classes.csv"], "classes.csv is damaged or holds no wengert weights"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else "",
)
def test_bad_input_is_one_sentence_and_leaves_nothing(folder, capsys, words, sentence):
    write_images(folder)
    write_table(folder)
    (folder / "cut.gz").write_bytes((folder / "images.gz").read_bytes()[:300])
    (folder / "short.idx").write_bytes(gzip.decompress((folder / "images.gz").read_bytes())[:100])
    (folder / "nan.csv").write_text("a,b,kind\n" + "1,2,0\n3,nan,1\n" * 20)
    wg.MLP([2, 2]).save(folder / "net.npz")
    leaves_nothing(folder, capsys, words, sentence)


def test_data_that_does_not_fit_the_network_is_refused(folder, capsys):
    write_table(folder)
    write_images(folder)
    assert run("train", "classes.csv", *FAST, "--out", "run") == 0
    capsys.readouterr()
    leaves_nothing(
        folder, capsys, ["predict", "run", "images.gz"], "16 features per row, the network takes 2"
    )
    (folder / "new.csv").write_text("a,b,kind\n1,2,low\n1,2,middle\n")
    leaves_nothing(
        folder, capsys, ["evaluate", "run", "new.csv"], "the class middle, the network knows high, low"
    )
    (folder / "more.csv").write_text("a,b,c\n1,2,3\n")
    leaves_nothing(folder, capsys, ["evaluate", "run", "more.csv"], "no column 'kind'")


def test_a_full_folder_is_never_overwritten(folder, capsys):
    write_table(folder)
    assert run("train", "classes.csv", *FAST, "--out", "run") == 0
    capsys.readouterr()
    leaves_nothing(
        folder, capsys, ["train", "classes.csv", *FAST, "--out", "run"], "run already exists; choose another"
    )


def test_an_empty_folder_is_taken(folder, monkeypatch):
    write_table(folder)
    (folder / "run").mkdir()
    (folder / "link").symlink_to("run")
    monkeypatch.chdir(folder / "run")
    names = ["loss.png", "report.json", "tape.svg", "weights.npz"]
    for out in (".", folder / "link", folder / "run"):
        assert run("train", folder / "classes.csv", *FAST, "--out", out) == 0
        assert sorted(entry.name for entry in (folder / "run").iterdir()) == names
        for name in names:
            (folder / "run" / name).unlink()
    assert (folder / "link").is_symlink()


def test_an_interrupt_leaves_nothing(folder, capsys, monkeypatch):
    write_table(folder)
    monkeypatch.setattr(runs.plot, "learning_curves", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
    before = sorted(folder.rglob("*"))
    assert run("train", "classes.csv", *FAST) == 130
    assert "interrupted" in capsys.readouterr().err
    assert sorted(folder.rglob("*")) == before


@pytest.mark.parametrize(
    ("module", "words"), [("matplotlib.figure", "matplotlib"), ("sklearn.datasets", "scikit-learn")]
)
def test_a_missing_extra_is_named(folder, capsys, monkeypatch, module, words):
    monkeypatch.setitem(sys.modules, module, None)
    leaves_nothing(folder, capsys, ["train", "digits"], words, "pip install 'wengert[demo]'")


def test_an_unknown_instruction_set_is_one_sentence():
    script = "import sys; from wengert.cli import main; sys.exit(main(['info']))"
    answer = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env=os.environ | {"WENGERT_ISA": "mmx"},
    )
    assert answer.returncode == 2
    assert "mmx" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_run_on_a_table_is_used_on_other_kinds_of_files(folder, capsys):
    write_table(folder)
    assert run("train", "numbers.csv", *FAST, "--out", "run") == 0
    table = np.loadtxt(folder / "numbers.csv", delimiter=",", skiprows=1)
    np.savez(folder / "numbers.npz", X=table[:, :2], y=table[:, 2])
    capsys.readouterr()
    assert run("evaluate", "run", "numbers.csv") == run("evaluate", "run", "numbers.npz") == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first == second


def start(*words, **options):
    """The command as a process."""
    place = os.pathsep.join(filter(None, [str(Path(wg.__file__).parents[1]), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "wengert", *words]
    return subprocess.Popen(command, env=os.environ | {"PYTHONPATH": place}, **options)


def test_a_termination_leaves_nothing(folder):
    write_table(folder)
    before = sorted(folder.rglob("*"))
    process = start("train", "classes.csv", "--epochs", "1000000", stdout=subprocess.DEVNULL)
    while process.poll() is None and not list(folder.glob("runs/.classes.*")):
        time.sleep(0.01)
    process.terminate()
    assert process.wait(timeout=60) == 143
    assert sorted(folder.rglob("*")) == before


def test_a_reader_that_leaves_does_not_end_the_training(folder):
    write_table(folder)
    words = ["train", "classes.csv", "--epochs", "40", "--out", "run"]
    process = start(*words, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert b"epoch 1/40" in process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    process.stderr.close()
    assert process.wait(timeout=60) == 0
    assert json.loads((folder / "run/report.json").read_text())["epochs"] == 40
