use async_trait::async_trait;

use crate::ByteSize;

/// Reads the locations of `externaldata` allowed by the operator. An engine without this port has no external access.
#[async_trait]
pub trait ExternalData: Send + Sync {
    /// The content at a location as written in the query: a path, `file://…` or `https://…`.
    async fn read(&self, location: &str, most: ByteSize) -> Result<Vec<u8>, ExternalError>;
}

/// Why external data was not read.
#[derive(Debug, thiserror::Error)]
pub enum ExternalError {
    #[error("`{0}` is in none of the places that the operator allows `externaldata` to read")]
    Refused(String),
    #[error("`{0}` is neither a path nor a `file:` or `https:` address")]
    Location(String),
    #[error("`{0}` carries a credential; write the address alone")]
    Credential(String),
    #[error("`{location}` is larger than {most}, the limit of `externaldata`")]
    TooLarge { location: String, most: ByteSize },
    #[error("`{location}` answers {status}")]
    Status { location: String, status: u16 },
    #[error("cannot read `{location}`: {why}")]
    Read { location: String, why: String },
}
