#!/usr/bin/env bash
# A strategy of Flower's is handed the clients' replies and returns their aggregate.
#
# Likely guess: a subclass that calls `super().aggregate_train(server_round, replies)` finds in
# `replies` afterwards what the clients sent, whichever strategy it extends.
# Seen (flwr 1.41.0): FedAvg, FedAdam, FedYogi, FedAdagrad, FedProx, Krum and MultiKrum leave the
# replies as they were. FedMedian, FedTrimmedAvg and Bulyan take each array out of its record while
# they aggregate: every reply that was kept (to log norms, to compare clients, to save uploads) holds
# no array afterwards, without an error. Copy what you need before the call.
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
from flwr.serverapp import strategy as strategies
from flwr.simulation import run_simulation

logging.getLogger("flwr").setLevel(logging.ERROR)
CLIENTS = 7
KEPT = ("FedAvg", "FedAdam", "FedYogi", "FedAdagrad", "FedProx", "Krum", "MultiKrum")
EMPTIED = ("FedMedian", "FedTrimmedAvg", "Bulyan")
client, server = ClientApp(), ServerApp()
left = {}


@client.train()
def train(message: Message, context: Context) -> Message:
    number = float(message.metadata.dst_node_id % 1000)
    arrays = {name: Array(np.full(3, number)) for name in ("weight", "bias")}
    content = {"arrays": ArrayRecord(arrays), "metrics": MetricRecord({"num-examples": 10})}
    return Message(RecordDict(content), reply_to=message)


def reading(name: str):
    class Reading(getattr(strategies, name)):
        def aggregate_train(self, server_round, replies):
            replies = list(replies)
            result = super().aggregate_train(server_round, replies)
            left[name] = [len(reply.content["arrays"]) for reply in replies]
            return result

    return Reading(fraction_evaluate=0.0, min_train_nodes=CLIENTS, min_available_nodes=CLIENTS)


@server.main()
def main(grid: Grid, context: Context) -> None:
    for name in KEPT + EMPTIED:
        start = ArrayRecord({key: Array(np.zeros(3)) for key in ("weight", "bias")})
        reading(name).start(grid, start, num_rounds=1)


run_simulation(server, client, num_supernodes=CLIENTS)
for name, counts in left.items():
    print(f"{name}: arrays left in the replies {counts}")
assert all(counts == [2] * CLIENTS for counts in map(left.get, KEPT))
assert all(counts == [0] * CLIENTS for counts in map(left.get, EMPTIED))
PYTHON
"$folder/venv/bin/python" "$folder/finding.py" 2> "$folder/log" || { cat "$folder/log"; exit 1; }
