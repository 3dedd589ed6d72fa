"""The participants of `run_flower`; a module of its own, as Flower's actors import it by name."""

from functools import cache

import torch
from federations import WORKLOADS, Workload, train
from flwr.app import ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from torch import Tensor

from fedsim.federation.client_app import answer_identification
from fedsim.transport.messages import round_of


@cache
def loaded(name: str) -> tuple[Workload, torch.nn.Module]:
    """Return the federation and a model, made once a process."""
    torch.set_num_threads(1)
    work = WORKLOADS[name]
    return work, work.new_model()


@cache
def data_of(name: str, participant: int) -> tuple[Tensor, Tensor]:
    """Return the data of a participant, made once a process."""
    return loaded(name)[0].tensors(participant)


def client_app(name: str) -> ClientApp:
    """Return the participants' app."""
    app = ClientApp()

    @app.train()
    def train_one(message: Message, context: Context) -> Message:
        work, model = loaded(name)
        participant = int(context.node_config["partition-id"])
        model.load_state_dict(message.content.array_records["arrays"].to_torch_state_dict())
        round_number = round_of(message)
        train(model, data_of(name, participant), work.order(round_number, participant))
        metrics = MetricRecord({"num-examples": work.records})
        content = RecordDict({"arrays": ArrayRecord(model.state_dict()), "metrics": metrics})
        return Message(content=content, reply_to=message)

    app.query()(answer_identification)
    return app
