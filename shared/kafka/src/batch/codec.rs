//! Compression of a batch's records, readable by and from the Java client.

use std::fmt;
use std::io::{self, Cursor, Read, Write};

use bytes::Bytes;
use lz4_flex::frame::{BlockMode, BlockSize, FrameDecoder, FrameEncoder, FrameInfo};
use twox_hash::XxHash32;

use super::{BatchError, snappy};

/// Largest window a zstd frame may ask memory for, as a power of two; zstd-jni and libzstd stop there too.
const ZSTD_WINDOW_LOG_MAX: u32 = 27;
/// What an LZ4 frame starts with; its flags follow.
const LZ4_MAGIC: [u8; 4] = [0x04, 0x22, 0x4d, 0x18];
/// Flag of a frame whose blocks can be read each on its own.
const LZ4_INDEPENDENT_BLOCKS: u8 = 0x20;
/// Flag of a frame whose descriptor has the size of the content, eight bytes.
const LZ4_CONTENT_SIZE: u8 = 0x08;
/// The last codec that there was before magic 2.
pub(super) const LARGEST_OLD_CODEC: Codec = Codec::Lz4;

/// How the records of a batch are compressed; the value is the codec's id in the attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Codec {
    /// Not at all.
    None = 0,
    /// RFC 1952.
    Gzip = 1,
    /// Snappy blocks in the framing of snappy-java; one bare block, as librdkafka writes, is read as well.
    Snappy = 2,
    /// LZ4 frames.
    Lz4 = 3,
    /// Zstandard frames.
    Zstd = 4,
}

/// The most bytes, before compression, that are held at once: the records of one batch, or one record of a batch that is read record
/// by record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecodeLimit(pub(super) usize);

impl DecodeLimit {
    /// At most this many bytes.
    pub const fn bytes(bytes: usize) -> Self {
        Self(bytes)
    }
}

impl Default for DecodeLimit {
    /// 256 MiB: far above what producers send in a batch, far below the memory of the smallest sensible copier.
    fn default() -> Self {
        Self(256 << 20)
    }
}

/// Why bytes could not be decompressed.
pub(super) enum Failure {
    /// More came out than allowed.
    TooLarge,
    /// The bytes are not of the codec.
    Corrupt(String),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Corrupt(error.to_string())
    }
}

impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        Self::other(match failure {
            Failure::TooLarge => "a block is larger than is taken".to_owned(),
            Failure::Corrupt(reason) => reason,
        })
    }
}

impl Codec {
    /// Every codec.
    pub const ALL: [Self; 5] = [Self::None, Self::Gzip, Self::Snappy, Self::Lz4, Self::Zstd];

    /// The name topics' `compression.type` and producers use.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Gzip => "gzip",
            Self::Snappy => "snappy",
            Self::Lz4 => "lz4",
            Self::Zstd => "zstd",
        }
    }

    pub(super) fn from_id(id: i16) -> Option<Self> {
        Self::ALL.into_iter().find(|codec| *codec as i16 == id)
    }

    /// Decompresses the records of the batch at `offset`.
    pub(super) fn decompress(self, data: Bytes, limit: DecodeLimit, offset: i64) -> Result<Bytes, BatchError> {
        let DecodeLimit(limit) = limit;
        let plain = match self {
            Self::None if data.len() > limit => Err(Failure::TooLarge),
            Self::None => return Ok(data),
            Self::Snappy => snappy::decompress(&data, limit),
            Self::Gzip | Self::Lz4 | Self::Zstd => self.reader(data).and_then(|reader| read_all(reader, limit)),
        };
        plain.map(Bytes::from).map_err(|failure| self.error(failure, limit, offset))
    }

    /// Reads the plain bytes of `data`, decompressed as far as they are read.
    pub(super) fn reader(self, data: Bytes) -> Result<Box<dyn Read + Send>, Failure> {
        Ok(match self {
            Self::None => Box::new(Cursor::new(data)),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(Cursor::new(data))),
            Self::Snappy => Box::new(snappy::Reader::new(data)),
            Self::Lz4 => Box::new(lz4_decoder(data)?),
            Self::Zstd => Box::new(zstd_decoder(Cursor::new(data))?),
        })
    }

    /// Decompresses what a message of `magic` 0 or 1 at `offset` wraps. In magic 0 the checksum of an LZ4 frame's header
    /// is wrong, because writers took the frame's magic number into it (KAFKA-3160); like Kafka, this does not look at it.
    pub(super) fn decompress_old(
        self,
        data: Bytes,
        magic: i8,
        limit: DecodeLimit,
        offset: i64,
    ) -> Result<Bytes, BatchError> {
        if (self, magic) != (Self::Lz4, 0) {
            return self.decompress(data, limit, offset);
        }
        let DecodeLimit(limit) = limit;
        let (header, blocks) = lz4_mended_header(&data).map_err(|failure| self.error(failure, limit, offset))?;
        let plain = lz4_checked(&header).and_then(|()| read_all(FrameDecoder::new(header.chain(blocks)), limit));
        plain.map(Bytes::from).map_err(|failure| self.error(failure, limit, offset))
    }

    pub(super) fn error(self, failure: Failure, limit: usize, offset: i64) -> BatchError {
        match failure {
            Failure::TooLarge => BatchError::TooLarge { offset, limit },
            Failure::Corrupt(reason) => BatchError::Compression { offset, codec: self, reason },
        }
    }

    /// Appends `plain` to `out` compressed, at the level the Java client takes by default.
    pub(super) fn compress(self, plain: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::None => out.extend_from_slice(plain),
            Self::Gzip => {
                let mut encoder = flate2::write::GzEncoder::new(out, flate2::Compression::default());
                encoder.write_all(plain)?;
                encoder.finish()?;
            }
            Self::Snappy => snappy::compress(plain, out)?,
            Self::Lz4 => {
                // The Java client reads independent blocks only, and writes them with 64 KB.
                let frame = FrameInfo::new().block_mode(BlockMode::Independent).block_size(BlockSize::Max64KB);
                let mut encoder = FrameEncoder::with_frame_info(frame, out);
                encoder.write_all(plain)?;
                encoder.finish()?;
            }
            Self::Zstd => {
                let mut encoder = zstd::stream::write::Encoder::new(out, zstd::DEFAULT_COMPRESSION_LEVEL)?;
                encoder.set_pledged_src_size(Some(plain.len() as u64))?;
                encoder.write_all(plain)?;
                encoder.finish()?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Codec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Refuses what the Java client refuses, so no broker has stored it: frames of other formats, and blocks that refer to
/// earlier ones. As there, the first frame is all that is read.
fn lz4_decoder(data: Bytes) -> Result<FrameDecoder<Cursor<Bytes>>, Failure> {
    lz4_checked(&data).map(|()| FrameDecoder::new(Cursor::new(data)))
}

fn lz4_checked(data: &[u8]) -> Result<(), Failure> {
    match data.strip_prefix(&LZ4_MAGIC) {
        Some([flags, ..]) if flags & LZ4_INDEPENDENT_BLOCKS != 0 => Ok(()),
        _ => Err(Failure::Corrupt("not a frame of independent blocks".to_owned())),
    }
}

/// The header of an LZ4 frame with the checksum that belongs to it, and what follows the header.
fn lz4_mended_header(data: &[u8]) -> Result<(Vec<u8>, &[u8]), Failure> {
    let cut_off = || Failure::Corrupt("the frame ends within its header".to_owned());
    let flags = *data.get(LZ4_MAGIC.len()).ok_or_else(cut_off)?;
    let content_size = if flags & LZ4_CONTENT_SIZE == 0 { 0 } else { size_of::<u64>() };
    // Flags and block size, perhaps the content's size, then the checksum.
    let checksum_at = LZ4_MAGIC.len() + 2 + content_size;
    let (header, blocks) = data.split_at_checked(checksum_at + 1).ok_or_else(cut_off)?;
    let mut header = header.to_vec();
    header[checksum_at] = (XxHash32::oneshot(0, &header[LZ4_MAGIC.len()..checksum_at]) >> 8) as u8;
    Ok((header, blocks))
}

fn zstd_decoder(data: Cursor<Bytes>) -> io::Result<zstd::stream::read::Decoder<'static, Cursor<Bytes>>> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(data)?;
    decoder.window_log_max(ZSTD_WINDOW_LOG_MAX)?;
    Ok(decoder)
}

/// Reads to the end; memory grows with what is really there, and one byte beyond the limit is the last to be read.
fn read_all(reader: impl Read, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut plain = Vec::new();
    reader.take((limit as u64).saturating_add(1)).read_to_end(&mut plain)?;
    if plain.len() > limit { Err(Failure::TooLarge) } else { Ok(plain) }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn compressed(codec: Codec, plain: &[u8]) -> Bytes {
        let mut out = Vec::new();
        codec.compress(plain, &mut out).unwrap();
        out.into()
    }

    fn decompressed(codec: Codec, data: Bytes, limit: usize) -> Result<Bytes, BatchError> {
        codec.decompress(data, DecodeLimit::bytes(limit), 7)
    }

    #[test]
    fn the_limit_is_exact_and_stops_bombs() {
        let plain = vec![7; 10 << 20];
        for codec in Codec::ALL {
            let data = compressed(codec, &plain);
            assert_eq!(decompressed(codec, data.clone(), plain.len()).unwrap(), plain, "{codec}");
            for limit in [0, 1, 1_000, plain.len() - 1] {
                let error = decompressed(codec, data.clone(), limit).unwrap_err();
                assert_eq!(error, BatchError::TooLarge { offset: 7, limit }, "{codec}");
            }
        }
    }

    #[test]
    fn large_incompressible_data_round_trips() {
        let mut state = 1u32;
        let plain: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 24) as u8
        })
        .take(300_000)
        .collect();
        for codec in Codec::ALL {
            assert_eq!(decompressed(codec, compressed(codec, &plain), plain.len()).unwrap(), plain, "{codec}");
        }
    }

    #[test]
    fn frames_cut_short_never_give_the_whole() {
        let plain: Vec<u8> = (0..200_000u32).flat_map(|n| (n / 3).to_le_bytes()).collect();
        for codec in Codec::ALL.into_iter().filter(|codec| *codec != Codec::None) {
            let data = compressed(codec, &plain);
            // LZ4 ends with a four-byte mark that carries no data.
            let spare = if codec == Codec::Lz4 { 4 } else { 0 };
            for cut in (0..data.len() - spare).step_by(997).chain([data.len() - spare - 1]) {
                let result = decompressed(codec, data.slice(..cut), usize::MAX);
                assert!(result.is_err() || result.unwrap().len() < plain.len(), "{codec} at {cut}");
            }
        }
    }

    #[test]
    fn lz4_frames_of_dependent_blocks_are_refused() {
        let mut encoder = FrameEncoder::with_frame_info(FrameInfo::new().block_mode(BlockMode::Linked), Vec::new());
        encoder.write_all(b"plain").unwrap();
        let linked = encoder.finish().unwrap();
        for data in [&linked[..], &linked[..4], &[0x02, 0x21, 0x4c, 0x18, 0x20], &[]] {
            let error = decompressed(Codec::Lz4, Bytes::copy_from_slice(data), 100).unwrap_err();
            assert!(matches!(error, BatchError::Compression { codec: Codec::Lz4, .. }), "{error}");
        }
    }

    proptest! {
        #[test]
        fn every_codec_round_trips(plain in vec(any::<u8>(), 0..3_000)) {
            for codec in Codec::ALL {
                prop_assert_eq!(&decompressed(codec, compressed(codec, &plain), plain.len()).unwrap(), &plain);
            }
        }

        #[test]
        fn noise_is_an_error_or_data_within_the_limit(noise in vec(any::<u8>(), 0..300)) {
            for codec in Codec::ALL {
                if let Ok(plain) = decompressed(codec, noise.clone().into(), 1_000) {
                    prop_assert!(plain.len() <= 1_000);
                }
            }
        }
    }
}
