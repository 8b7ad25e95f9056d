//! KQL plug-ins that are not supported: the reason and an alternative. Names are those of Microsoft's parser and of the public KQL
//! reference.

/// A known but unsupported plug-in.
pub struct Refused {
    pub name: &'static str,
    /// Completes the sentence that starts with the name.
    pub why: &'static str,
    pub instead: &'static str,
}

const CALLS_OUT: &str = "calls another service, and queries here reach nothing outside the workspace";
const FETCH: &str = "send what the service answers to a table (`POST …/streams/…`), or keep it as a watchlist, and join with that";
const RUNS_CODE: &str = "runs code that stands in the query, and queries here run nothing but KQL";
const CODE: &str = "do this part outside: `bartizan query --format ndjson` hands rows to any program";
const ASKS_MODEL: &str = "asks a language model over the network, and queries here reach nothing outside the workspace";
const MODEL: &str = "ask the model where rows are sent in, and keep its answer as a column";
const READS_STORAGE: &str = "looks into files outside the workspace, and queries here read tables only";
const STORAGE: &str = "`bartizan query --file F 'F | getschema'` shows the columns of a file";
const ASKS_CLUSTER: &str = "asks another cluster, and there is none behind this workspace";
const CLUSTER: &str = "bring the rows into a table of this workspace";

const fn refused(name: &'static str, why: &'static str, instead: &'static str) -> Refused {
    Refused { name, why, instead }
}

/// In alphabetical order.
pub static REFUSED: &[Refused] = &[
    refused("ai_chat_completion", ASKS_MODEL, MODEL),
    refused("ai_chat_completion_prompt", ASKS_MODEL, MODEL),
    refused("ai_embed_text", ASKS_MODEL, MODEL),
    refused("ai_embeddings", ASKS_MODEL, MODEL),
    refused("azure_digital_twins_query_request", CALLS_OUT, FETCH),
    refused("cosmosdb_sql_request", CALLS_OUT, FETCH),
    refused("csharp", RUNS_CODE, CODE),
    refused("dax_request", CALLS_OUT, FETCH),
    refused("execute_query", ASKS_CLUSTER, CLUSTER),
    refused("execute_show_command", ASKS_CLUSTER, CLUSTER),
    refused("external_datatable", READS_STORAGE, STORAGE),
    refused("http_request", CALLS_OUT, FETCH),
    refused("http_request_post", CALLS_OUT, FETCH),
    refused("identity_v3", "is a test of Microsoft's engine and nowhere described", "`identity()` gives the input as it is"),
    refused("infer_storage_schema", READS_STORAGE, STORAGE),
    refused("infer_storage_schema_with_suggestions", READS_STORAGE, STORAGE),
    refused("mysql_request", CALLS_OUT, FETCH),
    refused("postgresql_request", CALLS_OUT, FETCH),
    refused("python", RUNS_CODE, CODE),
    refused("r", RUNS_CODE, CODE),
    refused("sql_request", CALLS_OUT, FETCH),
];

/// Returns the reason if `name` is a known but unsupported plug-in.
pub fn find(name: &str) -> Option<&'static Refused> {
    REFUSED.iter().find(|refused| refused.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_sorted_and_not_implemented() {
        assert!(REFUSED.windows(2).all(|pair| pair[0].name < pair[1].name));
        assert!(REFUSED.iter().all(|refused| super::super::find(refused.name).is_none()));
    }
}
