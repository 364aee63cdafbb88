//! Connections: their limits, and their end.
