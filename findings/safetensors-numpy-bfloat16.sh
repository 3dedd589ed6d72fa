#!/usr/bin/env bash
# Whether NumPy reads a bfloat16 safetensors file depends on what else this process has imported.
#
# Likely guess: safetensors' numpy functions refuse a type that NumPy does not have with
# `SafetensorError`, and the same file is read, or refused, alike by all of them in every process.
# Seen (safetensors 0.8.0, numpy 2.4.6, ml-dtypes 0.7.0): `load_file` and `safe_open` raise a bare
# `TypeError`, `load` of the same bytes a `KeyError`, and none is a `SafetensorError`. Once anything has
# imported ml_dtypes (JAX does), `load_file` and `safe_open` read the file as its bfloat16; `load` still
# raises. Code that catches `SafetensorError`, and tests of it, hold in one process and not in another.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'safetensors==0.8.0' 'numpy==2.4.6' 'ml-dtypes==0.7.0'
cat > "$folder/finding.py" <<'PYTHON'
import importlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import load, load_file

path = Path(sys.argv[1])
halves = (np.array([1, 2, 3.5], np.float32).view(np.uint32) >> 16).astype(np.uint16).tobytes()
header = {"a": {"dtype": "BF16", "shape": [3], "data_offsets": [0, len(halves)]}}
text = json.dumps(header).encode()
path.write_bytes(struct.pack("<Q", len(text)) + text + halves)


def opened() -> np.ndarray:
    with safe_open(path, "numpy") as file:
        return file.get_tensor("a")


READERS = {
    "load_file": lambda: load_file(path)["a"],
    "load": lambda: load(path.read_bytes())["a"],
    "safe_open": opened,
}


def outcome(name: str) -> str:
    try:
        return str(READERS[name]().tolist())
    except Exception as error:
        assert not isinstance(error, SafetensorError)
        return type(error).__name__


def outcomes() -> dict[str, str]:
    found = {name: outcome(name) for name in READERS}
    print(*(f"{name}: {what}" for name, what in found.items()), sep=", ")
    return found


assert outcomes() == {"load_file": "TypeError", "load": "KeyError", "safe_open": "TypeError"}
importlib.import_module("ml_dtypes")
print("after `import ml_dtypes`:")
values = "[1.0, 2.0, 3.5]"
assert outcomes() == {"load_file": values, "load": "KeyError", "safe_open": values}
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" "$folder/tensors.safetensors"
