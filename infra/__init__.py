"""The shared kernel: how a service hangs on NATS and its store, how the local stack runs, and the `souk` command."""
