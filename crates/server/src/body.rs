//! Reads request bodies within limits: bytes on the wire, inflated bytes, JSON depth, time, and the budgets shared by all requests. The
//! unread rest of a rejected body is drained after the response (see `serve/tail.rs`).

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;

use crate::budgets::{self, FREE_BYTES};
use crate::error::ApiError;
use crate::shares::{Share, Shares};

/// A request's body as it comes from the connection.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Limits for a body.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes on the wire, before inflating.
    pub wire: u64,
    /// Bytes after inflating.
    pub inflated: u64,
    /// Maximum time between two chunks of the body.
    pub idle: Duration,
    /// Maximum time for the whole body.
    pub total: Duration,
}

impl BodyLimits {
    /// 4 MiB of configuration.
    pub const CONFIGURATION: BodyLimits = BodyLimits { wire: 4 << 20, ..Self::INGESTION };

    /// Logs Ingestion: 1 MiB on the wire, 64 MiB inflated. The compression ratio is not limited: repetitive lines compress 1,000 : 1, and
    /// Azure accepts them.
    pub const INGESTION: BodyLimits =
        BodyLimits { wire: 1_048_576, inflated: 64 << 20, idle: Duration::from_secs(15), total: Duration::from_secs(120) };

    /// Forms of callers without a token, mainly token requests: small, with short timeouts.
    pub const FORM: BodyLimits =
        BodyLimits { wire: 64 << 10, inflated: 64 << 10, idle: Duration::from_secs(5), total: Duration::from_secs(10) };
}

/// Bytes reserved before any data arrives, regardless of the announced length.
const FIRST_PIECE: u64 = 64 << 10;
/// The same for the declared inflated size.
const FIRST_INFLATED: u64 = 8 << 20;

/// How deep JSON may nest.
pub const MAX_JSON_DEPTH: usize = 64;

/// Larger bodies are inflated on a blocking thread.
const QUICK_INFLATION: u64 = 256 << 10;

/// Budgets charged for a body.
pub struct Account<'a> {
    /// For the bytes on the wire.
    pub wire: &'a Arc<Shares>,
    pub inflated: &'a Arc<Shares>,
    pub holder: &'a str,
}

/// Reads and inflates the whole body. The budget is released when the last clone of the bytes is dropped.
pub async fn read(body: Body, headers: &HeaderMap, limits: BodyLimits, account: Account<'_>) -> Result<Bytes, ApiError> {
    let encoding = Encoding::of(headers)?;
    let wire = read_wire(body, headers, limits, &account).await?;
    if encoding == Encoding::Identity {
        return Ok(wire);
    }
    let expected = expected_size(&wire).min(limits.inflated);
    let share = budgets::wait(account.inflated, account.holder, expected).await?;
    if expected <= QUICK_INFLATION {
        return inflate(&wire, limits, Some(share));
    }
    tokio::task::spawn_blocking(move || inflate(&wire, limits, Some(share))).await.map_err(|error| ApiError::internal(&error))?
}

/// Inflated size of a gzip body as declared by the last member, modulo 2^32 (RFC 1952 §2.3.1), but at least a typical size. Only an
/// estimate: the budget grows with the actual size.
fn expected_size(wire: &[u8]) -> u64 {
    let said = wire.last_chunk::<4>().map_or(0, |bytes| u64::from(u32::from_le_bytes(*bytes)));
    said.max(wire.len() as u64 * 4)
}

/// Bytes with their reservation in a budget.
struct Held<T> {
    bytes: T,
    _share: Option<Share>,
}

impl<T: AsRef<[u8]>> AsRef<[u8]> for Held<T> {
    fn as_ref(&self) -> &[u8] {
        self.bytes.as_ref()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Encoding {
    Identity,
    Gzip,
}

impl Encoding {
    fn of(headers: &HeaderMap) -> Result<Self, ApiError> {
        let Some(value) = headers.get(header::CONTENT_ENCODING) else { return Ok(Self::Identity) };
        match value.to_str().unwrap_or("?").trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Ok(Self::Identity),
            "gzip" | "x-gzip" => Ok(Self::Gzip),
            other => Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "UnsupportedContentEncoding",
                format!("Content-Encoding '{other}' is not supported. Send the body as it is or with gzip."),
            )
            .target("Content-Encoding")),
        }
    }
}

async fn read_wire(mut body: Body, headers: &HeaderMap, limits: BodyLimits, account: &Account<'_>) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    if let Some(length) = announced.filter(|length| *length > limits.wire) {
        return Err(too_long(limits.wire, length));
    }
    // Reserve before reading: the client experiences the wait as back-pressure.
    let most = announced.unwrap_or(limits.wire);
    let mut share = None;
    if most > FREE_BYTES {
        share = Some(budgets::wait(account.wire, account.holder, most).await?);
    }
    let deadline = tokio::time::Instant::now() + limits.total;
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(FIRST_PIECE) as usize);
    loop {
        let next = tokio::time::timeout(limits.idle, body.frame());
        let frame = match tokio::time::timeout_at(deadline, next).await {
            Ok(Ok(Some(Ok(frame)))) => frame,
            Ok(Ok(None)) => {
                if let Some(share) = &mut share {
                    share.shrink(whole.len() as u64);
                }
                return Ok(Bytes::from_owner(Held { bytes: whole, _share: share }));
            }
            Ok(Ok(Some(Err(error)))) => {
                tracing::debug!(error = error.to_string(), "a body broke off");
                return Err(ApiError::bad_request("IncompleteBody", "The request's body broke off before its end."));
            }
            Ok(Err(_)) | Err(_) => {
                return Err(ApiError::new(
                    StatusCode::REQUEST_TIMEOUT,
                    "RequestTimeout",
                    format!(
                        "The request's body came too slowly: at most {} s of silence, {} s in all.",
                        limits.idle.as_secs(),
                        limits.total.as_secs()
                    ),
                ));
            }
        };
        if let Ok(data) = frame.into_data() {
            let length = (whole.len() + data.len()) as u64;
            if length > limits.wire {
                return Err(too_long(limits.wire, length));
            }
            whole.extend_from_slice(&data);
        }
    }
}

/// Azure's exact message, because clients search for it.
fn too_long(limit: u64, length: u64) -> ApiError {
    let megabytes = limit.div_ceil(1 << 20);
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "ContentLengthLimitExceeded",
        format!("Maximum allowed content length: {limit} bytes ({megabytes} MB). Provided content length: {length} bytes."),
    )
}

/// Inflates the gzip members of `wire` in chunks, so that a decompression bomb is detected early; `share` grows with the output.
pub fn inflate(wire: &[u8], limits: BodyLimits, mut share: Option<Share>) -> Result<Bytes, ApiError> {
    let mut decoder = flate2::read::MultiGzDecoder::new(wire);
    let mut whole = Vec::with_capacity(expected_size(wire).min(limits.inflated).min(FIRST_INFLATED) as usize);
    let mut held = expected_size(wire).min(limits.inflated);
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = decoder.read(&mut piece).map_err(|_| {
            ApiError::bad_request("InvalidContentEncoding", "The body is said to be gzip, but it is not, or it is cut off.")
                .target("Content-Encoding")
        })?;
        if count == 0 {
            whole.shrink_to_fit();
            if let Some(share) = &mut share {
                share.shrink(whole.len() as u64);
            }
            return Ok(Bytes::from_owner(Held { bytes: whole, _share: share }));
        }
        whole.extend_from_slice(&piece[..count]);
        let length = whole.len() as u64;
        if length > limits.inflated {
            return Err(bomb(format!(
                "The body inflates to more than {} bytes, the most that is taken. Send smaller batches.",
                limits.inflated
            )));
        }
        if length > held {
            let more = held.max(QUICK_INFLATION);
            if let Some(share) = &mut share {
                share.grow(more).map_err(|_| budgets::busy())?;
            }
            held += more;
        }
    }
}

fn bomb(message: String) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "DecompressedContentLimitExceeded", message).target("Content-Encoding")
}

/// Whether brackets nest deeper than `limit`. Looks at brackets and strings only; the text need not be valid JSON.
pub fn deeper_than(json: &[u8], limit: usize) -> bool {
    let (mut depth, mut in_string, mut escaped) = (0usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

/// The error for JSON deeper than [`MAX_JSON_DEPTH`].
pub fn too_deep() -> ApiError {
    ApiError::bad_request("JsonTooDeep", format!("The JSON nests deeper than {MAX_JSON_DEPTH} levels. Send the inner part as a string."))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_a_stock_client_sends_is_inflated() {
        // WIRE §2: a single 1.5 MB record travels as 1.5 KB, a ratio of 1 000 : 1.
        let record = vec![b'a'; 1_500_000];
        let inflate = |wire: &[u8], limits| inflate(wire, limits, None);
        assert_eq!(inflate(&gzip(&record), BodyLimits::INGESTION).unwrap().len(), record.len());
        let two_members = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(&inflate(&two_members, BodyLimits::INGESTION).unwrap()[..], b"[1,2]");
    }

    #[test]
    fn a_body_is_refused_by_what_it_inflates_to_not_by_how_well_it_shrank() {
        // Repetitive lines: 5 MB in some 20 KB, which Azure accepts.
        let lines = b"{\"Message\":\"connection from 192.0.2.7 accepted\"},\n".repeat(100_000);
        assert_eq!(inflate(&gzip(&lines), BodyLimits::INGESTION, None).unwrap().len(), lines.len());
        let bomb = inflate(&gzip(&vec![0; 1 << 20]).repeat(65), BodyLimits::INGESTION, None).unwrap_err();
        assert_eq!((bomb.status.as_u16(), bomb.code.as_ref()), (413, "DecompressedContentLimitExceeded"));
        let by_size = inflate(&gzip(&[7; 100]), BodyLimits { inflated: 99, ..BodyLimits::INGESTION }, None).unwrap_err();
        assert!(by_size.message.contains("99 bytes"), "{by_size}");
    }

    #[tokio::test]
    async fn all_bodies_together_inflate_within_the_budget() {
        let shares = Shares::new(8 << 20, 8 << 20);
        let wire = gzip(&vec![b' '; 6 << 20]);
        let share = || shares.get("a", expected_size(&wire), Duration::ZERO);
        let first = inflate(&wire, BodyLimits::INGESTION, Some(share().await.unwrap())).unwrap();
        assert!(share().await.is_err());
        // A body with a wrong declared size is limited by the free budget.
        let mut lying = wire.clone();
        let length = lying.len();
        lying[length - 4..].copy_from_slice(&[1, 0, 0, 0]);
        let small = shares.get("a", 1 << 20, Duration::ZERO).await.unwrap();
        assert_eq!(inflate(&lying, BodyLimits::INGESTION, Some(small)).unwrap_err().status.as_u16(), 503);
        let clone = first.clone();
        drop(first);
        assert!(share().await.is_err());
        drop(clone);
        assert!(share().await.is_ok());
    }

    #[test]
    fn a_cut_off_member_is_an_error() {
        let mut cut = gzip(b"hello hello hello");
        cut.truncate(cut.len() - 9);
        assert_eq!(inflate(&cut, BodyLimits::INGESTION, None).unwrap_err().code, "InvalidContentEncoding");
        assert_eq!(inflate(b"[]", BodyLimits::INGESTION, None).unwrap_err().code, "InvalidContentEncoding");
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert!(!deeper_than(br#"["[[[[", "\"[[[", {}]"#, 2));
        assert!(deeper_than(b"[[[1]]]", 2));
        assert!(!deeper_than(b"[][][][]", 1));
    }
}
