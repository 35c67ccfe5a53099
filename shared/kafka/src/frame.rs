//! Moving length-prefixed frames over a stream, and pairing answers with requests.

use std::io;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use bytes_utils::SegmentedBuf;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::connection::{Outgoing, Pending};
use crate::error::Error;
use crate::transport::Stream;

/// Smallest answer there is: a correlation id.
const MIN_FRAME: usize = 4;

/// Serves one connection until the broker closes it, it breaks, or nobody wants it any more. Requests that wait when it
/// ends are told so by the loss of their channel.
pub(crate) async fn serve(
    stream: Box<dyn Stream>,
    requests: mpsc::Receiver<Outgoing>,
    broker: Arc<str>,
    max_frame: usize,
) {
    let (reader, writer) = tokio::io::split(stream);
    // Unbounded, since the queue of requests in front of it is bounded and a broker has to answer them all anyway.
    let (sent, waiting) = mpsc::unbounded_channel();
    tokio::select! {
        outcome = write_requests(writer, requests, sent) => {
            if let Err(error) = outcome {
                tracing::debug!(%broker, %error, "connection failed while writing");
            }
        }
        () = read_answers(reader, waiting, broker.clone(), max_frame) => {}
    }
}

async fn write_requests<W: AsyncWrite + Unpin>(
    mut writer: W,
    mut requests: mpsc::Receiver<Outgoing>,
    sent: mpsc::UnboundedSender<Pending>,
) -> io::Result<()> {
    while let Some(Outgoing { frame, pending }) = requests.recv().await {
        // Queued first: the answer must find its request even if it overtakes the return of the write. A failure means
        // that the reader has ended, and then so does this.
        if sent.send(pending).is_err() {
            break;
        }
        // Many pieces go out with one call of the system.
        writer.write_all_buf(&mut SegmentedBuf::from_iter(frame)).await?;
        writer.flush().await?;
    }
    Ok(())
}

async fn read_answers<R: AsyncRead + Unpin>(
    mut reader: R,
    mut waiting: mpsc::UnboundedReceiver<Pending>,
    broker: Arc<str>,
    max_frame: usize,
) {
    loop {
        let frame = read_frame(&mut reader, max_frame).await;
        let pending = waiting.try_recv().ok();
        match (frame, pending) {
            (Ok(frame), Some(Pending { correlation, answer })) => {
                if frame[..MIN_FRAME] != correlation.to_be_bytes() {
                    let message = format!("the answer does not belong to request {correlation}");
                    let _ = answer.send(Err(Error::Protocol { broker, message }));
                    return;
                }
                // Nobody may be waiting any more; then the answer is of no use to anybody.
                let _ = answer.send(Ok(frame));
            }
            (Ok(_), None) => {
                tracing::debug!(%broker, "connection closed: an answer came without a request");
                return;
            }
            (Err(error), pending) => {
                tracing::debug!(%broker, %error, "connection closed while reading");
                if let Some(pending) = pending {
                    let _ = pending.answer.send(Err(read_error(broker, &error)));
                }
                return;
            }
        }
    }
}

fn read_error(broker: Arc<str>, error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Error::Closed { broker },
        io::ErrorKind::InvalidData => Error::Protocol { broker, message: error.to_string() },
        _ => Error::Io { broker, message: error.to_string() },
    }
}

/// Reads one frame into memory of its own, without its length.
async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R, max_frame: usize) -> io::Result<Bytes> {
    let announced = reader.read_i32().await?;
    let size = usize::try_from(announced).ok().filter(|size| (MIN_FRAME..=max_frame).contains(size));
    let size = size.ok_or_else(|| {
        let message = format!("an answer of {announced} bytes is announced, at most {max_frame} are accepted");
        io::Error::new(io::ErrorKind::InvalidData, message)
    })?;
    let mut frame = BytesMut::with_capacity(size);
    while frame.len() < size {
        let missing = size - frame.len();
        if reader.read_buf(&mut (&mut frame).limit(missing)).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(frame.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_frame_is_read_to_its_end_and_no_further() {
        let mut input: &[u8] = &[0, 0, 0, 5, 1, 2, 3, 4, 5, 9, 9];
        assert_eq!(read_frame(&mut input, 5).await.unwrap(), [1, 2, 3, 4, 5][..]);
        assert_eq!(input, [9, 9]);
    }

    #[tokio::test]
    async fn lengths_out_of_bounds_are_refused_before_anything_is_read() {
        for length in [-1, 0, 3, 6, i32::MAX] {
            let bytes = [length.to_be_bytes().as_slice(), &[0; 8]].concat();
            let mut input = bytes.as_slice();
            assert_eq!(read_frame(&mut input, 5).await.unwrap_err().kind(), io::ErrorKind::InvalidData, "{length}");
            assert_eq!(input.len(), 8);
        }
    }

    #[tokio::test]
    async fn a_frame_cut_short_is_an_end_of_file() {
        let mut input: &[u8] = &[0, 0, 0, 5, 1, 2];
        assert_eq!(read_frame(&mut input, 5).await.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
    }
}
