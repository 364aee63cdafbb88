//! Commands over HTTP.

use serde_json::{Value, json};
use tests::service::Running;

#[tokio::test]
async fn an_accepted_command_is_answered_with_its_events() {
    let service = Running::start().await;
    let connect = json!({"type": "connect_call", "agent": "agent:ana"});
    let answer = service.send("c1", &connect).await;
    assert_eq!(answer.status(), 200);
    let answer: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
    assert_eq!(answer["revision"], 1);
    service.stop().await;
}
