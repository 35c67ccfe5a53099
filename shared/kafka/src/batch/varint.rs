//! Zigzag variable-length integers, as records use them (`ByteUtils.readVarint`, `readVarlong`).

use bytes::BufMut;

/// Bytes of the longest varint.
pub(super) const MAX_VARINT: usize = 5;
/// Bytes of the longest varlong.
pub(super) const MAX_VARLONG: usize = 10;

/// Why a number could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum VarintFault {
    /// The bytes end within the number.
    Truncated,
    /// The number does not fit its type.
    Overflow,
}

/// Reads an `i32` from the front of `bytes` and moves past it.
pub(super) fn read_varint(bytes: &mut &[u8]) -> Result<i32, VarintFault> {
    let raw = u32::try_from(read_unsigned::<MAX_VARINT>(bytes)?).map_err(|_| VarintFault::Overflow)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Reads an `i64` from the front of `bytes` and moves past it.
pub(super) fn read_varlong(bytes: &mut &[u8]) -> Result<i64, VarintFault> {
    let raw = read_unsigned::<MAX_VARLONG>(bytes)?;
    Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
}

/// Writes a number that fits an `i32` as a varint, any other as a varlong: the two agree where both exist.
pub(super) fn put(out: &mut Vec<u8>, value: i64) {
    let mut raw = zigzag(value);
    while raw > 0x7f {
        out.put_u8(raw as u8 | 0x80);
        raw >>= 7;
    }
    out.put_u8(raw as u8);
}

/// How many bytes [`put`] writes.
pub(super) const fn size(value: i64) -> usize {
    let bits = u64::BITS - (zigzag(value) | 1).leading_zeros();
    bits.div_ceil(7) as usize
}

const fn zigzag(value: i64) -> u64 {
    (value << 1 ^ value >> 63).cast_unsigned()
}

fn read_unsigned<const MAX: usize>(bytes: &mut &[u8]) -> Result<u64, VarintFault> {
    let mut value = 0;
    for (index, byte) in bytes.iter().take(MAX).copied().enumerate() {
        let bits = u64::from(byte & 0x7f);
        let shift = 7 * index;
        if bits << shift >> shift != bits {
            return Err(VarintFault::Overflow);
        }
        value |= bits << shift;
        if byte & 0x80 == 0 {
            *bytes = &bytes[index + 1..];
            return Ok(value);
        }
    }
    Err(if bytes.len() < MAX { VarintFault::Truncated } else { VarintFault::Overflow })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn written(value: i64) -> Vec<u8> {
        let mut out = Vec::new();
        put(&mut out, value);
        out
    }

    #[test]
    fn numbers_have_the_bytes_of_the_protocol() {
        assert_eq!(written(0), [0]);
        assert_eq!(written(-1), [1]);
        assert_eq!(written(63), [0x7e]);
        assert_eq!(written(64), [0x80, 1]);
        assert_eq!(written(i32::MIN.into()), [0xff, 0xff, 0xff, 0xff, 0x0f]);
        assert_eq!(written(i64::MAX), [0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
    }

    #[test]
    fn numbers_beyond_their_type_are_refused() {
        assert_eq!(read_varint(&mut &[0xff, 0xff, 0xff, 0xff, 0x1f][..]), Err(VarintFault::Overflow));
        assert_eq!(read_varint(&mut &[0x80, 0x80, 0x80, 0x80, 0x80, 0][..]), Err(VarintFault::Overflow));
        assert_eq!(read_varlong(&mut &[[0xff; 9].as_slice(), &[2]].concat()[..]), Err(VarintFault::Overflow));
        assert_eq!(read_varlong(&mut &[0x80; 11][..]), Err(VarintFault::Overflow));
        assert_eq!(read_varlong(&mut &[0x80; 9][..]), Err(VarintFault::Truncated));
        assert_eq!(read_varint(&mut &[][..]), Err(VarintFault::Truncated));
    }

    proptest! {
        #[test]
        fn varlong_round_trips(value in any::<i64>(), shift in 0u32..64, rest in any::<u8>()) {
            let value = value >> shift;
            let mut bytes = written(value);
            prop_assert_eq!(bytes.len(), size(value));
            bytes.push(rest);
            let mut left = &bytes[..];
            prop_assert_eq!(read_varlong(&mut left), Ok(value));
            prop_assert_eq!(left, [rest]);
        }

        #[test]
        fn varint_round_trips(value in any::<i32>(), shift in 0u32..32) {
            let value = value >> shift;
            prop_assert_eq!(read_varint(&mut &written(value.into())[..]), Ok(value));
        }

        #[test]
        fn a_cut_number_is_truncated(value in any::<i64>()) {
            let bytes = written(value);
            prop_assert_eq!(read_varlong(&mut &bytes[..bytes.len() - 1]), Err(VarintFault::Truncated));
        }
    }
}
