//! Answers that a client does not read hold a bounded number of bytes.

use crate::read_models::sent;
use reqwest::header::ACCEPT;
use server::Settings;
use std::io;
use std::time::Duration;
use tests::contract::in_time;
use tests::scenario::{ANA, CUSTOMER, connect_call, hang_up};
use tests::service::{Running, Setup};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};

/// A connection that takes hardly anything of what it asks for.
async fn unread(service: &Running, key: &str, path: &str) -> io::Result<TcpStream> {
    let address = service.url.trim_start_matches("http://").parse();
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(address.map_err(io::Error::other)?).await?;
    let head = format!("Host: localhost\r\nAuthorization: Bearer {key}\r\n");
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\n{head}\r\n").as_bytes())
        .await?;
    Ok(stream)
}

#[tokio::test]
async fn a_key_that_does_not_read_its_answers_waits_for_itself_and_no_other_key_does() {
    let settings = Settings {
        max_unsent_bytes_per_key: 64 * 1024,
        ..Settings::default()
    };
    let service = Running::with(Setup {
        settings,
        ..Setup::default()
    })
    .await;
    let mut last = None;
    for number in 0..5_200 {
        let call = format!("a-call-with-a-name-that-is-rather-long-{number}");
        sent(&service, &call, connect_call(ANA)).await;
        last = Some(sent(&service, &call, hang_up(CUSTOMER)).await);
    }
    let views = &service.service.views;
    views
        .wait_for(last.unwrap(), Duration::from_mins(5))
        .await
        .unwrap();
    let path = "/v1/events?limit=10000";
    let (auditor, operator) = (&service.keys.auditor, &service.keys.operator);
    let mut hoard = unread(&service, auditor, path).await.unwrap();
    // The answer has begun, so it is made and waits to be sent: it is larger than what the system takes of it.
    in_time(hoard.read_u8()).await.unwrap();
    let small = service.get(operator, "/v1/events?limit=1");
    assert_eq!(in_time(small.send()).await.unwrap().status(), 200);
    let waits = service
        .get(auditor, "/v1/events?limit=1")
        .header(ACCEPT, "*/*")
        .send();
    let mut waits = Box::pin(waits);
    // As soon as the hoard is gone, the key is served.
    tokio::select! {
        answer = &mut waits => panic!("it did not wait: {answer:?}"),
        () = other_keys_are_served(&service) => {}
    }
    drop(hoard);
    assert_eq!(in_time(waits).await.unwrap().status(), 200);
    service.stop().await;
}

#[tokio::test]
async fn lists_that_are_sent_whole_do_not_wait_for_each_other_within_a_small_allowance() {
    let settings = Settings {
        max_unsent_bytes_per_key: 64 * 1024,
        ..Settings::default()
    };
    let service = Running::with(Setup {
        settings,
        ..Setup::default()
    })
    .await;
    sent(&service, "c1", connect_call(ANA)).await;
    let last = sent(&service, "c1", hang_up(CUSTOMER)).await;
    let views = &service.service.views;
    let patience = Duration::from_mins(1);
    views.wait_for(last, patience).await.unwrap();
    let paths = ["/v1/handle-times.csv", "/v1/handle-times.ndjson?window=1d"];
    let answers = paths.iter().cycle().take(8).map(async |path| {
        let answer = service.get(&service.keys.reader, path).send().await;
        answer.unwrap().text().await.unwrap()
    });
    for answer in in_time(futures_util::future::join_all(answers)).await {
        assert!(answer.lines().count() > 1, "{answer}");
    }
    service.stop().await;
}

async fn other_keys_are_served(service: &Running) {
    for _ in 0..20 {
        let question = service.get(&service.keys.operator, "/v1/events?limit=1");
        assert_eq!(in_time(question.send()).await.unwrap().status(), 200);
    }
}
