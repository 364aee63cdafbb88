//! `kaigi --server URL`: the program through a running service.
