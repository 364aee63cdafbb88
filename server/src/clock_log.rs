//! Looks at the clock every second and logs when it is wrong, and when it is right again.

use crate::clock::ClockError;
use crate::service::Service;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often the clock is looked at.
const BETWEEN_LOOKS: Duration = Duration::from_secs(1);

/// Compares the clock with what it must show, and logs each change.
pub(crate) fn start(service: &Arc<Service>) {
    let service = Arc::downgrade(service);
    tokio::spawn(async move {
        let mut last = None;
        while let Some(service) = service.upgrade() {
            last = report(&service, last);
            drop(service);
            sleep(BETWEEN_LOOKS).await;
        }
    });
}

/// Logs what is wrong now, unless that was the last thing logged. Returns the event that was.
fn report(service: &Service, last: Option<&'static str>) -> Option<&'static str> {
    let error = service.clock.error();
    let event = error.map(ClockError::event);
    if event == last {
        return event;
    }
    if let Some(error) = error {
        service.log.error(error.event(), &error.detail());
    } else {
        let detail = "the clock is right again";
        service.log.notice("clock_right", detail);
    }
    event
}
