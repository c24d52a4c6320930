//! Copies that keep up, and copies that do not.

use futures_util::FutureExt as _;
use http_body_util::BodyExt as _;

use super::*;

fn read(copy: Copied) -> Option<Result<Bytes, BodyError>> {
    let all = copy.collect().now_or_never()?;
    Some(all.map(http_body_util::Collected::to_bytes))
}

#[test]
fn a_copy_is_the_same_body() {
    let mut copier = Copier::default();
    let copies = [(); 2].map(|()| copier.copy(SizeHint::default()));
    copier.data(&Bytes::from_static(b"one "));
    copier.data(&Bytes::from_static(b"two"));
    copier.end();
    for copy in copies {
        assert_eq!(read(copy).unwrap().unwrap(), "one two");
    }
}

#[test]
fn a_copy_of_a_body_that_breaks_off_breaks_off_too() {
    let mut copier = Copier::default();
    let copy = copier.copy(SizeHint::default());
    copier.data(&Bytes::from_static(b"one "));
    drop(copier);
    assert!(matches!(read(copy), Some(Err(BodyError::Abandoned))));
}

#[test]
fn a_copy_that_nobody_reads_is_given_up_and_the_others_are_not() {
    let mut copier = Copier::default();
    let slow = copier.copy(SizeHint::default());
    let mut quick = copier.copy(SizeHint::default());
    let piece = Bytes::from(vec![b'x'; BYTES / 4]);
    for _ in 0..8 {
        copier.data(&piece);
        let read = quick.frame().now_or_never();
        assert_eq!(read.unwrap().unwrap().unwrap().data_ref(), Some(&piece));
    }
    copier.end();
    assert_eq!(copier.0.len(), 1);
    assert!(quick.frame().now_or_never().unwrap().is_none());
    assert!(matches!(read(slow), Some(Err(BodyError::Abandoned))));
}

#[test]
fn a_copy_is_whole_when_its_reader_has_all_of_it() {
    let mut copier = Copier::default();
    let [mut counted, mut open] = [SizeHint::with_exact(3), SizeHint::default()].map(|size| {
        let copy = copier.copy(size);
        (copy.progress(), copy)
    });
    copier.data(&Bytes::from_static(b"one"));
    assert_eq!(counted.0.came(), Came::Partly);
    for (_, copy) in [&mut counted, &mut open] {
        assert!(copy.frame().now_or_never().unwrap().unwrap().is_ok());
    }
    assert_eq!(counted.0.came(), Came::Whole);
    assert_eq!(open.0.came(), Came::Partly);
    copier.end();
    assert!(open.1.frame().now_or_never().unwrap().is_none());
    assert_eq!(open.0.came(), Came::Whole);
    let broken = copier.copy(SizeHint::with_exact(3));
    let progress = broken.progress();
    drop(copier);
    assert!(read(broken).unwrap().is_err());
    assert_eq!(progress.came(), Came::Broken);
}

#[test]
fn a_small_piece_keeps_nothing_of_what_was_read_with_it() {
    for (length, is_shared) in [(1, false), (SMALL, true)] {
        let mut copier = Copier::default();
        let mut copy = copier.copy(SizeHint::default());
        let read = Bytes::from(vec![b'x'; 32 * 1024]);
        let piece = read.slice(..length);
        copier.data(&piece);
        let frame = copy.frame().now_or_never().unwrap().unwrap().unwrap();
        let came = frame.into_data().unwrap();
        assert_eq!(came, piece);
        assert_eq!(came.as_ptr() == piece.as_ptr(), is_shared);
    }
}
