//! Webhooks to be called: bare TCP, so that a test decides every byte.

use std::sync::{Arc, Mutex};

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A call as it came.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// Request line and headers, in lower case.
    pub(crate) head: String,
    /// The body, to the byte.
    pub(crate) body: String,
}

impl Call {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))?;
        Some(line.trim().to_owned())
    }
}

/// A webhook that gives its answers one after the other, the last one again and again.
#[derive(Debug, Clone)]
pub(crate) struct Hook {
    /// Its address.
    pub(crate) url: String,
    calls: Arc<Mutex<Vec<Call>>>,
}

impl Hook {
    /// A webhook with these answers, such as `200 OK` or, with headers, `302 Found\r\nLocation: /login`.
    pub(crate) async fn answering(answers: &[&str]) -> Self {
        Self::at(TcpListener::bind("127.0.0.1:0").await.unwrap(), answers)
    }

    /// The same on a listener.
    pub(crate) fn at(listener: TcpListener, answers: &[&str]) -> Self {
        let url = format!("http://{}/hook?token=hunter2", listener.local_addr().unwrap());
        let hook = Self { url, calls: Arc::default() };
        let (calls, answers) =
            (Arc::clone(&hook.calls), answers.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>());
        tokio::spawn(async move {
            loop {
                let (mut socket, _) = listener.accept().await.unwrap();
                let call = read(&mut socket).await;
                let number = {
                    let mut calls = calls.lock().unwrap();
                    calls.push(call);
                    calls.len() - 1
                };
                let Some(answer) = answers.get(number.min(answers.len().saturating_sub(1))) else { continue };
                let (status, body) = answer.split_once("\r\n\r\n").unwrap_or((answer, ""));
                let answer = format!("HTTP/1.1 {status}\r\nConnection: close\r\n\r\n{body}");
                // Whoever called may have hung up.
                let _ = socket.write_all(answer.as_bytes()).await;
            }
        });
        hook
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    /// What was asked so far: `freeze`, `unfreeze` and so on.
    pub(crate) fn actions(&self) -> Vec<String> {
        self.calls().iter().map(|call| call.json()["action"].as_str().unwrap().to_owned()).collect()
    }
}

/// An address where nothing listens.
pub(crate) async fn closed() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}/hook?token=hunter2", listener.local_addr().unwrap())
}

/// One request.
pub(crate) async fn read(socket: &mut (impl AsyncReadExt + Unpin)) -> Call {
    let mut bytes = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&bytes);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let call = Call { head: head.to_lowercase(), body: body.to_owned() };
            let length = call.header("content-length").map_or(0, |length| length.parse().unwrap());
            if call.body.len() >= length {
                return call;
            }
        }
        let read = socket.read_buf(&mut bytes).await.unwrap();
        assert!(read > 0, "the request ended early: {:?}", String::from_utf8_lossy(&bytes));
    }
}

/// A webhook that reads one call and does with the connection what `then` does.
pub(crate) async fn once<F: Future<Output = ()> + Send>(then: impl FnOnce(TcpStream) -> F + Send + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook?token=hunter2", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let (mut socket, _) = listener.accept().await.unwrap();
        read(&mut socket).await;
        then(socket).await;
    });
    url
}
