//! Unsigned LEB128 numbers of at most 63 bits, low groups of seven bits first (DWARF 5, section 7.6).

/// Appends `number`, which is not negative.
pub(crate) fn put(out: &mut Vec<u8>, number: i64) {
    let mut rest = number.cast_unsigned();
    while rest >= 0x80 {
        out.push((rest as u8) | 0x80);
        rest >>= 7;
    }
    out.push(rest as u8);
}

/// Cuts a number off the front of `bytes`; none when they end within it or it is longer than 63 bits.
pub(crate) fn take(bytes: &mut &[u8]) -> Option<i64> {
    let mut number = 0_u64;
    for shift in (0..63).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(first & 0x7f) << shift;
        if first & 0x80 == 0 {
            return i64::try_from(number).ok();
        }
    }
    None
}

/// How many numbers `bytes` hold, if they hold numbers only.
pub(crate) fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte & 0x80 == 0).count()
}
