"""The `meridian` command: the local stack, the job's life cycle, and checks of what the job promises."""
