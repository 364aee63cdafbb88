//! The service while its disk is full, fails, or is deleted: it refuses commands, says so, and resumes by itself.

use super::faults::address;
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::Duration;
use tests::program::on;
use tests::service_program::Serving;
use tests::skip::skip;
use tests::torture::powercut::{Disk, shim};

struct Service {
    serving: Serving,
    client: reqwest::Client,
}

impl Service {
    fn on(store: &Path, environment: Vec<(&'static str, std::path::PathBuf)>) -> Self {
        let address = address();
        let mut run = on(store, ["serve", "--without-keys", "--listen", &address]);
        for (name, value) in environment {
            run = run.env(name, value);
        }
        Self {
            serving: Serving::start(run),
            client: reqwest::Client::new(),
        }
    }

    async fn get(&self, path: &str) -> (u16, String) {
        let answer = self.client.get(format!("{}{path}", self.serving.url));
        let answer = answer.send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    async fn json(&self, path: &str) -> Value {
        serde_json::from_str(&self.get(path).await.1).unwrap()
    }

    /// Sends a command that begins a call.
    async fn command(&self, number: u128) -> (u16, Value) {
        let command = json!({
            "type": "connect_call", "agent": "agent:ana", "id": uuid::Uuid::from_u128(number + 1),
        });
        let url = format!("{}/v1/calls/c{number}/commands", self.serving.url);
        let sent = self
            .client
            .post(url)
            .header("content-type", "application/json");
        let answer = sent.body(command.to_string()).send().await.unwrap();
        let status = answer.status().as_u16();
        (
            status,
            serde_json::from_str(&answer.text().await.unwrap()).unwrap(),
        )
    }

    /// Waits until `/readyz` says that, or 200 for nothing.
    async fn until_ready_says(&self, why: Option<&str>) {
        loop {
            let (status, body) = self.get("/readyz").await;
            let body: Value = serde_json::from_str(&body).unwrap();
            if (status == 200) == why.is_none() && body["why"].as_str() == why {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Every place that says whether the store takes events says that.
    async fn must_say(&self, trouble: Option<&str>) {
        let metrics = self.get("/metrics").await.1;
        let gauge = format!("kaigi_store_writable {}", u8::from(trouble.is_none()));
        assert!(metrics.lines().any(|line| line == gauge), "{metrics}");
        let said = self.json("/v1/read-models").await["store_trouble"].clone();
        match trouble {
            None => assert_eq!(said, Value::Null),
            Some(part) => assert!(said.as_str().unwrap().contains(part), "{said}"),
        }
    }

    fn times_logged(&self, event: &str) -> usize {
        let event = format!("\"event\":\"{event}\"");
        self.serving.told().matches(&event).count()
    }
}

/// All commands, acknowledged or not, sent again by their ids: each is there once, as it was acknowledged.
async fn must_be_kept_once(service: &Service, answers: &[(u128, Option<Value>)]) {
    for (number, acknowledged) in answers {
        let (status, answer) = service.command(*number).await;
        assert_eq!(status, 200, "{answer}");
        if let Some(acknowledged) = acknowledged {
            assert_eq!(answer, *acknowledged);
        }
    }
}

fn must_be_whole(store: &Path, commands: usize) {
    let checked = on(store, ["store", "check"]).run().ended_with(0).json();
    assert_eq!(checked["calls"], commands);
    let events = on(store, ["events"]).run().ended_with(0).lines();
    let mut ids: Vec<_> = events
        .iter()
        .map(|event| event["command"].to_string())
        .collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), commands);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_resumes_by_itself_once_its_full_disk_has_room() {
    let shim = match shim() {
        Ok(shim) => shim,
        Err(why) => return skip("a full disk under a service", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path()).unwrap();
    let service = Service::on(&disk.store(), disk.environment(shim));
    let mut answers = Vec::new();
    for round in 0..2 {
        let first = round * 30;
        for number in first..first + 10 {
            let (status, answer) = service.command(number).await;
            assert_eq!(status, 200, "{answer}");
            answers.push((number, Some(answer)));
        }
        service.until_ready_says(None).await;
        service.must_say(None).await;
        fs::write(disk.full(), []).unwrap();
        for number in first + 10..first + 20 {
            let (status, answer) = service.command(number).await;
            assert_eq!(
                (status, &answer["code"]),
                (503, &"store_unavailable".into()),
                "{answer}"
            );
            answers.push((number, None));
        }
        service.until_ready_says(Some("store_not_writable")).await;
        service.must_say(Some("the disk is full; make room")).await;
        // Reading goes on.
        let (status, calls) = service.get("/v1/active-calls").await;
        assert_eq!(status, 200, "{calls}");
        fs::remove_file(disk.full()).unwrap();
        service.until_ready_says(None).await;
        service.must_say(None).await;
    }
    must_be_kept_once(&service, &answers).await;
    service.serving.wait_until_told("store_writable");
    for event in ["store_not_writable", "store_writable"] {
        assert_eq!(service.times_logged(event), 2, "{}", service.serving.told());
    }
    let _ = service.serving.stop().ended_with(0);
    must_be_whole(&disk.store(), answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_resumes_by_itself_after_a_failed_sync() {
    let shim = match shim() {
        Ok(shim) => shim,
        Err(why) => return skip("a failed sync under a service", why),
    };
    let folder = tempfile::tempdir().unwrap();
    let disk = Disk::new(folder.path()).unwrap();
    let service = Service::on(&disk.store(), disk.environment(shim));
    let mut answers = Vec::new();
    for number in 0..10 {
        answers.push((number, Some(service.command(number).await.1)));
    }
    fs::write(disk.fail_sync(), []).unwrap();
    let mut number = 10;
    while !disk.failed_a_sync().unwrap() {
        let (status, answer) = service.command(number).await;
        answers.push((number, (status == 200).then_some(answer)));
        number += 1;
    }
    service.until_ready_says(None).await;
    must_be_kept_once(&service, &answers).await;
    let _ = service.serving.kill();
    // Bytes that no sync made safe are lost.
    let mut chance = tests::torture::chance::Chance::of(1);
    disk.cut(tests::torture::powercut::Loss::Everything, &mut chance)
        .unwrap();
    must_be_whole(&disk.store(), answers.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_acknowledges_nothing_after_its_store_was_deleted_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    let service = Service::on(&store, Vec::new());
    assert_eq!(service.command(0).await.0, 200);
    service.until_ready_says(None).await;
    fs::remove_dir_all(&store).unwrap();
    for number in 1..50 {
        assert_eq!(service.command(number).await.0, 503);
    }
    service.until_ready_says(Some("store_not_writable")).await;
    service.must_say(Some("deleted, replaced or moved")).await;
    service.serving.wait_until_told("store_not_writable");
    let _ = service.serving.kill();
}
