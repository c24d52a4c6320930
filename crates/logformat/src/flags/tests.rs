use std::collections::BTreeSet;

use super::*;

#[test]
fn every_flag_is_found_by_its_letters() {
    for flag in Flag::ALL {
        assert_eq!(Flag::from_letters(flag.letters()), Some(*flag));
        assert_eq!(
            flag.long(),
            format!("{flag:?}"),
            "the name is the variant's"
        );
    }
    let letters: BTreeSet<_> = Flag::ALL.iter().map(|flag| flag.letters()).collect();
    assert_eq!(letters.len(), Flag::ALL.len(), "letters are told apart");
    assert_eq!(Flag::from_letters("-"), None);
    assert_eq!(Flag::from_letters("uh"), None);
}
