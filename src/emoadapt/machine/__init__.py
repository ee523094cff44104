"""The machine that a job runs on: devices, locks, processes, ranks, progress."""
