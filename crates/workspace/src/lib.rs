//! Tables: write-ahead log, Parquet files under a manifest, catalog.
