//! Secrets of users: which are wanted, and what was read of them.
//!
//! What is told is encoded for the one Secret that has changed: nobody who writes one has the others' done anew.

use ambit_kit::clock;

use super::{Keeper, Read, at_length};

impl Keeper {
    /// Takes in what was read of a Secret, if it is still wanted: a round may have begun before it was not.
    pub(super) fn take_secret(&mut self, Read { name, given }: Read) {
        if !self.secrets.borrow().contains(&name) {
            return;
        }
        at_length(|| {
            let now = clock::wall();
            if self.configuration.take_credential(&name, given, now) {
                self.survey.note_keys(clock::now());
                let told = self.configuration.credential(&name);
                self.publisher
                    .tell_credential(&name.to_string(), told.as_ref());
                self.publish();
            }
        });
    }

    /// Finds out which are wanted now, and forgets others.
    pub(super) fn want_secrets(&mut self) {
        let wanted = self.configuration.wanted_credentials();
        for name in self.configuration.keep_credentials(&wanted) {
            self.publisher.tell_credential(&name.to_string(), None);
        }
        // Most rules that change name what they named before.
        self.secrets.send_if_modified(|before| {
            let is_other = **before != wanted;
            if is_other {
                *before = wanted.into();
            }
            is_other
        });
    }
}

#[cfg(test)]
mod tests;
