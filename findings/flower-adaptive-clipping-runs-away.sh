#!/usr/bin/env bash
# Flower's adaptive clipping moves its norm away from the quantile that it is told to find.
#
# Likely guess (Andrew et al., "Differentially Private Learning with Adaptive Clipping", NeurIPS
# 2021): wherever the norm starts, it settles where half of the clients' updates are longer.
# Seen (flwr 1.41.0): the paper counts the updates that were *not* clipped, the strategy counts those
# that were, under the same update rule. If all are clipped, the norm falls and they are clipped
# harder; if none is, it grows without end. Ten clients whose updates have lengths 1 to 10 (median
# 5.5): started at 1 the norm is 5e-05 after 20 rounds, started at 12 it is 2.4e+05. Nothing is
# said; the first federation stands still, and the noise of the second, which goes by the norm,
# drowns it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/python" -m pip install --quiet 'flwr[simulation]==1.41.0' 'numpy<3'
cat > "$folder/finding.py" <<'PYTHON'
import logging

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import DifferentialPrivacyServerSideAdaptiveClipping, FedAvg
from flwr.simulation import run_simulation

logging.getLogger("flwr").setLevel(logging.ERROR)
CLIENTS, ROUNDS = 10, 20
client, server = ClientApp(), ServerApp()
ended = {}


@client.train()
def train(message: Message, context: Context) -> Message:
    length = 1.0 + int(context.node_config["partition-id"])
    moved = message.content["arrays"]["w"].numpy().copy()
    moved[0] += length
    content = {
        "arrays": ArrayRecord({"w": Array(moved)}),
        "metrics": MetricRecord({"num-examples": 50}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    for start in (1.0, 12.0):
        averaging = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS
        )
        strategy = DifferentialPrivacyServerSideAdaptiveClipping(
            averaging,
            noise_multiplier=0.01,
            num_sampled_clients=CLIENTS,
            initial_clipping_norm=start,
            target_clipped_quantile=0.5,
            clip_norm_lr=1.0,
            clipped_count_stddev=0.1,
        )
        zeros = ArrayRecord({"w": Array(np.zeros(4))})
        strategy.start(grid, zeros, num_rounds=ROUNDS)
        ended[start] = strategy.clipping_norm


run_simulation(server, client, num_supernodes=CLIENTS)
print("updates have lengths 1 to 10; half of them are longer than 5.5")
for start, norm in ended.items():
    print(f"clipping norm started at {start:g}, after {ROUNDS} rounds {norm:.3g}")
assert ended[1.0] < 1e-2
assert ended[12.0] > 1e3
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
