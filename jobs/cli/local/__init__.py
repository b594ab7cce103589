"""The local stack's parts: folders, Java, ports, rendered configuration, supervision and health."""
