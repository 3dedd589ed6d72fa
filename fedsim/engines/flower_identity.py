"""The identity of this process as a Flower task; no other module uses a private part of Flower.

Outside Flower's own runtime a `flwr.app.Message` cannot be created, because its constructor reads
the identity of the process's task. Flower has no public call that sets this identity, so this
module sets it within a context, and raises a clear error if a later version of Flower differs.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from fedsim.errors import FedsimError

SERVER_NODE = 1


@contextmanager
def local_identity() -> Iterator[None]:
    """Make this process a Flower server task within the context, unless it already is a task.

    Raises
    ------
    FedsimError
        If this version of Flower stores the identity elsewhere.
    """
    try:
        from flwr.supercore.task_identity import TaskIdentity

        before = (TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id)
    except (ImportError, AttributeError) as error:
        raise FedsimError(
            "this version of Flower keeps the identity of a task elsewhere; the local engine needs "
            "flwr >= 1.41, < 1.43"
        ) from error
    if None not in before:
        yield
        return
    TaskIdentity.task_id, TaskIdentity.run_id, TaskIdentity.node_id = 1, 1, SERVER_NODE
    try:
        yield
    finally:
        TaskIdentity._task_id, TaskIdentity._run_id, TaskIdentity._node_id = before
