//! The network between clients and one broker, which can be disturbed: a TCP proxy that knows where Kafka's frames begin
//! and end, and which of them answer Produce requests.
//!
//! A frame is a size of four bytes and so many bytes more. A request's begin with api key, api version and correlation
//! id; an answer's begin with the correlation id (Kafka protocol guide, "Request Header" and "Response Header").

use std::{
    collections::HashSet,
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use anyhow::Context;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

const PRODUCE: [u8; 2] = [0, 0];
/// Larger than any frame a broker takes (`socket.request.max.bytes`).
const LARGEST_FRAME: usize = 128 << 20;

/// What a link does to the connections through it; the default is nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Weather {
    /// New connections are closed at once.
    pub refuses: bool,
    /// Each answer is held back so long.
    pub delay: Duration,
    /// Bytes that pass in a second, in each direction of each connection.
    pub bytes_per_second: Option<u32>,
}

/// The link to one broker; passes everything on until it is told otherwise.
#[derive(Debug)]
pub struct Link {
    state: Arc<State>,
    serving: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    broker: u16,
    weather: watch::Sender<Weather>,
    /// Counts the times that all connections were cut.
    cuts: watch::Sender<u64>,
    to_lose: AtomicUsize,
    lost: AtomicUsize,
}

impl Link {
    /// Listens on `port` for clients of the broker on `broker`.
    ///
    /// # Errors
    /// When the port is taken.
    pub(super) async fn open(port: u16, broker: u16) -> anyhow::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", port)).await.with_context(|| format!("listening on {port}"))?;
        let state = Arc::new(State {
            broker,
            weather: watch::Sender::default(),
            cuts: watch::Sender::default(),
            to_lose: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
        });
        let serving = tokio::spawn(Arc::clone(&state).serve(listener));
        Ok(Self { state, serving })
    }

    /// Changes what happens to frames and new connections from now on.
    pub fn set(&self, weather: Weather) {
        self.state.weather.send_replace(weather);
    }

    /// Ends every connection; what was under way in it is lost.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Loses the next `answers` to Produce requests: the broker carries such a request out, its answer never arrives, and
    /// the connection ends. None is lost any more with 0.
    pub fn lose_produce_answers(&self, answers: usize) {
        self.state.to_lose.store(answers, SeqCst);
    }

    /// How many answers were lost so far by order of [`Link::lose_produce_answers`].
    pub fn lost_produce_answers(&self) -> usize {
        self.state.lost.load(SeqCst)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.serving.abort();
        self.cut();
    }
}

impl State {
    async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            match listener.accept().await {
                Ok((client, _)) if !self.weather.borrow().refuses => {
                    tokio::spawn(Arc::clone(&self).connect(client));
                }
                Ok((client, _)) => drop(client),
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
        }
    }

    /// One connection, until either end or a cut ends it.
    async fn connect(self: Arc<Self>, mut client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        // A broker that is down: the client sees its connection closed.
        let Ok(mut broker) = TcpStream::connect(("127.0.0.1", self.broker)).await else { return };
        if client.set_nodelay(true).and(broker.set_nodelay(true)).is_err() {
            return;
        }
        let produces = Mutex::new(HashSet::new());
        let (from_client, to_client) = client.split();
        let (from_broker, to_broker) = broker.split();
        tokio::select! {
            _ = self.pass_requests(from_client, to_broker, &produces) => {}
            _ = self.pass_answers(from_broker, to_client, &produces) => {}
            _ = cuts.changed() => {}
        }
    }

    async fn pass_requests(
        &self,
        mut client: impl AsyncRead + Unpin,
        mut broker: impl AsyncWrite + Unpin,
        produces: &Mutex<HashSet<[u8; 4]>>,
    ) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut client).await?;
            if let Some(&[key, of_two, _, _, a, b, c, d]) = frame.first_chunk()
                && [key, of_two] == PRODUCE
            {
                produces.lock().unwrap_or_else(PoisonError::into_inner).insert([a, b, c, d]);
            }
            self.pass(&frame, &mut broker).await?;
        }
    }

    async fn pass_answers(
        &self,
        mut broker: impl AsyncRead + Unpin,
        mut client: impl AsyncWrite + Unpin,
        produces: &Mutex<HashSet<[u8; 4]>>,
    ) -> io::Result<()> {
        loop {
            let frame = read_frame(&mut broker).await?;
            let correlation = frame.first_chunk::<4>();
            let answers_produce =
                correlation.is_some_and(|id| produces.lock().unwrap_or_else(PoisonError::into_inner).remove(id));
            if answers_produce && self.loses_one() {
                return Ok(());
            }
            let delay = self.weather.borrow().delay;
            tokio::time::sleep(delay).await;
            self.pass(&frame, &mut client).await?;
        }
    }

    fn loses_one(&self) -> bool {
        let loses = self.to_lose.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        self.lost.fetch_add(usize::from(loses), SeqCst);
        loses
    }

    async fn pass(&self, frame: &[u8], to: &mut (impl AsyncWrite + Unpin)) -> io::Result<()> {
        let limit = self.weather.borrow().bytes_per_second;
        if let Some(limit) = limit {
            tokio::time::sleep(Duration::from_secs_f64(frame.len() as f64 / f64::from(limit.max(1)))).await;
        }
        to.write_u32(u32::try_from(frame.len()).map_err(io::Error::other)?).await?;
        to.write_all(frame).await
    }
}

/// The bytes after the size.
async fn read_frame(from: &mut (impl AsyncRead + Unpin)) -> io::Result<Vec<u8>> {
    let size = from.read_u32().await? as usize;
    if size > LARGEST_FRAME {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "not a frame of Kafka's protocol"));
    }
    let mut frame = vec![0; size];
    from.read_exact(&mut frame).await?;
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A broker that answers every request with its correlation id, and counts them.
    async fn echo() -> (u16, Arc<AtomicUsize>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (port, requests) = (listener.local_addr().unwrap().port(), Arc::new(AtomicUsize::new(0)));
        let counter = Arc::clone(&requests);
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let counter = Arc::clone(&counter);
                tokio::spawn(async move {
                    while let Ok(request) = read_frame(&mut client).await {
                        counter.fetch_add(1, SeqCst);
                        client.write_u32(4).await.unwrap();
                        client.write_all(&request[4..8]).await.unwrap();
                    }
                });
            }
        });
        (port, requests)
    }

    async fn linked() -> (Link, u16, Arc<AtomicUsize>) {
        let (broker, requests) = echo().await;
        let port = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
        (Link::open(port, broker).await.unwrap(), port, requests)
    }

    async fn ask(client: &mut TcpStream, api_key: u8) -> io::Result<Vec<u8>> {
        client.write_all(&[0, 0, 0, 8, 0, api_key, 0, 9, 1, 2, 3, 4]).await?;
        read_frame(client).await
    }

    #[tokio::test]
    async fn frames_pass_both_ways_until_the_connection_is_cut() {
        let (link, port, _) = linked().await;
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert_eq!(ask(&mut client, 1).await.unwrap(), [1, 2, 3, 4]);
        link.cut();
        assert!(ask(&mut client, 1).await.is_err());
        let mut again = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(ask(&mut again, 1).await.is_ok());
    }

    #[tokio::test]
    async fn only_the_answer_to_a_produce_request_is_lost_and_the_broker_has_the_request() {
        let (link, port, requests) = linked().await;
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        link.lose_produce_answers(1);
        assert!(ask(&mut client, 3).await.is_ok(), "Metadata passes");
        assert!(ask(&mut client, 0).await.is_err());
        assert_eq!((requests.load(SeqCst), link.lost_produce_answers()), (2, 1));
        let mut again = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(ask(&mut again, 0).await.is_ok(), "one was to be lost");
    }

    #[tokio::test]
    async fn a_link_that_refuses_closes_new_connections_and_keeps_old_ones() {
        let (link, port, _) = linked().await;
        let mut old = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        ask(&mut old, 1).await.unwrap();
        link.set(Weather { refuses: true, ..Weather::default() });
        assert!(ask(&mut old, 1).await.is_ok());
        let mut new = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        assert!(ask(&mut new, 1).await.is_err());
    }
}
