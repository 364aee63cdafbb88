//! An answer of one JSON value a line, read as it comes.

use crate::ClientError;
use bytes::{Buf, BytesMut};
use reqwest::{Response, Url};

/// No line of the service is longer: an answer has the events of one command.
const LONGEST: usize = 4 * 1024 * 1024;

/// The lines of an answer. Whoever drops it while it waits has lost nothing.
#[derive(Debug)]
pub struct Lines {
    url: Url,
    response: Response,
    buffer: BytesMut,
    /// How much of the buffer is known to have no end of line.
    searched: usize,
}

impl Lines {
    pub(crate) fn new(url: Url, response: Response) -> Self {
        Self {
            url,
            response,
            buffer: BytesMut::new(),
            searched: 0,
        }
    }

    /// The next line, without its end; none once the answer has ended as it should.
    pub async fn next(&mut self) -> Result<Option<String>, ClientError> {
        loop {
            if let Some(line) = self.buffered() {
                return self.text(&line).map(Some);
            }
            if self.buffer.len() > LONGEST {
                return Err(ClientError::protocol(&self.url, "a line without an end"));
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| ClientError::on_the_way(&self.url, &error))? {
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
                None if self.buffer.is_empty() => return Ok(None),
                None => {
                    let line = self.buffer.split();
                    return self.text(&line).map(Some);
                }
            }
        }
    }

    fn buffered(&mut self) -> Option<BytesMut> {
        let mut unsearched = self.buffer[self.searched..].iter();
        let Some(end) = unsearched.position(|byte| *byte == b'\n') else {
            self.searched = self.buffer.len();
            return None;
        };
        let line = self.buffer.split_to(self.searched + end);
        self.buffer.advance(1);
        self.searched = 0;
        Some(line)
    }

    fn text(&self, line: &[u8]) -> Result<String, ClientError> {
        let text = String::from_utf8(line.to_vec());
        text.map_err(|_| ClientError::protocol(&self.url, "a line that is not UTF-8"))
    }
}
