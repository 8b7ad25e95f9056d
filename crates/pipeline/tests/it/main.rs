//! Uploads through a pipeline whose engine, tables and clock are in memory.

mod ingest;
mod world;
