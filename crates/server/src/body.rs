//! Reading a request's body within limits: bytes on the wire, bytes inflated, ratio between the two, depth of JSON, time.

use std::io::Read;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt;
use http_body_util::combinators::BoxBody;

use crate::error::ApiError;

/// A request's body as it comes from the connection.
pub type Body = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// What a body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes on the wire, before inflating.
    pub wire: u64,
    /// Bytes after inflating.
    pub inflated: u64,
    /// Once this much has been inflated …
    pub ratio_from: u64,
    /// … it may be at most this many times what came over the wire.
    pub ratio: u64,
    /// Between two pieces of the body.
    pub idle: Duration,
    /// For the whole body.
    pub total: Duration,
}

impl BodyLimits {
    /// 4 MiB of configuration.
    pub const CONFIGURATION: BodyLimits = BodyLimits { wire: 4 << 20, ..Self::INGESTION };

    /// Logs Ingestion: 1 MiB on the wire; 64 MiB inflated, and from 4 MiB on at most 100 : 1. Microsoft's own clients send far more than
    /// 1 MiB inflated, up to 1 000 : 1, so neither can be tighter.
    pub const INGESTION: BodyLimits = BodyLimits {
        wire: 1_048_576,
        inflated: 64 << 20,
        ratio_from: 4 << 20,
        ratio: 100,
        idle: Duration::from_secs(15),
        total: Duration::from_secs(120),
    };

    /// Token requests.
    pub const FORM: BodyLimits = BodyLimits { wire: 64 << 10, inflated: 64 << 10, ..Self::INGESTION };
}

/// How deep JSON may nest.
pub const MAX_JSON_DEPTH: usize = 64;

/// How much of a refused body is still read, so that a client that writes before it reads sees our answer instead of a reset connection.
const DRAIN_BYTES: u64 = 64 << 20;
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// The whole body, inflated.
pub async fn read(body: Body, headers: &HeaderMap, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let encoding = Encoding::of(headers)?;
    let wire = read_wire(body, headers, limits).await?;
    match encoding {
        Encoding::Identity => Ok(wire),
        // Inflating megabytes would hold up every other request of this thread.
        Encoding::Gzip if wire.len() > 64 << 10 => {
            tokio::task::spawn_blocking(move || inflate(&wire, limits)).await.map_err(|error| ApiError::internal(&error))?
        }
        Encoding::Gzip => inflate(&wire, limits),
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

async fn read_wire(mut body: Body, headers: &HeaderMap, limits: BodyLimits) -> Result<Bytes, ApiError> {
    let announced = headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()).and_then(|text| text.parse::<u64>().ok());
    if let Some(length) = announced.filter(|length| *length > limits.wire) {
        // A client that asks first has sent nothing yet and needs no draining.
        if !headers.contains_key(header::EXPECT) {
            drain(&mut body).await;
        }
        return Err(too_long(limits.wire, length));
    }
    let deadline = tokio::time::Instant::now() + limits.total;
    let mut whole = BytesMut::with_capacity(announced.unwrap_or(0).min(limits.wire) as usize);
    loop {
        let next = tokio::time::timeout(limits.idle, body.frame());
        let frame = match tokio::time::timeout_at(deadline, next).await {
            Ok(Ok(Some(Ok(frame)))) => frame,
            Ok(Ok(None)) => return Ok(whole.freeze()),
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
                let rest = drain(&mut body).await;
                return Err(too_long(limits.wire, length + rest));
            }
            whole.extend_from_slice(&data);
        }
    }
}

/// The text is Azure's, word for word: clients look for it.
fn too_long(limit: u64, length: u64) -> ApiError {
    let megabytes = limit.div_ceil(1 << 20);
    ApiError::new(
        StatusCode::PAYLOAD_TOO_LARGE,
        "ContentLengthLimitExceeded",
        format!("Maximum allowed content length: {limit} bytes ({megabytes} MB). Provided content length: {length} bytes."),
    )
}

async fn drain(body: &mut Body) -> u64 {
    let mut seen = 0;
    let reading = async {
        while seen < DRAIN_BYTES {
            match body.frame().await {
                Some(Ok(frame)) => seen += frame.data_ref().map_or(0, |data| data.len() as u64),
                _ => break,
            }
        }
    };
    // Out of time means that we stop being polite, nothing else.
    let _ = tokio::time::timeout(DRAIN_TIME, reading).await;
    seen
}

/// The gzip members of `wire`, inflated piece by piece so that a bomb is noticed before it goes off.
pub fn inflate(wire: &[u8], limits: BodyLimits) -> Result<Bytes, ApiError> {
    let mut decoder = flate2::read::MultiGzDecoder::new(wire);
    let mut whole = Vec::with_capacity((wire.len() * 4).min(limits.ratio_from as usize));
    let mut piece = vec![0; 64 << 10];
    loop {
        let count = decoder.read(&mut piece).map_err(|_| {
            ApiError::bad_request("InvalidContentEncoding", "The body is said to be gzip, but it is not, or it is cut off.")
                .target("Content-Encoding")
        })?;
        if count == 0 {
            return Ok(whole.into());
        }
        whole.extend_from_slice(&piece[..count]);
        let length = whole.len() as u64;
        if length > limits.inflated {
            return Err(bomb(format!(
                "The body inflates to more than {} bytes, the most that is taken. Send smaller batches.",
                limits.inflated
            )));
        }
        if length > limits.ratio_from && length / limits.ratio > wire.len() as u64 {
            return Err(bomb(format!(
                "The body inflates to more than {} times its {} bytes on the wire; beyond {} bytes that is refused. Send smaller batches.",
                limits.ratio,
                wire.len(),
                limits.ratio_from
            )));
        }
    }
}

fn bomb(message: String) -> ApiError {
    ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "DecompressedContentLimitExceeded", message).target("Content-Encoding")
}

/// Whether brackets nest deeper than `limit`. Looks at brackets and strings only: the text need not be valid JSON.
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

/// The refusal for JSON deeper than [`MAX_JSON_DEPTH`].
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
        assert_eq!(inflate(&gzip(&record), BodyLimits::INGESTION).unwrap().len(), record.len());
        let two_members = [gzip(b"[1,"), gzip(b"2]")].concat();
        assert_eq!(&inflate(&two_members, BodyLimits::INGESTION).unwrap()[..], b"[1,2]");
    }

    #[test]
    fn a_bomb_is_refused_by_its_ratio_and_a_large_body_by_its_size() {
        let by_ratio = inflate(&gzip(&vec![0; 8 << 20]), BodyLimits::INGESTION).unwrap_err();
        assert_eq!((by_ratio.status.as_u16(), by_ratio.code.as_ref()), (413, "DecompressedContentLimitExceeded"));
        let by_size = inflate(&gzip(&[7; 100]), BodyLimits { inflated: 99, ..BodyLimits::INGESTION }).unwrap_err();
        assert!(by_size.message.contains("99 bytes"), "{by_size}");
    }

    #[test]
    fn a_cut_off_member_is_an_error() {
        let mut cut = gzip(b"hello hello hello");
        cut.truncate(cut.len() - 9);
        assert_eq!(inflate(&cut, BodyLimits::INGESTION).unwrap_err().code, "InvalidContentEncoding");
        assert_eq!(inflate(b"[]", BodyLimits::INGESTION).unwrap_err().code, "InvalidContentEncoding");
    }

    #[test]
    fn depth_counts_brackets_outside_strings() {
        assert!(!deeper_than(br#"["[[[[", "\"[[[", {}]"#, 2));
        assert!(deeper_than(b"[[[1]]]", 2));
        assert!(!deeper_than(b"[][][][]", 1));
    }
}
