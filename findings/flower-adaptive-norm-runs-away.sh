#!/usr/bin/env bash
# Flower's adaptive clipping is to find the norm that a given quantile of the updates is within
# (Andrew et al., NeurIPS 2021). Its clients set a bit where their update *was* clipped; the paper's
# formula, which the server uses, is for the bit that it was not.
#
# Likely guess: with updates of norm 1 and 3 and the quantile .5, the clipping norm ends between them.
# Seen (flwr 1.41.0): it runs away. From .5, below both, it shrinks without end and nothing is
# learned; from 5, above both, it grows, and the noise with it.
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
CLIENTS, ROUNDS = 2, 30
client, server = ClientApp(), ServerApp()
norms = {}


@client.train()
def train(message: Message, context: Context) -> Message:
    weights = message.content["arrays"]["w"].numpy()
    length = (1.0, 3.0)[int(context.node_config["partition-id"])]
    sent = {"w": Array((weights + length / 10**0.5).astype(np.float32))}
    content = {"arrays": ArrayRecord(sent), "metrics": MetricRecord({"num-examples": 50})}
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    for start in (0.5, 5.0):
        averaging = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS
        )
        strategy = DifferentialPrivacyServerSideAdaptiveClipping(
            averaging,
            noise_multiplier=0.0,
            num_sampled_clients=CLIENTS,
            initial_clipping_norm=start,
            target_clipped_quantile=0.5,
        )
        zeros = {"w": Array(np.zeros(10, np.float32))}
        strategy.start(grid, ArrayRecord(zeros), num_rounds=ROUNDS)
        norms[start] = strategy.clipping_norm


run_simulation(server, client, num_supernodes=CLIENTS)
for start, norm in norms.items():
    print(f"updates of norm 1 and 3; the clipping norm from {start} after {ROUNDS} rounds: {norm:.3g}")
assert norms[0.5] < 0.05
assert norms[5.0] > 50
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
