"""The process: settings, wiring, HTTP, CLI, workers, store, and the performing of effects."""
