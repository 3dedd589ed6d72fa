"""What the page of a run says and draws."""
