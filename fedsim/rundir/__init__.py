"""A run directory: its layout, who may work in it, and where its content came from."""

from fedsim.rundir.directory import RunDirectory

__all__ = ["RunDirectory"]
