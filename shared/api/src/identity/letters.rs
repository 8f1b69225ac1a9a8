//! Names reduced to the 26 letters A–Z, as the registers compare them.

use super::IdentityError;

/// Reduces a name to its letters: accents and cedillas dropped, ligatures written out (Œ → OE, Æ → AE), upper case;
/// spaces, hyphens and apostrophes vanish.
///
/// A name of another script is an error ([`IdentityError::Characters`]), not an empty or shorter name: two different
/// people must not become the same. A name without any letter gives [`IdentityError::NoLetter`].
pub fn fold_letters(name: &str) -> Result<String, IdentityError> {
    let mut letters = String::with_capacity(name.len());
    for character in name.chars().flat_map(char::to_uppercase) {
        match fold(character) {
            Some(folded) => letters.push_str(folded),
            None if character.is_ascii_uppercase() => letters.push(character),
            None if character.is_alphanumeric() => return Err(IdentityError::Characters),
            None => {}
        }
    }
    if letters.is_empty() {
        return Err(IdentityError::NoLetter);
    }
    Ok(letters)
}

/// The plain letters behind an accented capital of the Latin-1 and Latin Extended-A blocks (and Ș, Ț).
fn fold(capital: char) -> Option<&'static str> {
    let folded = match capital {
        'À'..='Å' | 'Ā' | 'Ă' | 'Ą' => "A",
        'Æ' => "AE",
        'Ç' | 'Ć' | 'Ĉ' | 'Ċ' | 'Č' => "C",
        'Ð' | 'Ď' | 'Đ' => "D",
        'È'..='Ë' | 'Ē' | 'Ĕ' | 'Ė' | 'Ę' | 'Ě' => "E",
        'Ĝ' | 'Ğ' | 'Ġ' | 'Ģ' => "G",
        'Ĥ' | 'Ħ' => "H",
        'Ì'..='Ï' | 'Ĩ' | 'Ī' | 'Ĭ' | 'Į' | 'İ' => "I",
        'Ĳ' => "IJ",
        'Ĵ' => "J",
        'Ķ' => "K",
        'Ĺ' | 'Ļ' | 'Ľ' | 'Ŀ' | 'Ł' => "L",
        'Ñ' | 'Ń' | 'Ņ' | 'Ň' => "N",
        'Ò'..='Ö' | 'Ø' | 'Ō' | 'Ŏ' | 'Ő' => "O",
        'Œ' => "OE",
        'Ŕ' | 'Ŗ' | 'Ř' => "R",
        'Ś' | 'Ŝ' | 'Ş' | 'Š' | 'Ș' => "S",
        'Ţ' | 'Ť' | 'Ŧ' | 'Ț' => "T",
        'Þ' => "TH",
        'Ù'..='Ü' | 'Ũ' | 'Ū' | 'Ŭ' | 'Ů' | 'Ű' | 'Ų' => "U",
        'Ŵ' => "W",
        'Ý' | 'Ŷ' | 'Ÿ' => "Y",
        'Ź' | 'Ż' | 'Ž' => "Z",
        _ => return None,
    };
    Some(folded)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        reason = "tests fail by panicking"
    )]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn french_names_lose_accents_and_punctuation() {
        let names = [
            ("Éloïse", "ELOISE"),
            ("François-Régis", "FRANCOISREGIS"),
            ("Maÿlis d’Or", "MAYLISDOR"),
            ("Lætitia", "LAETITIA"),
            ("Œdipe", "OEDIPE"),
            ("cœur", "COEUR"),
            ("Noël\u{a0}Ù", "NOELU"),
            ("Weiß", "WEISS"),
            ("Łukasz", "LUKASZ"),
        ];
        for (name, letters) in names {
            assert_eq!(fold_letters(name).as_deref(), Ok(letters));
        }
    }

    /// The same name, its accents typed as combining characters.
    #[test]
    fn decomposed_accents_are_dropped_as_well() {
        assert_eq!(fold_letters("E\u{301}loi\u{308}se"), fold_letters("Éloïse"));
    }

    #[test]
    fn what_cannot_be_written_in_latin_letters_is_an_error() {
        assert_eq!(fold_letters("Мария"), Err(IdentityError::Characters));
        assert_eq!(fold_letters("Anne2"), Err(IdentityError::Characters));
        assert_eq!(fold_letters(" -'"), Err(IdentityError::NoLetter));
        assert_eq!(fold_letters(""), Err(IdentityError::NoLetter));
    }

    proptest! {
        #[test]
        fn folding_gives_capitals_only_and_changes_nothing_twice(name in "\\PC{0,30}") {
            if let Ok(letters) = fold_letters(&name) {
                prop_assert!(letters.bytes().all(|byte| byte.is_ascii_uppercase()));
                prop_assert_eq!(fold_letters(&letters), Ok(letters));
            }
        }
    }
}
