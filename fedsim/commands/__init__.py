"""The commands, a module for each kind; `fedsim.cli` puts them together.

A command imports what it works with when it is called, so that the command line answers at once.
"""
