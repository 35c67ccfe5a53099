//! Moving length-prefixed frames over a stream, and pairing answers with requests.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use bytes_utils::SegmentedBuf;
use futures::FutureExt as _;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, oneshot};

use crate::connection::{Outgoing, Pending};
use crate::error::{Error, Result};
use crate::session::{Exchange, Session};
use crate::transport::{Stream, UnexpectedTls, failure};

/// Smallest answer there is: a correlation id.
const MIN_FRAME: usize = 4;

/// How long the broker's last words are waited for when nothing can be written any more.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// Serves one connection until the broker closes it, it breaks, or nobody wants it any more. Requests that wait when it
/// ends are told so by the loss of their channel.
pub(crate) async fn serve(
    stream: Box<dyn Stream>,
    requests: mpsc::Receiver<Outgoing>,
    session: Option<Session>,
    broker: Arc<str>,
    max_frame: usize,
) {
    let (reader, writer) = tokio::io::split(stream);
    // Unbounded, since the queue of requests in front of it is bounded and a broker has to answer them all anyway.
    let (sent, waiting) = mpsc::unbounded_channel();
    let reading = read_answers(reader, waiting, broker.clone(), max_frame);
    let mut reading = std::pin::pin!(reading);
    let mut wire = Wire { writer, sent, broker: broker.clone() };
    let mut writing = std::pin::pin!(write_requests(&mut wire, requests, session));
    tokio::select! {
        outcome = &mut writing => {
            if let Err(error) = outcome {
                tracing::debug!(%broker, %error, "connection failed while writing");
                // An alert of TLS tells more than a pipe that broke because of it.
                let _ = tokio::time::timeout(LAST_WORDS, reading).await;
            }
        }
        // Whoever waits for signing in is told why it failed, which is known by now.
        () = &mut reading => drop(writing.now_or_never()),
    }
}

/// The half of a connection that requests go out by.
struct Wire<W> {
    writer: W,
    sent: mpsc::UnboundedSender<Pending>,
    broker: Arc<str>,
}

impl<W: AsyncWrite + Unpin + Send> Wire<W> {
    async fn send(&mut self, Outgoing { frame, pending }: Outgoing) -> io::Result<()> {
        // Queued first: the answer must find its request even if it overtakes the return of the write. A failure means
        // that the reader has ended.
        self.sent.send(pending).map_err(|_| io::ErrorKind::BrokenPipe)?;
        // Many pieces go out with one call of the system.
        self.writer.write_all_buf(&mut SegmentedBuf::from_iter(frame)).await?;
        self.writer.flush().await
    }
}

impl<W: AsyncWrite + Unpin + Send> Exchange for Wire<W> {
    async fn exchange(&mut self, correlation: i32, frame: Vec<Bytes>) -> Result<Bytes> {
        let (answer, answered) = oneshot::channel();
        let sent = self.send(Outgoing { frame, pending: Pending { correlation, answer } }).await;
        // The reader knows best why a connection ended.
        match answered.await {
            Ok(outcome) => outcome,
            Err(_) => Err(sent.map_or_else(
                |error| failure(&self.broker, &error),
                |()| Error::Closed { broker: self.broker.clone() },
            )),
        }
    }
}

async fn write_requests<W: AsyncWrite + Unpin + Send>(
    wire: &mut Wire<W>,
    mut requests: mpsc::Receiver<Outgoing>,
    mut session: Option<Session>,
) -> io::Result<()> {
    while let Some(outgoing) = requests.recv().await {
        if let Some(session) = &mut session
            && let Err(error) = session.renew_if_due(wire).await
        {
            let _ = outgoing.pending.answer.send(Err(error));
            return Ok(());
        }
        wire.send(outgoing).await?;
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
                    let _ = pending.answer.send(Err(failure(&broker, &error)));
                }
                return;
            }
        }
    }
}

/// Reads one frame into memory of its own, without its length.
async fn read_frame<R: AsyncRead + Unpin>(reader: &mut R, max_frame: usize) -> io::Result<Bytes> {
    let announced = reader.read_i32().await?;
    if UnexpectedTls::is_in(announced.to_be_bytes()) {
        return Err(io::Error::other(UnexpectedTls));
    }
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
