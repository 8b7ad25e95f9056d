//! The catalog port: versions, and functions by name.

use std::path::Path;
use std::sync::Arc;

use model::{Catalog, SavedSearch, TableName};
use testkit::SimDisk;

use crate::support::{HandClock, define, open, small};

#[tokio::test]
async fn every_change_has_a_version_and_functions_are_found_by_alias() {
    let (disk, clock) = (SimDisk::new(1), HandClock::new());
    let workspace = open(Path::new("/data"), Arc::new(disk.clone()), clock.clone(), small()).unwrap();
    let mut versions = vec![workspace.version()];
    define(&workspace).await.unwrap();
    versions.push(workspace.version());
    let search = |name: &str, alias: &str, query: &str| SavedSearch {
        name: name.to_owned(),
        function_alias: alias.to_owned(),
        query: query.to_owned(),
        ..SavedSearch::default()
    };
    workspace.save_search(search("one", "Busy", "T | take 1")).await.unwrap();
    workspace.save_search(search("plain", "", "T | take 3")).await.unwrap();
    versions.push(workspace.version());
    assert_eq!(workspace.function("Busy").unwrap().body, "T | take 1");
    assert!(workspace.function("").is_none() && workspace.function("one").is_none(), "functions are called by their alias");
    workspace.save_search(search("one", "Busy", "T | take 2")).await.unwrap();
    versions.push(workspace.version());
    assert_eq!(workspace.function("Busy").unwrap().body, "T | take 2");
    assert!(versions.windows(2).all(|pair| pair[0] < pair[1]), "{versions:?}");
    drop(workspace);
    let workspace = open(Path::new("/data"), Arc::new(disk), clock, small()).unwrap();
    assert_eq!(workspace.function("Busy").unwrap().body, "T | take 2", "also after a restart");
    assert!(workspace.remove_search("ONE").await.unwrap());
    assert!(workspace.function("Busy").is_none());
    workspace.drop_table(&TableName::new("Numbers_CL")).await.unwrap();
}
