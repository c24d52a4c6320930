//! DNS: packets of pods, and of whoever answers a resolver's socket.

use ambit_dns::{Answer, Families, Query, Reply, Transport, Unreadable, answer};
use ambit_model::Mesh;

/// Packets of pods: read or refused; what is sent back has the client's number and fits.
pub fn dns_question(bytes: &[u8]) {
    match Query::read(bytes) {
        Ok(query) => {
            let client = ("shop", Families::default());
            let answered = answer::answer(&Mesh::default(), client, &query, Transport::Udp);
            assert_eq!(answered, Answer::Forward, "an empty mesh has no names");
            let refusal = query.refusal(ambit_dns::SERVFAIL);
            assert!(refusal.starts_with(bytes.get(..2).unwrap_or_default()));
            assert!(refusal.len() <= bytes.len());
            assert!(Query::read(&refusal).is_err(), "an answer is no question");
        }
        Err(Unreadable::Malformed(answer)) => assert!(answer.len() <= bytes.len().max(12)),
        Err(Unreadable::Silent) => {}
    }
}

/// What comes back to a question: the first byte says how long that is.
pub fn dns_reply(bytes: &[u8]) {
    let Some((length, rest)) = bytes.split_first() else {
        return;
    };
    let Some((sent, packet)) = rest.split_at_checked(usize::from(*length)) else {
        return;
    };
    if let Some(reply) = Reply::to(sent, packet) {
        assert_eq!(sent.get(..2), packet.get(..2));
        let found = reply.addresses();
        assert!(found.all.len() <= packet.len() / 4);
    }
}
