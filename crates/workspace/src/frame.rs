//! The log's file format: a header, then frames.
//!
//! ```text
//! file    = "BZLG" version:u32 first:u64 salt:u64 crc:u32             first = sequence of the first append in this file
//! frame   = "BZFR" length:u32 salt:u64 bodycrc:u32 headcrc:u32 body   headcrc covers the bytes before it
//! body    = kind:u8 sequence:u64 ingested:i64 lease:i64  rest         all numbers little-endian
//! rest    = (append) key:opt16 source:opt16 cursor:opt32 tables:u16 { name:u16+text rows:u32 length:u32 ipc }
//! ```
//!
//! With two checksums, a damaged body is skipped by its length, and after a damaged head the scan resynchronises at the next magic. For any
//! input, [`scan`] returns every intact frame and the ranges of the remaining bytes; it never panics and never trusts an unchecked length.
//! The salt is random per file, so that row data containing the bytes of a frame is not mistaken for one after a damaged head.

use bytes::Bytes;

const FILE_MARK: [u8; 4] = *b"BZLG";
const FRAME_MARK: [u8; 4] = *b"BZFR";
const VERSION: u32 = 1;
pub const FILE_HEAD: usize = 28;
const FRAME_HEAD: usize = 24;
/// Maximum body length; a larger length means damage.
pub const MAX_BODY: usize = 512 << 20;

/// A decoded frame.
#[derive(Clone, Debug, PartialEq)]
pub struct Frame {
    pub sequence: u64,
    /// In ticks.
    pub ingested: i64,
    /// Promises of completeness never exceed this instant; see `Times`.
    pub lease: i64,
    /// `None` if the frame only renews the lease.
    pub append: Option<Appended>,
}

/// An append, still encoded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Appended {
    /// Hash of the sender's idempotency key.
    pub key: Option<u128>,
    pub position: Option<(String, Vec<u8>)>,
    pub tables: Vec<EncodedRows>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct EncodedRows {
    pub table: String,
    pub rows: u32,
    /// Encoded by `codec`.
    pub bytes: Bytes,
}

/// A range of a file that is not an intact frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    pub start: usize,
    pub end: usize,
    pub reason: &'static str,
}

/// Result of scanning one log file.
#[derive(Debug, Default)]
pub struct Scanned {
    /// The sequence in the header, if the header is intact.
    pub first: Option<u64>,
    pub frames: Vec<Frame>,
    pub damage: Vec<Damage>,
}

pub fn file_head(first: u64, salt: u64) -> [u8; FILE_HEAD] {
    let mut head = [0; FILE_HEAD];
    head[..4].copy_from_slice(&FILE_MARK);
    head[4..8].copy_from_slice(&VERSION.to_le_bytes());
    head[8..16].copy_from_slice(&first.to_le_bytes());
    head[16..24].copy_from_slice(&salt.to_le_bytes());
    let crc = crc32fast::hash(&head[..24]);
    head[24..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// Length that [`encode`] adds for the parts of an append, excluding the head.
pub fn body_length(appended: &Appended) -> usize {
    let fixed = 1 + 8 + 8 + 8 + 17 + 2 + 4 + 2;
    let position = appended.position.as_ref().map_or(0, |(source, cursor)| source.len() + cursor.len());
    fixed + position + appended.tables.iter().map(|table| 2 + table.table.len() + 8 + table.bytes.len()).sum::<usize>()
}

/// Appends the frame to `out`.
pub fn encode(out: &mut Vec<u8>, salt: u64, sequence: u64, ingested: i64, lease: i64, append: Option<&Appended>) {
    let head = out.len();
    out.extend_from_slice(&[0; FRAME_HEAD]);
    let body = out.len();
    out.push(u8::from(append.is_some()));
    out.extend_from_slice(&sequence.to_le_bytes());
    out.extend_from_slice(&ingested.to_le_bytes());
    out.extend_from_slice(&lease.to_le_bytes());
    if let Some(append) = append {
        out.push(u8::from(append.key.is_some()));
        out.extend_from_slice(&append.key.unwrap_or_default().to_le_bytes());
        let (source, cursor) = append.position.as_ref().map_or(("", [].as_slice()), |(source, cursor)| (source, cursor));
        // A cursor of a source with an empty name is indistinguishable from no cursor; `Workspace::append` rejects such names.
        out.extend_from_slice(&(source.len() as u16).to_le_bytes());
        out.extend_from_slice(source.as_bytes());
        out.extend_from_slice(&(cursor.len() as u32).to_le_bytes());
        out.extend_from_slice(cursor);
        out.extend_from_slice(&(append.tables.len() as u16).to_le_bytes());
        for table in &append.tables {
            out.extend_from_slice(&(table.table.len() as u16).to_le_bytes());
            out.extend_from_slice(table.table.as_bytes());
            out.extend_from_slice(&table.rows.to_le_bytes());
            out.extend_from_slice(&(table.bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(&table.bytes);
        }
    }
    let (length, crc) = ((out.len() - body) as u32, crc32fast::hash(&out[body..]));
    out[head..head + FRAME_HEAD].copy_from_slice(&frame_head(length, salt, crc));
}

fn frame_head(length: u32, salt: u64, body_crc: u32) -> [u8; FRAME_HEAD] {
    let mut head = [0; FRAME_HEAD];
    head[..4].copy_from_slice(&FRAME_MARK);
    head[4..8].copy_from_slice(&length.to_le_bytes());
    head[8..16].copy_from_slice(&salt.to_le_bytes());
    head[16..20].copy_from_slice(&body_crc.to_le_bytes());
    let crc = crc32fast::hash(&head[..20]);
    head[20..].copy_from_slice(&crc.to_le_bytes());
    head
}

/// The salt of the frame at `at`, if its head is intact.
fn salt_at(file: &[u8], at: usize) -> Option<u64> {
    let head = file.get(at..at + FRAME_HEAD)?;
    (head[..4] == FRAME_MARK && le_u32(&head[20..24])? == crc32fast::hash(&head[..20])).then(|| le_u64(&head[8..16]))?
}

/// Returns every intact frame of a log file, in file order.
pub fn scan(file: &Bytes) -> Scanned {
    let mut found = Scanned::default();
    let mut at = 0;
    let mut salt = salt_at(file, FILE_HEAD);
    match read_file_head(file) {
        Some((first, own)) => {
            found.first = Some(first);
            salt = Some(own);
            at = FILE_HEAD;
        }
        None if file.is_empty() => return found,
        None => found.damage.push(Damage { start: 0, end: 0, reason: "the header is damaged" }),
    }
    while at < file.len() {
        let (reason, next) = match read_frame(file, at, &mut salt) {
            Ok((frame, end)) => {
                close_damage(&mut found.damage, at);
                found.frames.push(frame);
                at = end;
                continue;
            }
            Err(Bad::Body { end }) => ("a frame is damaged", end),
            Err(Bad::Torn) => ("a frame ends in its middle", next_mark(file, at + 1)),
            Err(Bad::Head) => ("there is no frame", next_mark(file, at + 1)),
        };
        match found.damage.last() {
            Some(open) if open.end == 0 => {}
            _ => found.damage.push(Damage { start: at, end: 0, reason }),
        }
        at = next;
    }
    close_damage(&mut found.damage, file.len());
    found
}

fn close_damage(damage: &mut Vec<Damage>, end: usize) {
    if let Some(open) = damage.last_mut()
        && open.end == 0
    {
        open.end = end.min(open.start.max(end));
        if open.end == open.start {
            damage.pop();
        }
    }
}

/// Reads the first sequence and the salt from the file header.
fn read_file_head(file: &[u8]) -> Option<(u64, u64)> {
    let head = file.get(..FILE_HEAD)?;
    let whole = head[..4] == FILE_MARK && le_u32(&head[24..])? == crc32fast::hash(&head[..24]) && le_u32(&head[4..8])? == VERSION;
    whole.then(|| Some((le_u64(&head[8..16])?, le_u64(&head[16..24])?)))?
}

enum Bad {
    Head,
    Torn,
    Body { end: usize },
}

/// Reads the frame at `at`. If the salt is unknown, it is taken from the first frame head.
fn read_frame(file: &Bytes, at: usize, salt: &mut Option<u64>) -> Result<(Frame, usize), Bad> {
    let head = file.get(at..at + FRAME_HEAD).ok_or(Bad::Torn)?;
    let own = salt_at(file, at).ok_or(Bad::Head)?;
    if *salt.get_or_insert(own) != own {
        return Err(Bad::Head);
    }
    let length = le_u32(&head[4..8]).unwrap_or(u32::MAX) as usize;
    if length > MAX_BODY {
        return Err(Bad::Head);
    }
    let (start, end) = (at + FRAME_HEAD, at + FRAME_HEAD + length);
    if end > file.len() {
        return Err(Bad::Torn);
    }
    let body = file.slice(start..end);
    if le_u32(&head[16..20]) != Some(crc32fast::hash(&body)) {
        return Err(Bad::Body { end });
    }
    // The checksum matches but the body does not parse: a defect or a newer version. The next frame may still be readable.
    read_body(body).map(|frame| (frame, end)).ok_or(Bad::Body { end })
}

fn next_mark(file: &[u8], from: usize) -> usize {
    let rest = file.get(from..).unwrap_or_default();
    rest.windows(FRAME_MARK.len()).position(|window| window == FRAME_MARK).map_or(file.len(), |offset| from + offset)
}

fn read_body(body: Bytes) -> Option<Frame> {
    let mut reader = Reader { body, at: 0 };
    let kind = reader.take(1)?[0];
    let (sequence, ingested, lease) = (reader.u64()?, reader.u64()? as i64, reader.u64()? as i64);
    let append = match kind {
        0 => None,
        1 => Some(read_append(&mut reader)?),
        _ => return None,
    };
    (reader.at == reader.body.len()).then_some(Frame { sequence, ingested, lease, append })
}

fn read_append(reader: &mut Reader) -> Option<Appended> {
    let keyed = reader.take(1)?[0] == 1;
    let key = u128::from_le_bytes(reader.take(16)?.as_ref().try_into().ok()?);
    let source = reader.text16()?;
    let cursor_length = reader.u32()? as usize;
    let cursor = reader.take(cursor_length)?.to_vec();
    let count = reader.u16()?;
    let mut tables = Vec::new();
    for _ in 0..count {
        let table = reader.text16()?;
        let rows = reader.u32()?;
        let length = reader.u32()? as usize;
        tables.push(EncodedRows { table, rows, bytes: reader.take(length)? });
    }
    Some(Appended { key: keyed.then_some(key), position: (!source.is_empty()).then_some((source, cursor)), tables })
}

struct Reader {
    body: Bytes,
    at: usize,
}

impl Reader {
    fn take(&mut self, length: usize) -> Option<Bytes> {
        let end = self.at.checked_add(length).filter(|end| *end <= self.body.len())?;
        let part = self.body.slice(self.at..end);
        self.at = end;
        Some(part)
    }

    fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.take(2)?.as_ref().try_into().ok()?))
    }

    fn u32(&mut self) -> Option<u32> {
        le_u32(&self.take(4)?)
    }

    fn u64(&mut self) -> Option<u64> {
        le_u64(&self.take(8)?)
    }

    fn text16(&mut self) -> Option<String> {
        let length = self.u16()? as usize;
        String::from_utf8(self.take(length)?.to_vec()).ok()
    }
}

fn le_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?))
}

fn le_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(..8)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(frames: u64) -> (Vec<u8>, Vec<usize>) {
        let mut out = file_head(7, 0xfeed).to_vec();
        let mut starts = Vec::new();
        for n in 0..frames {
            starts.push(out.len());
            let append = Appended {
                key: (n % 2 == 0).then_some(u128::from(n)),
                position: (n % 3 == 0).then(|| ("syslog".to_owned(), vec![n as u8; 3])),
                tables: vec![EncodedRows { table: "T_CL".to_owned(), rows: 1, bytes: Bytes::from(vec![n as u8; 40 + n as usize]) }],
            };
            encode(&mut out, 0xfeed, 7 + n, 100 + n as i64, 200, (n != 2).then_some(&append));
        }
        starts.push(out.len());
        (out, starts)
    }

    #[test]
    fn frames_round_trip() {
        let (file, _) = sample(5);
        let found = scan(&Bytes::from(file));
        assert_eq!(found.first, Some(7));
        assert!(found.damage.is_empty());
        assert_eq!(found.frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), [7, 8, 9, 10, 11]);
        assert_eq!(found.frames[2].append, None);
        let append = found.frames[0].append.as_ref().unwrap();
        assert_eq!(append.position, Some(("syslog".to_owned(), vec![0; 3])));
        assert_eq!(append.key, Some(0));
    }

    /// Reference: every frame whose bytes were not modified must be returned.
    #[test]
    fn every_flipped_byte_costs_at_most_its_frame() {
        let (file, starts) = sample(6);
        for position in 0..file.len() {
            for bit in [0, 3, 7] {
                let mut damaged = file.clone();
                damaged[position] ^= 1 << bit;
                let found = scan(&Bytes::from(damaged));
                let hit = starts.windows(2).position(|pair| (pair[0]..pair[1]).contains(&position)).map(|n| 7 + n as u64);
                let expected: Vec<u64> = (7..13).filter(|sequence| Some(*sequence) != hit).collect();
                assert_eq!(found.frames.iter().map(|frame| frame.sequence).collect::<Vec<_>>(), expected, "flipped byte {position}");
                assert_eq!(found.damage.len(), 1, "flipped byte {position}: {:?}", found.damage);
            }
        }
    }

    #[test]
    fn frame_bytes_inside_a_row_are_ignored() {
        let mut inner = Vec::new();
        encode(&mut inner, 1, 99, 1, 1, None);
        let mut file = file_head(7, 0xfeed).to_vec();
        let outer =
            Appended { tables: vec![EncodedRows { table: "T".to_owned(), rows: 1, bytes: Bytes::from(inner) }], ..Appended::default() };
        encode(&mut file, 0xfeed, 7, 1, 1, Some(&outer));
        file[FILE_HEAD + 5] ^= 1;
        assert!(scan(&Bytes::from(file)).frames.is_empty());
    }

    #[test]
    fn truncation_keeps_earlier_frames() {
        let (file, starts) = sample(6);
        for length in 0..file.len() {
            let found = scan(&Bytes::from(file[..length].to_vec()));
            let whole = starts[1..].iter().filter(|end| **end <= length).count();
            assert_eq!(found.frames.len(), whole, "cut at {length}");
            assert_eq!(found.damage.is_empty(), length == 0 || starts.contains(&length), "cut at {length}: {:?}", found.damage);
        }
    }
}
