"""The command line and the reports: the one place that knows all the others."""
