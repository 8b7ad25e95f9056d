//! Runs KQL plans; the one door to DataFusion.
