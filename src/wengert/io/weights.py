"""Named arrays with a JSON header in one file: `.npz` without pickle, or `.safetensors`."""

import io
import json
import math
import os
import secrets
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np

# The names of https://github.com/huggingface/safetensors#format for the dtypes that networks have.
SAFETENSORS_DTYPES: dict[str, np.dtype] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8")}
SAFETENSORS_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
METADATA_KEY = "wengert"
# What reading a damaged file raises; zipfile's NotImplementedError: an unknown method of compression.
DAMAGE = (ValueError, KeyError, TypeError, EOFError, OSError, NotImplementedError)


def save(path, header: dict, arrays: dict[str, np.ndarray]) -> None:
    """Writes a file that is either complete or not there: to a sibling first, which then takes its name.

    Parameters
    ----------
    path : str or path ending in .npz or .safetensors
    header : what JSON can hold
    arrays : name -> float32 or float64 array

    Raises
    ------
    ValueError
        For another extension.
    OSError
        Where the folder cannot be written.
    """
    path = Path(path)
    encode = {".npz": _encode_npz, ".safetensors": _encode_safetensors}.get(path.suffix)
    if encode is None:
        raise ValueError(f"save: {path} ends in {path.suffix!r}, expected .npz or .safetensors")
    data = encode(json.dumps(header), arrays)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    except OSError as error:
        raise unwritable(path, error) from None
    finally:
        with suppress(OSError):
            temporary.unlink()


def unwritable(path, error: OSError) -> OSError:
    """The same error about the path that was asked for, not about a temporary one beside it."""
    reason = os.strerror(error.errno) if error.errno else str(error)
    return OSError(error.errno, f"cannot be written: {reason}", str(path))


def load(path) -> tuple[dict, dict[str, np.ndarray]]:
    """The header and the arrays of a file that `save` wrote.

    Raises
    ------
    OSError
        Where the file cannot be read.
    ValueError
        Where it is no such file or is damaged.
    """
    path = Path(path)
    data = path.read_bytes()
    try:
        header, arrays = _decode_npz(data) if data[:2] == b"PK" else _decode_safetensors(data)
        header = json.loads(header)
    except (*DAMAGE, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(f"load: {path} is damaged or holds no wengert weights ({error})") from error
    return header, arrays


def _encode_npz(header, arrays):
    buffer = io.BytesIO()
    np.savez(buffer, header=np.array(header), **arrays)
    return buffer.getvalue()


def _decode_npz(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as file:
        arrays = {name: file[name] for name in file.files}
    return str(arrays.pop("header")), arrays


def _encode_safetensors(header, arrays):
    """8 bytes with the length of a JSON table, the table, then all arrays end to end."""
    table: dict = {"__metadata__": {METADATA_KEY: header}}
    chunks, start = [], 0
    for name, array in arrays.items():
        chunk = array.astype(array.dtype.newbyteorder("<")).tobytes()
        table[name] = {
            "dtype": SAFETENSORS_NAMES[array.dtype.newbyteorder("<")],
            "shape": list(array.shape),
            "data_offsets": [start, start + len(chunk)],
        }
        chunks.append(chunk)
        start += len(chunk)
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 8)  # keeps the arrays aligned in a memory map
    return b"".join([len(text).to_bytes(8, "little"), text, *chunks])


def _decode_safetensors(data):
    length = int.from_bytes(data[:8], "little")
    if len(data) < 8 or length > len(data) - 8:
        raise ValueError("the table of contents is cut off")
    table, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    header, arrays = table.pop("__metadata__")[METADATA_KEY], {}
    for name, entry in table.items():
        dtype = SAFETENSORS_DTYPES[entry["dtype"]]
        start, stop = entry["data_offsets"]
        if not 0 <= start <= stop <= len(body) or stop - start != math.prod(entry["shape"]) * dtype.itemsize:
            raise ValueError(f"{name} is cut off")
        array = np.frombuffer(body[start:stop], dtype).reshape(entry["shape"])
        arrays[name] = array.astype(dtype.newbyteorder("="))
    return header, arrays
