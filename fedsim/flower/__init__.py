"""fedsim as a Flower app: the same experiment on Flower's simulation runtime, or deployed.

An app's folder holds an experiment and a module of two lines (`fedsim new flower-app` writes it)::

    server_app = new_server_app(EXPERIMENT)
    client_app = new_client_app(EXPERIMENT)

Both read where to work from the run's config when a run has begun, and not when they are imported:
only then is it known. The app knows the public Flower API only.
"""

from fedsim.flower.client import new_client_app
from fedsim.flower.server import new_server_app

__all__ = ["new_client_app", "new_server_app"]
