"""A pass as a picture over time: Chrome's trace event format, which ui.perfetto.dev and chrome://tracing open."""
