"""The process: store, engine, intake, workers."""
