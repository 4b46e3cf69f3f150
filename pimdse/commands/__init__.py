"""The commands, one file per group; each has `register(app)`. Nothing heavy is imported before a command runs."""
