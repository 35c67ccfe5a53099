//! Snappy in the framing of snappy-java (`SnappyOutputStream`): a 16-byte header, then blocks, each after its length.

use std::io::{self, Read};
use std::ops::Range;

use bytes::{Buf, Bytes};

use super::codec::Failure;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The framing's version and the oldest version that can read it.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const HEADER_SIZE: usize = MAGIC.len() + VERSIONS.len();
/// What snappy-java compresses at a time.
const BLOCK: usize = 32 << 10;
/// No byte of a block stands for more than this many: a copy element of 3 bytes gives at most 64.
const LARGEST_RATIO: usize = 22;

/// Largest block that a [`Reader`] takes, in bytes before compression: a bare one holds all records of its batch.
const LARGEST_BLOCK: usize = 256 << 20;

/// Decompresses framed blocks, or one bare block.
pub(super) fn decompress(data: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let (mut blocks, mut plain) = (Blocks::of(data), Vec::new());
    while let Some(block) = blocks.next(data)? {
        append_block(&data[block], &mut plain, limit)?;
    }
    Ok(plain)
}

/// Where the next block is in the data.
struct Blocks {
    is_framed: bool,
    at: usize,
}

impl Blocks {
    fn of(data: &[u8]) -> Self {
        Self { is_framed: data.starts_with(&MAGIC), at: 0 }
    }

    /// The next block of `data`; none at the end.
    fn next(&mut self, data: &[u8]) -> Result<Option<Range<usize>>, Failure> {
        if !self.is_framed {
            let (from, to) = (self.at, data.len());
            self.at = to;
            // A bare block of nothing is none, and refused as such.
            self.is_framed = true;
            return Ok(Some(from..to));
        }
        // Concatenated streams repeat the header between blocks.
        while data[self.at..].starts_with(&MAGIC) {
            self.at = Some(self.at + HEADER_SIZE).filter(|at| *at <= data.len()).ok_or_else(cut_off)?;
        }
        let mut rest = &data[self.at..];
        if rest.is_empty() {
            return Ok(None);
        }
        let length = rest.try_get_u32().map_err(|_| cut_off())? as usize;
        let from = data.len() - rest.len();
        let to = Some(from.saturating_add(length)).filter(|to| *to <= data.len()).ok_or_else(cut_off)?;
        self.at = to;
        Ok(Some(from..to))
    }
}

/// Decompresses one block at a time.
pub(super) struct Reader {
    data: Bytes,
    blocks: Blocks,
    plain: Vec<u8>,
    /// Bytes of `plain` that were read.
    read: usize,
}

impl Reader {
    pub(super) fn new(data: Bytes) -> Self {
        Self { blocks: Blocks::of(&data), data, plain: Vec::new(), read: 0 }
    }
}

impl Read for Reader {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.read == self.plain.len() {
            let Some(block) = self.blocks.next(&self.data).map_err(io::Error::from)? else { return Ok(0) };
            self.plain.clear();
            self.read = 0;
            append_block(&self.data[block], &mut self.plain, LARGEST_BLOCK)?;
        }
        let count = (&self.plain[self.read..]).read(out)?;
        self.read += count;
        Ok(count)
    }
}

/// Appends `plain` framed.
pub(super) fn compress(plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&VERSIONS);
    let mut encoder = snap::raw::Encoder::new();
    for chunk in plain.chunks(BLOCK) {
        let block = encoder.compress_vec(chunk)?;
        out.extend_from_slice(&(block.len() as u32).to_be_bytes());
        out.extend_from_slice(&block);
    }
    Ok(())
}

fn append_block(block: &[u8], plain: &mut Vec<u8>, limit: usize) -> Result<(), Failure> {
    let corrupt = |error: snap::Error| Failure::Corrupt(error.to_string());
    let length = snap::raw::decompress_len(block).map_err(corrupt)?;
    // The length is the writer's word: memory is given for it only as far as the block can fill it.
    if length > block.len() * LARGEST_RATIO {
        return Err(Failure::Corrupt(format!("a block of {} bytes claims to hold {length}", block.len())));
    }
    let start = plain.len();
    if length > limit - start {
        return Err(Failure::TooLarge);
    }
    plain.resize(start + length, 0);
    snap::raw::Decoder::new().decompress(block, &mut plain[start..]).map_err(corrupt)?;
    Ok(())
}

fn cut_off() -> Failure {
    Failure::Corrupt("the last block is cut off".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ok(data: &[u8]) -> Vec<u8> {
        decompress(data, 1 << 20).unwrap_or_else(|_| panic!("not decompressed"))
    }

    #[test]
    fn a_bare_block_is_read() {
        let plain = vec![3; 100_000];
        assert_eq!(ok(&snap::raw::Encoder::new().compress_vec(&plain).unwrap()), plain);
    }

    #[test]
    fn concatenated_streams_are_one() {
        let mut data = Vec::new();
        compress(b"one", &mut data).unwrap();
        compress(&[4; BLOCK + 1], &mut data).unwrap();
        assert_eq!(ok(&data), [&b"one"[..], &[4; BLOCK + 1]].concat());
    }

    #[test]
    fn a_reader_gives_what_decompressing_gives() {
        let (mut framed, mut read) = (Vec::new(), Vec::new());
        compress(&vec![7; 3 * BLOCK + 5], &mut framed).unwrap();
        compress(b"again", &mut framed).unwrap();
        let bare = snap::raw::Encoder::new().compress_vec(&[3; 100_000]).unwrap();
        for data in [framed.clone(), bare] {
            Reader::new(data.clone().into()).read_to_end(&mut read).unwrap();
            assert_eq!(std::mem::take(&mut read), ok(&data));
        }
        framed.pop();
        assert!(Reader::new(framed.into()).read_to_end(&mut read).is_err(), "cut off");
        assert!(Reader::new(Bytes::new()).read_to_end(&mut read).is_err(), "an empty block is none");
    }

    #[test]
    fn a_block_cannot_claim_more_than_it_could_hold() {
        // A length of nearly 4 GiB in front of nothing.
        let bomb = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
        assert!(matches!(decompress(&bomb, usize::MAX), Err(Failure::Corrupt(_))));
    }

    #[test]
    fn the_best_possible_ratio_is_accepted() {
        let plain = vec![0; 1 << 20];
        assert_eq!(ok(&snap::raw::Encoder::new().compress_vec(&plain).unwrap()), plain);
    }
}
