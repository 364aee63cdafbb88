//! A client of a running service.
