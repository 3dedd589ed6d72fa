"""The command line: one module a group of commands, listed in `fedsim.cli.commands`."""
