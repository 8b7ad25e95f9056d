//! Integration tests of the pipeline with an in-memory engine, workspace and clock.

mod ingest;
mod world;
