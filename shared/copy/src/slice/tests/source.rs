//! A partition of a source, written by hand: nothing here uses the code under test.

use std::io::Write;

use bytes::{BufMut, Bytes};
use kafka::AbortedTransaction;
use kafka::batch::{Codec, Record, Stamp, encode};

pub(super) const LOG_APPEND_TIME: i16 = 0x08;
const TRANSACTIONAL: i16 = 0x10;
const CONTROL: i16 = 0x20;

/// How records are laid out on the source.
#[derive(Debug, Clone)]
pub(super) enum Layout {
    /// A batch; `kept` says which records the log cleaner left.
    Batch { codec: Codec, kept: Vec<bool>, log_append_time: bool, transaction: Option<bool> },
    /// Messages before Kafka 0.11, wrapped into one when there is a codec.
    Old { magic: u8, gzip: bool, kept: Vec<bool>, log_append_time: bool },
    /// Offsets without anything.
    Gap,
}

/// A partition as it lies in the log, and what a read_committed consumer gets of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Source {
    /// The entries: offset behind each, and its bytes.
    pub(super) entries: Vec<(i64, Vec<u8>)>,
    pub(super) aborted: Vec<AbortedTransaction>,
    /// Every visible record, and the codec it lies in.
    pub(super) visible: Vec<(Record, Codec)>,
    pub(super) next: i64,
}

impl Source {
    pub(super) fn starting_at(next: i64) -> Self {
        Self { next, ..Self::default() }
    }

    /// Appends `records` as `layout` says; their offsets are given here.
    pub(super) fn append(&mut self, mut records: Vec<Record>, layout: &Layout) {
        let base = self.next;
        for (offset, record) in (base..).zip(&mut records) {
            record.offset = offset;
        }
        self.next += records.len() as i64;
        match layout {
            Layout::Gap => {}
            Layout::Batch { codec, kept, log_append_time, transaction } => {
                let last_delta = records.len() as i32 - 1;
                retain(&mut records, kept);
                let dense = records.len() as i32 == last_delta + 1;
                // With holes, only what can be compressed here.
                let codec = if dense || *codec == Codec::Gzip { *codec } else { Codec::None };
                let mut bytes = if dense {
                    encode(&records, codec, Stamp::NONE, base).unwrap().into_bytes().to_vec()
                } else {
                    batch(&records, codec == Codec::Gzip, base, last_delta)
                };
                let producer = transaction.map_or(-1, |_| 1000 + base);
                let flags = if *log_append_time { LOG_APPEND_TIME } else { 0 }
                    | if transaction.is_some() { TRANSACTIONAL } else { 0 };
                patch(&mut bytes, codec as i16 | flags, producer);
                if *log_append_time {
                    let time = records.iter().map(|record| record.timestamp).max().unwrap_or(-1);
                    records.iter_mut().for_each(|record| record.timestamp = time);
                }
                self.entries.push((self.next, bytes));
                if let Some(committed) = transaction {
                    self.end_transaction(producer, base, *committed);
                }
                if *transaction != Some(false) {
                    self.visible.extend(records.into_iter().map(|record| (record, codec)));
                }
            }
            Layout::Old { magic, gzip, kept, log_append_time } => {
                self.append_old(records, *magic, *gzip, kept, *magic == 1 && *log_append_time);
            }
        }
    }

    fn append_old(&mut self, mut records: Vec<Record>, magic: u8, gzip: bool, kept: &[bool], log_append_time: bool) {
        const APPENDED: i64 = 1_234_567;
        let base = self.next - records.len() as i64;
        retain(&mut records, kept);
        let Some(last) = records.last().map(|record| record.offset) else { return };
        let flag = if log_append_time { LOG_APPEND_TIME as u8 } else { 0 };
        for record in &mut records {
            record.headers.clear();
            if log_append_time && !gzip {
                record.timestamp = APPENDED;
            }
        }
        if gzip {
            let first = if magic == 0 { 0 } else { base };
            let inner: Vec<u8> =
                records.iter().flat_map(|record| message(record.offset - first, magic, 0, record)).collect();
            let wrapper = Record { timestamp: APPENDED, value: Some(gzipped(&inner).into()), ..Record::default() };
            self.entries.push((last + 1, message(last, magic, flag | Codec::Gzip as u8, &wrapper)));
        } else {
            let alone = records.iter().map(|record| (record.offset + 1, message(record.offset, magic, flag, record)));
            self.entries.extend(alone);
        }
        let codec = if gzip { Codec::Gzip } else { Codec::None };
        self.visible.extend(records.into_iter().map(|mut record| {
            match magic {
                0 => record.timestamp = -1,
                _ if log_append_time => record.timestamp = APPENDED,
                _ => {}
            }
            (record, codec)
        }));
    }

    fn end_transaction(&mut self, producer_id: i64, first_offset: i64, committed: bool) {
        let key = Bytes::from(vec![0, 0, 0, u8::from(committed)]);
        let marker = [Record { key: Some(key), value: Some(Bytes::from(vec![0; 6])), ..Record::default() }];
        let mut bytes = encode(&marker, Codec::None, Stamp::NONE, self.next).unwrap().into_bytes().to_vec();
        patch(&mut bytes, TRANSACTIONAL | CONTROL, producer_id);
        self.next += 1;
        self.entries.push((self.next, bytes));
        if !committed {
            self.aborted.push(AbortedTransaction { producer_id, first_offset });
        }
    }
}

fn retain(records: &mut Vec<Record>, kept: &[bool]) {
    let mut kept = kept.iter().copied().cycle();
    records.retain(|_| kept.next() == Some(true));
}

/// A batch with holes.
fn batch(records: &[Record], gzip: bool, base: i64, last_delta: i32) -> Vec<u8> {
    let mut body = Vec::new();
    for record in records {
        let mut fields = vec![0];
        put_varint(&mut fields, record.timestamp);
        put_varint(&mut fields, record.offset - base);
        put_part(&mut fields, record.key.as_deref());
        put_part(&mut fields, record.value.as_deref());
        put_varint(&mut fields, record.headers.len() as i64);
        for (name, value) in &record.headers {
            put_part(&mut fields, Some(name));
            put_part(&mut fields, value.as_deref());
        }
        put_varint(&mut body, fields.len() as i64);
        body.extend(fields);
    }
    if gzip && !records.is_empty() {
        body = gzipped(&body);
    }
    let mut bytes = Vec::new();
    bytes.put_i64(base);
    bytes.put_i32(49 + body.len() as i32);
    bytes.put_i32(3);
    bytes.put_i8(2);
    bytes.put_u32(0);
    bytes.put_i16(0);
    bytes.put_i32(last_delta);
    bytes.put_i64(0);
    bytes.put_i64(records.iter().map(|record| record.timestamp).max().unwrap_or(-1));
    bytes.put_i64(-1);
    bytes.put_i16(-1);
    bytes.put_i32(-1);
    bytes.put_i32(records.len() as i32);
    bytes.extend(body);
    bytes
}

/// Sets attributes, producer and the checksum of a batch.
fn patch(bytes: &mut [u8], attributes: i16, producer: i64) {
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    bytes[43..51].copy_from_slice(&producer.to_be_bytes());
    let crc = crc32c::crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

/// A message of magic 0 or 1, offset and length in front.
pub(super) fn message(offset: i64, magic: u8, attributes: u8, record: &Record) -> Vec<u8> {
    let mut fields = vec![magic, attributes];
    if magic > 0 {
        fields.put_i64(record.timestamp);
    }
    for part in [&record.key, &record.value] {
        fields.put_i32(part.as_ref().map_or(-1, |part| part.len() as i32));
        fields.extend_from_slice(part.as_deref().unwrap_or_default());
    }
    let mut crc = flate2::Crc::new();
    crc.update(&fields);
    let mut bytes = Vec::new();
    bytes.put_i64(offset);
    bytes.put_i32(4 + fields.len() as i32);
    bytes.put_u32(crc.sum());
    bytes.extend(fields);
    bytes
}

fn gzipped(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

fn put_varint(out: &mut Vec<u8>, value: i64) {
    let mut rest = (value << 1 ^ value >> 63).cast_unsigned();
    while rest > 0x7f {
        out.push(rest as u8 | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

fn put_part(out: &mut Vec<u8>, part: Option<&[u8]>) {
    put_varint(out, part.map_or(-1, |part| part.len() as i64));
    out.extend_from_slice(part.unwrap_or_default());
}
