"""The results file, tables for the terminal, figures, and the page."""
