//! The service killed, starved and flooded.
