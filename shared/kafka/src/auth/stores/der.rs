//! As much of DER (X.690) as stores need.

use super::StoreError;

/// `SEQUENCE`.
pub(super) const SEQUENCE: u8 = 0x30;
/// `OCTET STRING`.
pub(super) const OCTET_STRING: u8 = 0x04;
/// `BIT STRING`.
pub(super) const BIT_STRING: u8 = 0x03;
/// `INTEGER`.
pub(super) const INTEGER: u8 = 0x02;

/// The content of the element at the beginning of `input`, which has to have `tag`, and what follows it.
///
/// # Errors
/// Damaged when there is no such element.
pub(super) fn element(tag: u8, input: &[u8]) -> Result<(&[u8], &[u8]), StoreError> {
    let damaged = || StoreError::Damaged("its key is not in DER".to_owned());
    let (&[found, short], rest) = input.split_first_chunk().ok_or_else(damaged)?;
    if found != tag {
        return Err(damaged());
    }
    let (size, rest) = match short {
        0..=0x7f => (usize::from(short), rest),
        // The number of bytes that the length takes; a key needs two.
        0x81..=0x83 => {
            let (size, rest) = rest.split_at_checked(usize::from(short & 0x7f)).ok_or_else(damaged)?;
            (size.iter().fold(0, |size, byte| size << 8 | usize::from(*byte)), rest)
        }
        _ => return Err(damaged()),
    };
    rest.split_at_checked(size).ok_or_else(damaged)
}

/// An element of less than 64 KiB.
pub(super) fn encoded(tag: u8, content: &[&[u8]]) -> Vec<u8> {
    let size: usize = content.iter().map(|part| part.len()).sum();
    let mut out = vec![tag];
    match size {
        0..=0x7f => out.push(size as u8),
        0x80..=0xff => out.extend([0x81, size as u8]),
        _ => out.extend([0x82, (size >> 8) as u8, size as u8]),
    }
    content.iter().for_each(|part| out.extend_from_slice(part));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_encoded_reads_back() {
        for size in [0, 1, 127, 128, 255, 256, 65_535] {
            let content = vec![7; size];
            let element_and_more = [encoded(OCTET_STRING, &[&content]), vec![1, 2]].concat();
            assert_eq!(element(OCTET_STRING, &element_and_more), Ok((&content[..], &[1, 2][..])), "{size}");
            assert!(element(SEQUENCE, &element_and_more).is_err());
        }
        assert!(element(OCTET_STRING, &[4, 3, 0, 0]).is_err() && element(OCTET_STRING, &[4]).is_err());
        assert!(element(OCTET_STRING, &[4, 0x84, 0, 0, 0, 0]).is_err());
    }
}
