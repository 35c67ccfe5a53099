//! CRC-32C of what is put together or changed near the front, without a pass over the bytes.
//!
//! The CRC of `head ‖ tail` is `crc(head)·x^(8·|tail|) ⊕ crc(tail)` in the polynomial ring of the CRC, so replacing the
//! head changes it by `(crc(old) ⊕ crc(new))·x^(8·|tail|)`, whatever the tail is.

/// The CRC-32C polynomial, reflected: the highest bit is the coefficient of `x^0`.
const POLYNOMIAL: u32 = 0x82F6_3B78;

/// `x^0`, the one of the ring.
const ONE: u32 = 1 << 31;

/// `x^(2^n)` for every bit of a length in bits; batches stay below 2^31 bytes, hence 2^34 bits.
const POWERS: [u32; 35] = {
    let mut powers = [ONE >> 1; 35];
    let mut n = 1;
    while n < powers.len() {
        powers[n] = multiply(powers[n - 1], powers[n - 1]);
        n += 1;
    }
    powers
};

/// What to XOR onto the CRC of a byte string when its front changes from `old` to `new`, which are equally long, and
/// `tail` bytes follow.
pub(super) fn correction(old: &[u8], new: &[u8], tail: usize) -> u32 {
    debug_assert_eq!(old.len(), new.len());
    multiply(power(tail), crc32c::crc32c(old) ^ crc32c::crc32c(new))
}

/// The CRC of `front` and `back` one after the other, of which only the CRCs are known, and that `back` has `bytes` bytes.
pub const fn crc_combine(front: u32, back: u32, bytes: usize) -> u32 {
    multiply(power(bytes), front) ^ back
}

/// `x^(8·bytes)`.
const fn power(bytes: usize) -> u32 {
    let (mut product, mut bit) = (ONE, 0);
    while bit < POWERS.len() - 3 {
        if bytes >> bit & 1 == 1 {
            product = multiply(POWERS[bit + 3], product);
        }
        bit += 1;
    }
    product
}

/// `a·b` modulo the polynomial.
const fn multiply(a: u32, b: u32) -> u32 {
    let (mut product, mut shifted, mut bit) = (0, b, ONE);
    while bit != 0 {
        if a & bit != 0 {
            product ^= shifted;
        }
        let carry = if shifted & 1 == 1 { POLYNOMIAL } else { 0 };
        shifted = shifted >> 1 ^ carry;
        bit >>= 1;
    }
    product
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn correction_gives_the_crc_of_the_changed_bytes(
            (old, new) in (0usize..64).prop_flat_map(|n| (vec(any::<u8>(), n), vec(any::<u8>(), n))),
            tail in vec(any::<u8>(), 0..5_000),
        ) {
            let before = crc32c::crc32c(&[&old[..], &tail].concat());
            let after = crc32c::crc32c(&[&new[..], &tail].concat());
            prop_assert_eq!(before ^ correction(&old, &new, tail.len()), after);
        }

        #[test]
        fn powers_agree_with_the_library_at_every_length(crc in any::<u32>(), tail in 0usize..=i32::MAX as usize) {
            prop_assert_eq!(crc_combine(crc, 5, tail), crc32c::crc32c_combine(crc, 5, tail));
        }
    }
}
