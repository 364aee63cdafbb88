//! `kaigi serve`: configuration, start and end.
