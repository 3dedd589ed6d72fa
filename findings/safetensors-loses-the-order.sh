#!/usr/bin/env bash
# A safetensors file keeps the names of tensors, not their order.
#
# Likely guess: what was saved as a dict in the order of the model's layers is loaded in that order, so
# its values can be zipped with the model's parameters, or sent as a list.
# Seen (safetensors 0.8.0, numpy): `load_file` goes by the width of the numbers and then by name as text,
# so that layer10 comes before layer2; `safe_open` goes by name alone; `load` has another order in each
# call. Two layers of one shape change places, and nothing complains.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'safetensors==0.8.0' 'numpy<3'
cat > "$folder/finding.py" <<'PYTHON'
import sys

import numpy as np
from safetensors import safe_open
from safetensors.numpy import load, load_file, save, save_file

path = sys.argv[1]
saved = {
    "layer2": np.full(2, 2, np.float32),
    "layer10": np.full(2, 10, np.float32),
    "count": np.zeros(1, np.int64),
    "flag": np.zeros(1, np.uint8),
    "bias": np.zeros(2, np.float32),
}
save_file(saved, path)
with safe_open(path, "numpy") as file:
    opened = list(file.keys())
loaded = load_file(path)
print("saved:    ", *saved)
print("load_file:", *loaded)
orders = {tuple(load(save(saved))) for _ in range(50)}
for order in sorted(orders)[:2]:
    print("load:     ", *order)
print("orders of `load` in 50 calls:", len(orders))
print("safe_open:", *opened)
by_position = dict(zip(saved, loaded.values(), strict=True))
print("layer2 by position:", by_position["layer2"], "by name:", loaded["layer2"])
assert list(loaded) == ["count", "bias", "layer10", "layer2", "flag"]
assert opened == ["bias", "count", "flag", "layer10", "layer2"]
assert len(orders) > 1
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" "$folder/tensors.safetensors"
