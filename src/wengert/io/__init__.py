"""Data sets (IDX, npz, csv, scikit-learn's bundled ones) and files of weights (npz, safetensors)."""

from .datasets import Dataset, load_dataset, read_idx

__all__ = ["Dataset", "load_dataset", "read_idx"]
