//! The machine's clock.

use rules::Timestamp;
use std::time::{SystemTime, UNIX_EPOCH};

/// What the machine's clock shows; a clock outside 1970 to 9999 shows the nearer end.
pub fn now() -> Timestamp {
    let since_1970 = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    let ms = u64::try_from(since_1970.as_millis()).unwrap_or(u64::MAX);
    Timestamp::from_millis(ms).unwrap_or(Timestamp::MAX)
}
