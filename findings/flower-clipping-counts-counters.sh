#!/usr/bin/env bash
# Flower's fixed clipping measures an update over every array that a client sends. The counter that
# each BatchNorm layer keeps (`num_batches_tracked`, an integer) is one of them.
#
# Likely guess: clipping an update to norm 1 leaves an update of norm .32 as it is.
# Seen (flwr 1.41.0): it does, unless a counter that moved by 100 travels beside it. Then the norm is
# 100, and of the weights' step a hundredth is left, before any noise. The federation seems to learn
# nothing, and neither an error nor a warning says why.
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
from flwr.serverapp.strategy import DifferentialPrivacyServerSideFixedClipping, FedAvg
from flwr.simulation import run_simulation

logging.getLogger("flwr").setLevel(logging.ERROR)
CLIENTS = 2
WEIGHT, COUNTER = "bn.weight", "bn.num_batches_tracked"
client, server = ClientApp(), ServerApp()
steps = {}


@client.train()
def train(message: Message, context: Context) -> Message:
    arrays = message.content["arrays"]
    sent = {WEIGHT: Array(arrays[WEIGHT].numpy() + np.float32(0.1))}
    if COUNTER in arrays:
        sent[COUNTER] = Array(np.asarray(arrays[COUNTER].numpy() + 100))
    content = {"arrays": ArrayRecord(sent), "metrics": MetricRecord({"num-examples": 50})}
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    for names in ([WEIGHT], [WEIGHT, COUNTER]):
        start = {WEIGHT: Array(np.zeros(10, np.float32)), COUNTER: Array(np.asarray(0))}
        averaging = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS
        )
        strategy = DifferentialPrivacyServerSideFixedClipping(
            averaging, noise_multiplier=1e-6, clipping_norm=1.0, num_sampled_clients=CLIENTS
        )
        result = strategy.start(grid, ArrayRecord({n: start[n] for n in names}), num_rounds=1)
        steps[len(names)] = float(np.linalg.norm(result.arrays[WEIGHT].numpy()))


run_simulation(server, client, num_supernodes=CLIENTS)
print(f"clipped to norm 1, sent a step of norm {0.1 * 10**0.5:.4f}")
print(f"kept without a counter: {steps[1]:.4f}")
print(f"kept beside a counter that moved by 100: {steps[2]:.4f}")
assert abs(steps[1] - 0.3162) < 1e-3
assert abs(steps[2] - 0.0032) < 1e-3
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
