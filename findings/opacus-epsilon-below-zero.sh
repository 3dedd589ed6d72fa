#!/usr/bin/env bash
# Accountants of differential privacy turn noise, sampling and steps into an epsilon for a given delta.
# In federations a participant is often the unit, and delta is set to one in the number of participants:
# .02 for fifty of them, where audits of records use 1e-5.
#
# Likely guess: an accountant's epsilon is never below 0, so that a budget can be compared with it,
# epsilons of several parts added, and exp(epsilon) read as a factor of at least 1.
# Seen (opacus 1.6.0): after the first round (noise 5, a tenth sampled, delta .02) `RDPAccountant` says
# -.010 and `PRVAccountant` -.009; both fall towards log(1 - delta), where the inequality
# holds of anything at all. `GaussianAccountant` raises a ValueError of its root finder. All three are
# positive at delta 1e-5. A sum over parts is made smaller by such a part: cut at 0 first.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'opacus==1.6.0' 'torch==2.14.1'
cat > "$folder/finding.py" <<'PYTHON'
from math import log

from opacus.accountants import GaussianAccountant, PRVAccountant, RDPAccountant

NOISE, SHARE = 5.0, 0.1


def epsilon(kind: type, delta: float) -> float:
    accountant = kind()
    accountant.step(noise_multiplier=NOISE, sample_rate=SHARE)
    return accountant.get_epsilon(delta)


for delta in (1e-5, 0.02):
    for kind in (RDPAccountant, PRVAccountant):
        print(f"{kind.__name__}, delta {delta}: {epsilon(kind, delta):.5f}")
        assert (epsilon(kind, delta) < 0) == (delta == 0.02)
        assert epsilon(kind, delta) >= log(1 - delta) - 1e-6
assert epsilon(GaussianAccountant, 1e-5) > 0
try:
    epsilon(GaussianAccountant, 0.02)
except ValueError as error:
    print(f"GaussianAccountant, delta 0.02: {error}")
else:
    raise AssertionError("GaussianAccountant answers")
PYTHON
"$folder/venv/bin/python" -W ignore "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
