# %% [markdown]
# # An audit from Python
#
# The functions `fedsim.run`, `attack`, `compare` and `study` do what the commands of the same names
# do, to the same files. Run this file as a script, or cell by cell in an editor or as a notebook.
# What a cell ends with is shown as a table there.

# %%
from pathlib import Path

import fedsim

RUNS = Path("runs/api-example")

# %% [markdown]
# An experiment is a YAML file or the same as a mapping. This one needs no download and takes
# seconds: two participants with 300 records each of a synthetic stand-in for Purchase100, watched
# by a curious server, and by participant 1.

# %%
EXPERIMENT = {
    "data": {"name": "synthetic-purchase100", "records": 2000},
    "partition": {"participants": 2, "records": 300},
    "model": {"name": "fully-connected", "widths": [64]},
    "federation": {
        "rounds": 12,
        "local": {"batch_size": 50, "optimizer": "adam", "learning_rate": 0.005},
    },
    "snapshots": {"rounds": [6, 12]},
    "audit": {
        "known_members": 100,
        "known_nonmembers": 100,
        "tested_members": 100,
        "tested_nonmembers": 100,
    },
    "adversaries": ["curious-server", {"name": "curious-participant", "participant": 1}],
    "attacks": ["loss", "random"],
}
audit = fedsim.run(EXPERIMENT, RUNS / "first")
audit

# %% [markdown]
# The page of the run is in the run directory, and the figures are typed objects...

# %%
print(audit.page)
for name, value in audit.results.utility.items():
    print(f"{name} {value:.3f}")

# %% [markdown]
# ... and a tidy data frame: one row for each adversary, attack, victim and metric.

# %%
frame = audit.to_frame()
frame.query("victim == 'mean'").pivot_table(
    index="attack", columns=["adversary", "metric"], values="value"
)

# %% [markdown]
# A finished run is attacked again without being simulated again.

# %%
audit = fedsim.attack(audit, ["gradient-norm"])
audit

# %% [markdown]
# Does it leak less when the participants train for half as long? Records coincide in both runs, so
# the differences are paired.

# %%
shorter = EXPERIMENT | {
    "federation": {**EXPERIMENT["federation"], "rounds": 6},
    "snapshots": {"rounds": [3, 6]},
    "attacks": ["loss", "gradient-norm", "random"],
}
compared = fedsim.compare(audit, fedsim.run(shorter, RUNS / "shorter"))
compared

# %%
compared.to_frame().query("metric == 'auc'")[["attack", "run", "adversary", "value", "difference"]]
