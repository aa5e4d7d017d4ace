//! The metadata string of a commit: what was written is read, and whatever is read, no record
//! counts as finished that it does not name.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tidegate_engine::{
    Arrival, Config, Engine, FinishedRanges, Instant, KeyHash, Metadata, MetadataError, Offset,
    OffsetRange, Ordering, PartitionId, Start,
};

use crate::tape::Tape;

const PREFIX: &str = "tg1:";

/// Reads any text, any body with a valid checksum, or writes any ranges and reads them back.
///
/// # Panics
/// When the codec, or an engine that begins with such a commit, is wrong.
pub fn metadata(data: &[u8]) {
    let mut tape = Tape::new(data);
    match tape.byte() % 3 {
        0 => any_text(tape),
        1 => any_body(tape),
        _ => round_trip(tape),
    }
}

fn any_text(mut tape: Tape<'_>) {
    let committed = Offset(tape.u64().cast_signed());
    let text = String::from_utf8_lossy(tape.rest());
    for text in [text.to_string(), format!("{PREFIX}{text}")] {
        let decoded = Metadata::decode(&text, committed);
        if !text.starts_with(PREFIX) && !text.is_empty() {
            assert_eq!(decoded, Err(MetadataError::Foreign));
        }
    }
}

/// Nobody guesses a checksum: it is put in front, so that what lies behind it is reached.
fn any_body(mut tape: Tape<'_>) {
    let (incarnation_differs, epoch) = (tape.byte().is_multiple_of(8), i32::from(tape.byte()) - 1);
    let body = tape.rest();
    let text = with_checksum(body);
    let Some(expected) = naive(body) else {
        assert_eq!(Metadata::decode(&text, Offset(0)), Err(MetadataError::Corrupt));
        return;
    };
    let named = Offset(expected.committed);
    let decoded = Metadata::decode(&text, named).expect("the naive reader reads it");
    let all =
        FinishedRanges::from_any(expected.ranges.iter().map(|&(start, end)| range(start, end)));
    assert_eq!(decoded.finished, all);
    assert_eq!(decoded.leader_epoch, expected.epoch);
    assert_eq!(decoded.incarnation, expected.incarnation);
    let other = Offset(expected.committed ^ 1);
    let mismatch = MetadataError::Mismatch { named, committed: other };
    assert_eq!(Metadata::decode(&text, other), Err(mismatch));
    let incarnation = expected.incarnation ^ u64::from(incarnation_differs);
    begin_with(&text, &decoded, incarnation, epoch);
}

fn round_trip(mut tape: Tape<'_>) {
    let committed = (tape.any_size() >> 2).cast_signed();
    let leader_epoch = tape.u32().cast_signed().max(-1);
    let incarnation = tape.any_size();
    let max_bytes = usize::from(tape.u16());
    let (at, to) = (usize::from(tape.u16()), tape.byte());
    let mut end = committed;
    let mut ranges = Vec::new();
    while !tape.is_empty() && ranges.len() < 2_000 {
        let gap = (tape.any_size() >> 20).cast_signed() + i64::from(!ranges.is_empty());
        let start = end.saturating_add(gap);
        end = start.saturating_add((tape.any_size() >> 20).cast_signed() + 1);
        if start < end {
            ranges.push(range(start, end));
        }
    }
    let finished = FinishedRanges::from_any(ranges.iter().copied());
    let committed = Offset(committed);
    let written = Metadata { committed: Some(committed), leader_epoch, incarnation, finished };
    let (text, dropped) = written.encode(max_bytes);
    assert!(text.len() <= max_bytes, "{} bytes of {max_bytes}", text.len());

    let read = Metadata::decode(&text, committed).expect("what was written is read");
    let kept = written.finished.len() - dropped as usize;
    assert!(read.finished.iter().eq(written.finished.iter().take(kept)), "other ranges");
    if text.is_empty() {
        assert!(kept == 0);
        return;
    }
    assert_eq!((read.leader_epoch, read.incarnation), (leader_epoch, incarnation));
    begin_with(&text, &read, incarnation, leader_epoch);

    // Everywhere in a short text; a checksum finds every change of one character.
    let places =
        if text.len() <= 200 { 0..text.len() } else { at % text.len()..at % text.len() + 1 };
    for place in places {
        let mut damaged = text.clone();
        damaged.replace_range(place..=place, char::from(to % 128).encode_utf8(&mut [0; 4]));
        if let Ok(other) = Metadata::decode(&damaged, committed) {
            assert_eq!(other, read, "damage was not seen");
        }
    }
}

/// An engine that begins with this commit processes exactly what is not named, and its own next
/// commit names nothing of that.
fn begin_with(text: &str, decoded: &Metadata, incarnation: u64, epoch: i32) {
    let committed = decoded.committed.expect("it was named");
    let partition = PartitionId(0);
    let now = Instant::from_nanos(0);
    let config = Config { ordering: Ordering::None, max_in_flight: 100_000, ..Config::default() };
    let mut engine = Engine::new(config, now).expect("within the limits");
    let start = Start { committed: Some(committed), metadata: text, incarnation };
    let assigned = engine.handle_assigned(partition, start, now);
    let is_another = incarnation != decoded.incarnation && !decoded.finished.is_empty();
    assert_eq!(assigned.err(), is_another.then_some(MetadataError::OtherIncarnation));

    // The edges of each range, where a shift by one would be seen.
    let edges = decoded.finished.iter().flat_map(|range| {
        let (start, end) = (range.start.0, range.end.0);
        [start.saturating_sub(1), start, end - 1, end]
    });
    let mut offsets: Vec<_> =
        edges.filter(|offset| (committed.0..i64::MAX).contains(offset)).collect();
    offsets.sort_unstable();
    offsets.dedup();
    let truncated = decoded.leader_epoch >= 0 && epoch > decoded.leader_epoch;
    let is_named = |offset: i64| decoded.finished.iter().any(|r| r.contains(Offset(offset)));
    let expected: Vec<_> = offsets
        .iter()
        .copied()
        .filter(|offset| is_another || truncated || !is_named(*offset))
        .collect();

    let arrivals = offsets.iter().map(|&offset| Arrival {
        offset: Offset(offset),
        bytes: 1,
        key: Some(KeyHash(0)),
        leader_epoch: epoch,
        payload: (),
    });
    engine.handle_records(partition, arrivals.collect::<Vec<_>>(), None, now);
    let mut dispatched = Vec::new();
    engine.poll_dispatch(&mut dispatched, usize::MAX, now);
    let dispatched: Vec<_> = dispatched.iter().map(|dispatch| dispatch.offset.0).collect();
    assert_eq!(dispatched, expected, "processed, and to be processed");

    let mut points = Vec::new();
    engine.poll_commits(&mut points);
    for point in points {
        let next = Metadata::decode(&point.metadata, point.offset).expect("own metadata");
        for offset in &dispatched {
            assert!(point.offset.0 <= *offset, "{offset} is unfinished and below the commit");
            let is_named = next.finished.iter().any(|range| range.contains(Offset(*offset)));
            assert!(!is_named, "{offset} is unfinished and named");
        }
    }
}

fn range(start: i64, end: i64) -> OffsetRange {
    OffsetRange { start: Offset(start), end: Offset(end) }
}

fn with_checksum(body: &[u8]) -> String {
    let mut whole = crc32fast::hash(body).to_le_bytes().to_vec();
    whole.extend_from_slice(body);
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(whole))
}

struct Naive {
    committed: i64,
    epoch: i32,
    incarnation: u64,
    ranges: Vec<(i64, i64)>,
}

/// The format once more, in numbers that do not overflow.
fn naive(body: &[u8]) -> Option<Naive> {
    let mut rest = body.iter().copied();
    let committed = i64::try_from(varint(&mut rest)?).ok()?;
    let epoch = i32::try_from(i128::try_from(varint(&mut rest)?).ok()? - 1).ok()?;
    let mut incarnation = 0;
    for at in 0..8 {
        incarnation |= u64::from(rest.next()?) << (8 * at);
    }
    let (mut ranges, mut end) = (Vec::new(), i128::from(committed));
    while rest.len() > 0 {
        let distance = i128::try_from(varint(&mut rest)?).ok()?;
        let length = i128::try_from(varint(&mut rest)?).ok()?;
        if length == 0 || (distance == 0 && !ranges.is_empty()) {
            return None;
        }
        let start = end + distance;
        end = start + length;
        ranges.push((i64::try_from(start).ok()?, i64::try_from(end).ok()?));
    }
    Some(Naive { committed, epoch, incarnation, ranges })
}

fn varint(bytes: &mut impl Iterator<Item = u8>) -> Option<u128> {
    let mut value = 0;
    for at in 0..10 {
        let byte = bytes.next()?;
        value |= u128::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return (value <= u128::from(u64::MAX)).then_some(value);
        }
    }
    None
}
