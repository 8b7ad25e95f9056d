//! Errors of applying.

use model::CatalogError;
use oncall::check::Problem;
use store::StoreError;

/// Why nothing was applied, or not everything.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("{}", .0.first().map_or_else(|| "the document is wrong".to_owned(), ToString::to_string))]
    Wrong(Vec<Problem>),
    #[error("`{kind}.{name}` was changed since it was read; read it again")]
    Conflict { kind: String, name: String },
    #[error("objects of the document are being changed by others; try again")]
    Busy,
    #[error("there is no kind `{0}`")]
    NoKind(String),
    #[error("there is no `{kind}.{name}`")]
    NoObject { kind: String, name: String },
    #[error("`{path}`: {problem}{help}")]
    Shape { path: String, problem: String, help: String },
    #[error("nobody would have the role Owner on the subscription any more; assign it to another principal first")]
    LastOwner,
    #[error("documents cannot be applied without a service")]
    NoService,
    #[error("`{kind}.{name}` was not written to the catalog; what is not in the catalog was not applied")]
    Catalog {
        kind: &'static str,
        name: String,
        #[source]
        cause: CatalogError,
    },
    #[error("the document was applied, but `{kind}.{name}` was not removed from the catalog; apply it again")]
    NotRemoved {
        kind: &'static str,
        name: String,
        #[source]
        cause: CatalogError,
    },
    #[error("on call refused the document")]
    OnCall(#[from] oncall::objects::ApplyError),
    #[error("the document was not saved")]
    Store(#[from] StoreError),
}
