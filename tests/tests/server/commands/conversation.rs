//! A stream of commands whose answers come meanwhile.

use reqwest::{Body, Method, Response};
use serde_json::Value;
use std::collections::VecDeque;
use std::io;
use tests::service::Running;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

pub(crate) struct Conversation {
    lines: mpsc::Sender<io::Result<String>>,
    response: Response,
    /// What came of a line whose end did not.
    begun: Vec<u8>,
    answers: VecDeque<Value>,
}

/// What is said in a conversation, by its own half.
pub(crate) type Said = mpsc::Sender<io::Result<String>>;

impl Conversation {
    /// With the telephone system's key.
    pub(crate) async fn begin(service: &Running) -> Self {
        Self::with(service, &service.keys.telephony, &[]).await
    }

    /// With that key and those headers.
    pub(crate) async fn with(service: &Running, key: &str, headers: &[(&str, &str)]) -> Self {
        let (lines, said) = mpsc::channel(1);
        let request = service.request(Method::POST, key, "/v1/commands");
        let request = request.header("content-type", "application/x-ndjson");
        let request = headers.iter().fold(request, |request, (name, value)| {
            request.header(*name, *value)
        });
        let body = Body::wrap_stream(ReceiverStream::new(said));
        let response = request.body(body).send().await.expect("it answers");
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Self {
            lines,
            response,
            begun: Vec::new(),
            answers: VecDeque::new(),
        }
    }

    /// Sends text, of as many lines as it has.
    pub(crate) async fn say(&self, text: impl Into<String>) {
        let said = self.lines.send(Ok(text.into())).await;
        said.expect("the service reads");
    }

    /// For whoever says more than the service takes at once.
    pub(crate) fn said(&self) -> Said {
        self.lines.clone()
    }

    /// The next answer.
    pub(crate) async fn answer(&mut self) -> Value {
        self.next().await.expect("there is another answer")
    }

    /// So many answers.
    pub(crate) async fn answers(&mut self, count: usize) -> Vec<Value> {
        let mut answers = Vec::new();
        for _ in 0..count {
            answers.push(self.answer().await);
        }
        answers
    }

    /// Says nothing more, and takes all answers that are left.
    pub(crate) async fn end(mut self) -> Vec<Value> {
        let (nobody, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.lines, nobody));
        self.rest().await
    }

    /// All answers up to the last, without having ended.
    pub(crate) async fn rest(mut self) -> Vec<Value> {
        let mut rest = Vec::new();
        while let Some(answer) = self.next().await {
            rest.push(answer);
        }
        rest
    }

    async fn next(&mut self) -> Option<Value> {
        while self.answers.is_empty() {
            let piece = self.response.chunk().await.expect("the answer goes on")?;
            self.take(&piece);
        }
        self.answers.pop_front()
    }

    fn take(&mut self, piece: &[u8]) {
        self.begun.extend_from_slice(piece);
        while let Some(end) = self.begun.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = self.begun.drain(..=end).collect();
            let answer = serde_json::from_slice(&line).expect("an answer is JSON");
            self.answers.push_back(answer);
        }
    }
}
