use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::*;

const SHORT: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(30);

#[tokio::test]
async fn who_is_not_let_in_is_shown_out_reading_or_writing() {
    let (here, _there) = tokio::io::duplex(1);
    let mut connection = Probation::new(here, Some(SHORT));
    let reading = tokio::time::timeout(PATIENCE, connection.read_u8()).await;
    assert_eq!(
        reading.unwrap().unwrap_err().kind(),
        io::ErrorKind::TimedOut
    );

    let (here, _there) = tokio::io::duplex(1);
    let mut connection = Probation::new(here, Some(SHORT));
    let writing = tokio::time::timeout(PATIENCE, connection.write_all(b"more than fits")).await;
    assert_eq!(
        writing.unwrap().unwrap_err().kind(),
        io::ErrorKind::TimedOut
    );
}

#[tokio::test]
async fn who_is_let_in_stays() {
    let (here, mut there) = tokio::io::duplex(8);
    let mut admitted = Probation::new(here, Some(SHORT));
    admitted.admitted().admit();
    let (other, _end) = tokio::io::duplex(8);
    let mut stranger = Probation::new(other, Some(SHORT));
    let out = tokio::time::timeout(PATIENCE, stranger.read_u8()).await;
    assert!(out.unwrap().is_err(), "the same time is over for both");
    there.write_u8(7).await.unwrap();
    assert_eq!(admitted.read_u8().await.unwrap(), 7);
}
