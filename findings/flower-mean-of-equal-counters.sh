#!/usr/bin/env bash
# FedAvg averages integers as floats, and rounding can leave the mean of equal numbers just below.
#
# Likely guess: where all clients send the same integer, the mean is that integer.
# Seen (flwr 1.41.0): three clients with as many examples each send the counter 7, and the aggregate is
# the float64 6.999999999999999. Loaded into an integer tensor or array, it is cut to 6: BatchNorm's
# `num_batches_tracked`, a step counter or an embedding's index falls one short, a round at a time.
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
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

logging.getLogger("flwr").setLevel(logging.ERROR)
CLIENTS = 3
client, server = ClientApp(), ServerApp()
seen = {}


@client.train()
def train(message: Message, context: Context) -> Message:
    counter = Array(message.content["arrays"]["counter"].numpy())
    content = {
        "arrays": ArrayRecord({"counter": counter}),
        "metrics": MetricRecord({"num-examples": 100}),
    }
    return Message(RecordDict(content), reply_to=message)


@server.main()
def main(grid: Grid, context: Context) -> None:
    for value in range(1, 11):
        strategy = FedAvg(
            fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS
        )
        start = ArrayRecord({"counter": Array(np.array([value]))})
        seen[value] = strategy.start(grid, start, num_rounds=1).arrays["counter"].numpy()


run_simulation(server, client, num_supernodes=CLIENTS)
for value, mean in seen.items():
    print(f"three clients send {value}: {mean.dtype} {float(mean[0])}, as int {mean.astype(int)[0]}")
short = [value for value, mean in seen.items() if mean.astype(int)[0] < value]
print("one short:", short)
assert 7 in short
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
