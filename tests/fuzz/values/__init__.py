"""Values of settings: every setting of every plugin and section, given whatever it may be given."""
