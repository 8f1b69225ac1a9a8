//! Check digit schemes: Luhn (ISO/IEC 7812-1 annex B) and the remainder by 97 behind the NIR key, the INS-C key and
//! ISO 7064 MOD 97-10.

/// The values of the ASCII digits of `text`, anything else left out.
pub(super) fn digits(text: &str) -> impl DoubleEndedIterator<Item = u64> {
    text.bytes()
        .filter(u8::is_ascii_digit)
        .map(|byte| u64::from(byte - b'0'))
}

/// The remainder by 97 of the number written by `digits`, whatever its length.
pub(super) fn remainder_97(digits: impl Iterator<Item = u64>) -> u64 {
    digits.fold(0, |remainder, digit| (remainder * 10 + digit) % 97)
}

/// Whether `digits`, last one included, satisfies Luhn's formula.
pub(super) fn luhn_holds(digits: impl DoubleEndedIterator<Item = u64>) -> bool {
    let sum: u64 = digits
        .rev()
        .enumerate()
        .map(|(place, digit)| luhn_term(place, digit))
        .sum();
    sum.is_multiple_of(10)
}

/// Every second digit, counted from the right, is doubled; a product of two digits counts as their sum.
fn luhn_term(place: usize, digit: u64) -> u64 {
    if place.is_multiple_of(2) {
        return digit;
    }
    let doubled = digit * 2;
    if doubled > 9 { doubled - 9 } else { doubled }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_agrees_with_the_textbook_number() {
        assert!(luhn_holds(digits("79927398713")));
        for wrong in "012456789".chars() {
            assert!(!luhn_holds(digits(&format!("7992739871{wrong}"))));
        }
    }

    #[test]
    fn the_remainder_is_that_of_the_whole_number() {
        assert_eq!(remainder_97(digits("2790351215189")), 2_790_351_215_189 % 97);
        assert_eq!(remainder_97(digits("")), 0);
    }
}
