//! A stream of server-sent events, read as it comes.

use crate::ClientError;
use crate::sse::{Message, Parser};
use reqwest::{Response, Url};

/// The messages of a stream. Whoever drops it while it waits has lost nothing.
#[derive(Debug)]
pub struct Events {
    url: Url,
    response: Response,
    parser: Parser,
}

impl Events {
    pub(crate) fn new(url: Url, response: Response) -> Self {
        Self {
            url,
            response,
            parser: Parser::default(),
        }
    }

    /// The next message; none once the service ended the stream. What came of a message that was cut short is no
    /// message.
    pub async fn next(&mut self) -> Result<Option<Message>, ClientError> {
        loop {
            if let Some(message) = self.parser.next() {
                return Ok(Some(message));
            }
            let chunk = self.response.chunk().await;
            match chunk.map_err(|error| ClientError::on_the_way(&self.url, &error))? {
                Some(chunk) => {
                    let read = self.parser.read(&chunk);
                    read.map_err(|error| ClientError::protocol(&self.url, error.to_string()))?;
                }
                None => return Ok(None),
            }
        }
    }
}
