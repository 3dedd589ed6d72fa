"""The texts, charts and records on the page of a run."""
