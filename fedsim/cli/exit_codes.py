"""The exit codes of the command line."""

EXIT_PROBLEM = 1
EXIT_INVALID = 2
EXIT_STOPPED = 130

EXIT_CODES = (
    "Exit codes: 0 done; 1 fedsim doctor or fedsim check found a problem, fedsim gate a figure "
    "beyond its limit, or an attack refutes the guarantee of a defence; 2 something that you "
    "gave is not valid, or a plugin failed (one sentence on stderr says what); 130 stopped by "
    "Ctrl-C (the same command resumes)."
)
"""What ``fedsim --help`` ends with."""
