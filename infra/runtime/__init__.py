"""How a service runs: its definition, FastStream application, lifecycle and health checks."""
