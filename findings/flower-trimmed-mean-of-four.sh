#!/usr/bin/env bash
# Flower's FedTrimmedAvg cuts `beta` of the clients at either end, rounded down.
#
# Likely guess: FedTrimmedAvg() with its default, beta = .2, drops at least the largest and the smallest
# value, so one client among four cannot carry the mean away.
# Seen (flwr 1.41.0): .2 of four is .8, which is 0: nothing is cut, and the strategy is the plain mean.
# One client that sends 1,000 where three send 1 makes 250.75. With five clients it is 1.
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
from flwr.serverapp.strategy import FedTrimmedAvg
from flwr.simulation import run_simulation

logging.getLogger("flwr").setLevel(logging.ERROR)
client = ClientApp()
means = {}


@client.train()
def train(message: Message, context: Context) -> Message:
    malicious = context.node_config["partition-id"] == 0
    weight = Array(np.array([1000.0 if malicious else 1.0]))
    content = {
        "arrays": ArrayRecord({"weight": weight}),
        "metrics": MetricRecord({"num-examples": 100}),
    }
    return Message(RecordDict(content), reply_to=message)


for clients in (4, 5):
    server = ServerApp()

    @server.main()
    def main(grid: Grid, context: Context, clients: int = clients) -> None:
        strategy = FedTrimmedAvg(
            fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients
        )
        start = ArrayRecord({"weight": Array(np.zeros(1))})
        result = strategy.start(grid, start, num_rounds=1)
        means[clients] = float(result.arrays["weight"].numpy()[0])

    run_simulation(server, client, num_supernodes=clients)

for clients, mean in means.items():
    print(f"{clients} clients, one of them sends 1000, the others 1: trimmed mean {mean}")
assert means == {4: 250.75, 5: 1.0}
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
