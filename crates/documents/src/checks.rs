//! Checks of single objects in the form of Azure's APIs, shared by documents and the Azure dialects of the server.

pub mod analytics_rules;
pub mod data_collection_rules;
pub mod saved_searches;
pub mod tables;
