//! Snappy in the framing of snappy-java (`SnappyOutputStream`): a 16-byte header, then blocks, each after its length.

use std::io;

use bytes::Buf;

use super::codec::Failure;

const MAGIC: [u8; 8] = *b"\x82SNAPPY\0";
/// The framing's version and the oldest version that can read it.
const VERSIONS: [u8; 8] = [0, 0, 0, 1, 0, 0, 0, 1];
const HEADER_SIZE: usize = MAGIC.len() + VERSIONS.len();
/// What snappy-java compresses at a time.
const BLOCK: usize = 32 << 10;
/// No byte of a block stands for more than this many: a copy element of 3 bytes gives at most 64.
const LARGEST_RATIO: usize = 22;

/// Decompresses framed blocks, or one bare block.
pub(super) fn decompress(mut data: &[u8], limit: usize) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::new();
    if !data.starts_with(&MAGIC) {
        append_block(data, &mut plain, limit)?;
        return Ok(plain);
    }
    while !data.is_empty() {
        // Concatenated streams repeat the header between blocks.
        if data.starts_with(&MAGIC) {
            data = data.get(HEADER_SIZE..).ok_or_else(cut_off)?;
            continue;
        }
        let length = data.try_get_u32().map_err(|_| cut_off())? as usize;
        let (block, rest) = data.split_at_checked(length).ok_or_else(cut_off)?;
        append_block(block, &mut plain, limit)?;
        data = rest;
    }
    Ok(plain)
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
