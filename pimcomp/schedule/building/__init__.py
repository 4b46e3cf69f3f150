"""From sites to tasks: what every core does for every row segment, before anybody knows when and where."""
