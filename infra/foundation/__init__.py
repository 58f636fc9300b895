"""What every process imports: settings, ids, traces, telemetry, background tasks and failpoints."""
