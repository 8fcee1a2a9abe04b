"""Data sets: IDX, npz, csv and bundled ones, and what is said about files that do not fit."""

import gzip
import sys

import numpy as np
import pytest

import wengert as wg
from wengert.io import load_dataset, read_idx

CODES = {"u1": 8, "i1": 9, ">i2": 11, ">i4": 12, ">f4": 13, ">f8": 14}


def idx(array, code=8):
    """An array in the IDX format."""
    shape = b"".join(extent.to_bytes(4, "big") for extent in array.shape)
    return bytes([0, 0, code, array.ndim]) + shape + array.tobytes()


@pytest.fixture
def images(tmp_path):
    """A pair of IDX files of 20 images of 3 x 2 pixels, compressed, and their contents."""
    X = np.arange(120, dtype="u1").reshape(20, 3, 2)
    y = np.arange(20, dtype="u1") % 4
    (tmp_path / "images.gz").write_bytes(gzip.compress(idx(X)))
    (tmp_path / "labels.gz").write_bytes(gzip.compress(idx(y)))
    return tmp_path / "images.gz", tmp_path / "labels.gz", X, y


# ---- IDX -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", CODES)
@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["plain", "gzip"])
def test_idx_arrays_of_every_type(tmp_path, dtype, compress):
    array = np.arange(24).reshape(2, 3, 4).astype(dtype)
    (tmp_path / "a").write_bytes(compress(idx(array, CODES[dtype])))
    got = read_idx(tmp_path / "a")
    np.testing.assert_array_equal(got, array)
    assert got.dtype.isnative


def test_images_and_labels(images):
    source, labels, X, y = images
    dataset = load_dataset(source, labels)
    np.testing.assert_array_equal(dataset.X, X.reshape(20, 6))
    np.testing.assert_array_equal(dataset.y, y)
    assert (dataset.name, dataset.uniform) == ("images", True)
    assert load_dataset(source, supervised=False).y is None


def test_a_truncated_idx_file_raises(images):
    source, _, X, _ = images
    whole = idx(X)
    plain = source.with_suffix(".idx")
    for length in range(len(whole)):
        plain.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"is truncated: |is no IDX file"):
            read_idx(plain)
    plain.write_bytes(whole + b"\0")
    with pytest.raises(ValueError, match=r"is too long: 137 bytes, its header promises 136"):
        read_idx(plain)
    compressed = source.read_bytes()
    for length in (3, 12, len(compressed) - 1):
        source.write_bytes(compressed[:length])
        with pytest.raises(ValueError, match=r"images\.gz is truncated or damaged"):
            read_idx(source)


def test_a_header_that_promises_too_much_raises(tmp_path):
    path = tmp_path / "huge"
    path.write_bytes(bytes([0, 0, 8, 8]) + b"\xff\xff\xff\xff" * 8)
    with pytest.raises(ValueError, match=f"its header promises {(2**32 - 1) ** 8 + 36:,}"):
        read_idx(path)


@pytest.mark.parametrize("start", [b"", b"\x89PNG", b"\0\0\x07\x01", b"\0\0\x08\0", b"\0\x01\x08\x01"])
def test_what_is_no_idx_file_raises(tmp_path, start):
    (tmp_path / "other").write_bytes(start)
    with pytest.raises(ValueError, match=r"other is no IDX file \(its magic number is "):
        read_idx(tmp_path / "other")


def test_files_that_do_not_belong_together_raise(images):
    source, labels, _, y = images
    with pytest.raises(ValueError, match="without labels: pass --labels FILE"):
        load_dataset(source)
    with pytest.raises(ValueError, match="are the files swapped"):
        load_dataset(labels, source)
    with pytest.raises(ValueError, match=r"expected one integer label per image"):
        load_dataset(source, source)
    labels.write_bytes(idx(y[:7]))
    with pytest.raises(ValueError, match="20 rows of inputs but 7 targets"):
        load_dataset(source, labels)
    with pytest.raises(FileNotFoundError):
        load_dataset(source.with_name("nowhere"))
    with pytest.raises(ValueError, match="is a folder"):
        load_dataset(source.parent)


# ---- npz -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("inputs", "targets"), [("X", "y"), ("images", "labels"), ("x_train", "y_train")])
def test_npz(tmp_path, inputs, targets):
    X, y = np.arange(24.0).reshape(4, 3, 2), np.arange(4)
    np.savez_compressed(tmp_path / "data.npz", **{inputs: X, targets: y[:, None]})
    dataset = load_dataset(tmp_path / "data.npz")
    np.testing.assert_array_equal(dataset.X, X.reshape(4, 6))
    np.testing.assert_array_equal(dataset.y, y)
    assert dataset.name == "data"


def test_npz_files_that_do_not_fit_raise(tmp_path):
    path = tmp_path / "data.npz"
    for arrays, words in [
        ({"a": np.zeros(3)}, "it has a; name the inputs X"),
        ({"X": np.zeros(3), "y": np.zeros(3)}, r"X has shape \(3,\)"),
        ({"X": np.full((3, 2), "a"), "y": np.zeros(3)}, "dtype <U1"),
        ({"X": np.zeros((3, 2))}, "holds no targets"),
        ({"X": np.zeros((3, 2)), "y": np.zeros(2)}, "3 rows of inputs but 2 targets"),
        ({"X": np.zeros((3, 2)), "y": np.zeros((3, 2))}, r"targets have shape \(3, 2\)"),
        ({"X": np.zeros((0, 2)), "y": np.zeros(0)}, "holds no rows"),
        ({"X": np.array([{}]), "y": np.zeros(1)}, "no readable .npz data set"),  # would need pickle
    ]:
        np.savez(path, **arrays)
        with pytest.raises(ValueError, match=words):
            load_dataset(path)
    np.savez(path, X=np.zeros((3, 2)), y=np.zeros(3))
    whole = path.read_bytes()
    for length in (0, 10, len(whole) // 2, len(whole) - 30):
        path.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"no readable \.npz data set"):
            load_dataset(path)


# ---- csv -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "target", "y"),
    [
        ("a,b,kind\n1,2,cat\n3,4,dog\n", None, ["cat", "dog"]),
        ("1,2,7\n3,4,8\n", None, [7, 8]),
        ("1;2;7.5\n3;4;8\n", None, [7.5, 8]),
        ("kind\ta\tb\n0\t1\t2\n1\t3\t4\n", "kind", [0, 1]),
        ("0,1,2\n1,3,4\n", "0", [0, 1]),
        ("\ufeffa,b,y\r\n1,2,0\r\n\r\n3,4,1\r\n", "-1", [0, 1]),
    ],
)
def test_csv(tmp_path, text, target, y):
    (tmp_path / "table.csv").write_text(text, encoding="utf-8")
    dataset = load_dataset(tmp_path / "table.csv", target=target)
    np.testing.assert_array_equal(dataset.X, [[1, 2], [3, 4]])
    np.testing.assert_array_equal(dataset.y, y)


def test_csv_without_its_target_column(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    dataset = load_dataset(path, target="kind", supervised=False)
    np.testing.assert_array_equal(dataset.X, [[1, 2], [3, 4]])
    assert dataset.y is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("a,b,y\n1,2\n", "row 2 has 2 cells, the first one has 3"),
        ("a,b,y\n1,2,0\n1,,0\n", "column 'b' holds '' in data row 2, expected a number"),
        ("a,b,y\n1,2,0\n1,two,0\n", "column 'b' holds 'two' in data row 2"),
        ("a,b,y\n1,2,0\n1,2,\n", "column 'y' is empty in some row"),
        ("y\n1\n2\n", "no column beside the target"),
        ("a,b,y\n", "holds no rows"),
        ("a,b,c\n1,2,3\n", "no column 'y'; its columns are a, b, c"),
    ],
)
def test_csv_files_that_do_not_fit_raise(tmp_path, text, words):
    path = tmp_path / "table.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=words):
        load_dataset(path, target="y" if "no column 'y'" in words else None)


def test_csv_must_be_text(tmp_path):
    (tmp_path / "table.csv").write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(ValueError, match="is not text in UTF-8"):
        load_dataset(tmp_path / "table.csv")


# ---- bundled -------------------------------------------------------------------------------------------


def test_bundled_data_sets():
    digits = load_dataset("digits")
    assert (digits.X.shape, len(np.unique(digits.y)), digits.uniform) == ((1797, 64), 10, True)
    assert load_dataset("diabetes").y.dtype.kind == "f"


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(ImportError, match=r"'digits' needs scikit-learn: pip install 'wengert\[demo\]'"):
        load_dataset("digits")


# ---- options that a data set does not take -------------------------------------------------------------


@pytest.mark.parametrize("source", ["digits", "data.npz", "table.csv"])
def test_labels_are_for_images(source):
    with pytest.raises(ValueError, match=f"{source}: --labels is for IDX images"):
        load_dataset(source, labels="labels.gz")


@pytest.mark.parametrize("source", ["digits", "data.npz", "images.gz"])
def test_a_target_column_is_for_csv_files(source):
    with pytest.raises(ValueError, match=f"{source}: --target is for csv files"):
        load_dataset(source, target="3")


def test_an_unknown_compression_is_damage(tmp_path):
    path = tmp_path / "net.npz"
    wg.MLP([2, 1], seed=0).save(path)
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")  # of the table of contents: the method is ten bytes on
    data[entry + 10] = 77
    path.write_bytes(data)
    with pytest.raises(ValueError, match="damaged"):
        wg.MLP.load(path)
